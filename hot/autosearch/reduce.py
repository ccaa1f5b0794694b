"""The program as solvers see it: integers, equal choices merged, equal slots found.

A look-up table may hold equal choices, and a network may hold equal slots; every solution then
comes in many versions of one value. A search meets only the canonical version, the
lexicographically smallest, and `expand` makes the others. This is exact for the k best: a solution
among the k best, best first and ties by choice indices, has its canonical version before it, so
that version is among the k best canonical ones.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hot.autosearch.program import Program

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Reduced:
    """Maximise the sum of gains; the sum of loads stays within `room`; one class a slot.

    Gains and loads are integers >= 0 held exactly in float64 (their sums stay below 2**53); a slot
    with fewer classes than the widest is padded.

    Attributes:
        gain: (S, W) per slot and class.
        load: (R, S, W) per limit, slot and class.
        room: (R,) what the loads may sum to.
        is_open: (S, W) False at the padding.
        members: the program's choices of every class, ascending; classes ascend by the first.
        twins: groups of slots with equal classes, each ascending.
        offset, step: objective at the integer scale = offset + step * gain.
        is_feasible: False where no choice of some slot fits by itself.
    """

    gain: FloatArray
    load: FloatArray
    room: FloatArray
    is_open: BoolArray
    members: tuple[tuple[tuple[int, ...], ...], ...]
    twins: tuple[tuple[int, ...], ...]
    offset: int
    step: int
    is_feasible: bool

    @property
    def n_slots(self) -> int:
        """Number of slots."""
        return len(self.members)

    def gain_of(self, classes: Sequence[int]) -> int:
        """The exact gain of one class a slot."""
        return int(self.gain[np.arange(self.n_slots), list(classes)].sum())

    def fits(self, classes: Sequence[int]) -> bool:
        """Whether the classes stay within all room, exactly."""
        used = self.load[:, np.arange(self.n_slots), list(classes)].sum(axis=1)
        return bool((used <= self.room).all())

    def expand(self, classes: Sequence[int]) -> Iterator[tuple[int, ...]]:
        """All solutions that `classes` stand for, in lexicographic order of choice indices."""
        left = {slot: group for group in self._groups() for slot in group}
        bags = {group: sorted(classes[slot] for slot in group) for group in left.values()}
        yield from self._expand(0, (), left, bags)

    def _groups(self) -> list[tuple[int, ...]]:
        paired = set(itertools.chain.from_iterable(self.twins))
        return [*self.twins, *((s,) for s in range(self.n_slots) if s not in paired)]

    def _expand(
        self,
        slot: int,
        taken: tuple[int, ...],
        groups: dict[int, tuple[int, ...]],
        bags: dict[tuple[int, ...], list[int]],
    ) -> Iterator[tuple[int, ...]]:
        if slot == self.n_slots:
            yield taken
            return
        bag = bags[groups[slot]]
        options = ((choice, c) for c in set(bag) for choice in self.members[slot][c])
        for choice, class_ in sorted(options):
            rest = list(bag)
            rest.remove(class_)
            yield from self._expand(
                slot + 1, (*taken, choice), groups, {**bags, groups[slot]: rest}
            )

    def best(
        self, ranked: Sequence[tuple[int, tuple[int, ...]]], k: int
    ) -> list[tuple[int, tuple[int, ...]]]:
        """The k best (gain, choices) of canonical (gain, classes), best first."""
        found = [
            (-gain, choices)
            for gain, classes in ranked
            for choices in itertools.islice(self.expand(classes), k)
        ]
        return [(-loss, choices) for loss, choices in sorted(found)[:k]]


def reduce_program(program: Program) -> Reduced:
    """`program` in integers, without forbidden and without repeated choices."""
    rows, rooms = _integer_rows(program)
    offset = 0
    allowed = program.allowed()
    is_feasible = all(mask.any() for mask in allowed) and all(
        peak.fixed <= peak.limit for peak in program.peaks
    )
    if not is_feasible:  # keep the shapes legal; nothing will be searched
        allowed = [np.ones_like(mask) for mask in allowed]
    classes = [
        _merge([row[s] for row in rows], np.flatnonzero(mask)) for s, mask in enumerate(allowed)
    ]
    width = max(len(members) for _, members in classes)
    table = np.zeros((len(rows), program.n_slots, width))
    is_open = np.zeros((program.n_slots, width), dtype=np.bool_)
    for s, (values, members) in enumerate(classes):
        low = values.min(axis=1, keepdims=True)
        table[:, s, : len(members)] = values - low
        is_open[s, : len(members)] = True
        offset += int(low[0, 0])
        rooms = [room - int(x) for room, x in zip(rooms, low[1:, 0], strict=True)]
    gain, step = _divide(table[0])
    load, room = _normalise(table[1:], rooms)
    return Reduced(
        gain,
        load,
        room,
        is_open,
        tuple(members for _, members in classes),
        _find_twins(np.concatenate([gain[None], load]), is_open),
        offset,
        step,
        is_feasible and bool((room >= 0).all()),
    )


def _integer_rows(program: Program) -> tuple[list[tuple[IntArray, ...]], list[int]]:
    """Rows to maximise (first) and to keep small (the others), and the rooms of the others."""
    sign = 1 if program.objective.is_maximised else -1
    rows = [tuple(sign * row for row in program.scaled_objective.values)]
    rooms = []
    for limit, scaled in zip(program.sums, program.scaled_sums, strict=True):
        turn = -1 if limit.is_floor else 1
        rows.append(tuple(turn * row for row in scaled.values))
        rooms.append(scaled.room(turn * limit.limit, turn * limit.fixed))
    return rows, rooms


def _merge(
    values: list[IntArray], allowed: NDArray[np.intp]
) -> tuple[IntArray, tuple[tuple[int, ...], ...]]:
    """Distinct columns of one slot, (rows, classes), and the choices that have each."""
    columns: dict[tuple[int, ...], list[int]] = {}
    for choice in allowed.tolist():
        columns.setdefault(tuple(int(row[choice]) for row in values), []).append(choice)
    table = np.array(list(columns), dtype=np.int64).T
    return table, tuple(tuple(members) for members in columns.values())


def _divide(row: FloatArray) -> tuple[FloatArray, int]:
    """The row divided by its greatest common divisor: a coarser grid gives sharper bounds."""
    divisor = max(int(np.gcd.reduce(row.astype(np.int64), axis=None)), 1)
    return row // divisor, divisor


def _normalise(loads: FloatArray, rooms: list[int]) -> tuple[FloatArray, FloatArray]:
    """Loads divided by their common divisors, without limits that cannot bind."""
    kept, room_left = [], []
    for load, room in zip(loads, rooms, strict=True):
        if room >= load.max(axis=1).sum():
            continue
        smaller, divisor = _divide(load)
        kept.append(smaller)
        room_left.append(float(max(room // divisor, -1)))
    shape = (len(kept), *loads.shape[1:])
    return np.array(kept).reshape(shape), np.array(room_left)


def _find_twins(table: FloatArray, is_open: BoolArray) -> tuple[tuple[int, ...], ...]:
    groups: dict[bytes, list[int]] = {}
    for slot in range(table.shape[1]):
        key = table[:, slot].tobytes() + is_open[slot].tobytes()
        groups.setdefault(key, []).append(slot)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)
