"""The program as solvers see it: integers, equal choices merged, equal slots found.

A look-up table may hold equal choices, and a network may hold equal slots; every solution then
comes in many versions of one value. A search meets only the canonical version, the
lexicographically smallest, and `expand` makes the others. This is exact for the k best: a solution
among the k best, best first and ties by choice indices, has its canonical version before it, so
that version is among the k best canonical ones. Choices with pair terms are equal only where their
terms are, and slots with pair terms are never taken for equal.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hot.autosearch.program import Program, Scaled

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Reduced:
    """Maximise the sum of gains; the sum of loads stays within `room`; one class a slot.

    Gains and loads are integers >= 0 held exactly in float64 (their sums stay below 2**53); a slot
    with fewer classes than the widest is padded. Links are what the classes of two slots add
    together, as matrices over both.

    Attributes:
        gain: (S, W) per slot and class.
        load: (R, S, W) per limit, slot and class.
        room: (R,) what the loads may sum to.
        is_open: (S, W) False at the padding.
        members: the program's choices of every class, ascending; classes ascend by the first.
        twins: groups of slots with equal classes, each ascending.
        offset, step: objective at the integer scale = offset + step * gain.
        is_feasible: False where no choice of some slot fits by itself.
        links: (E, 2) the slots of every link, ascending.
        link_gain: (E, W, W).
        link_load: (R, E, W, W).
        load_offset, load_step: (R,) limited sum at the integer scale = offset + step * load.
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
    links: IntArray
    link_gain: FloatArray
    link_load: FloatArray
    load_offset: tuple[int, ...]
    load_step: tuple[int, ...]

    @property
    def n_slots(self) -> int:
        """Number of slots."""
        return len(self.members)

    @cached_property
    def most_gain(self) -> float:
        """No solution gains more, whatever the limits."""
        return float(self.gain.max(axis=1).sum() + self.link_gain.max(axis=(1, 2)).sum())

    @cached_property
    def most_load(self) -> FloatArray:
        """(R,) no solution loads more."""
        alone = self.load.max(axis=2, initial=0).sum(axis=1)
        return np.asarray(alone + self.link_load.max(axis=(2, 3), initial=0).sum(axis=1))

    def gain_of(self, classes: Sequence[int]) -> int:
        """The exact gain of one class a slot."""
        return int(sum_taken(self.gain, self.links, self.link_gain, np.array(classes)))

    def fits(self, classes: Sequence[int]) -> bool:
        """Whether the classes stay within all room, exactly."""
        loads = zip(self.load, self.link_load, self.room, strict=True)
        taken = np.array(classes)
        return all(sum_taken(load, self.links, m, taken) <= room for load, m, room in loads)

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


def sum_taken(
    values: FloatArray, links: IntArray, link_values: FloatArray, taken: IntArray
) -> FloatArray:
    """(...) the sums of (S, w) values and (E, w, w) links over the places `taken`, (..., S)."""
    total = values[np.arange(len(values)), taken].sum(axis=-1)
    for (one, other), matrix in zip(links.tolist(), link_values, strict=True):
        total = total + matrix[taken[..., one], taken[..., other]]
    return np.asarray(total)


def reduce_program(program: Program, kept: int = 0) -> Reduced:
    """`program` in integers, without forbidden and without repeated choices.

    The first `kept` limits are there even where they cannot bind.
    """
    parts, rooms = _integer_parts(program)
    allowed = program.allowed()
    is_feasible = all(mask.any() for mask in allowed) and all(
        peak.fixed <= peak.limit for peak in program.peaks
    )
    if not is_feasible:  # keep the shapes legal; nothing will be searched
        allowed = [np.ones_like(mask) for mask in allowed]
    members = [_merge(parts, s, np.flatnonzero(mask)) for s, mask in enumerate(allowed)]
    shape = (program.n_slots, max(map(len, members)))
    is_open = np.zeros(shape, dtype=np.bool_)
    for s, classes in enumerate(members):
        is_open[s, : len(classes)] = True
    links = np.array(sorted({slots for part in parts for slots in part.links}), dtype=np.int64)
    links = links.reshape(-1, 2)
    tables = [_tabulate(part, members, links, shape) for part in parts]
    gain, link_gain, step = _divide(*tables[0][:2])
    limits = [
        _divide_limit(*table, room)
        for r, (table, room) in enumerate(zip(tables[1:], rooms, strict=True))
        if r < kept or room - table[2] < _most(*table[:2])
    ]
    n = len(limits)
    load = np.array([limit[0] for limit in limits]).reshape(n, *gain.shape)
    link_load = np.array([limit[1] for limit in limits]).reshape(n, *link_gain.shape)
    room = np.array([limit[2] for limit in limits])
    linked = frozenset(links.ravel().tolist())
    return Reduced(
        gain,
        load,
        room,
        is_open,
        tuple(members),
        _find_twins(np.concatenate([gain[None], load]), is_open, linked),
        tables[0][2],
        step,
        is_feasible and bool((room >= 0).all()),
        links,
        link_gain,
        link_load,
        tuple(limit[3] for limit in limits),
        tuple(limit[4] for limit in limits),
    )


def _integer_parts(program: Program) -> tuple[list[Scaled], list[int]]:
    """What to maximise (first) and to keep small (the others), and the rooms of the others."""
    sign = 1 if program.objective.is_maximised else -1
    parts, rooms = [program.scaled_objective.times(sign)], []
    for limit, scaled in zip(program.sums, program.scaled_sums, strict=True):
        turn = -1 if limit.is_floor else 1
        parts.append(scaled.times(turn))
        rooms.append(scaled.room(turn * limit.limit, turn * limit.fixed))
    return parts, rooms


def _merge(
    parts: Sequence[Scaled], slot: int, allowed: NDArray[np.intp]
) -> tuple[tuple[int, ...], ...]:
    """The choices of every class of a slot: what differs in no value and no pair term."""
    rows = [part.values[slot][None] for part in parts]
    for part in parts:
        for (one, other), matrix in part.links.items():
            if slot in (one, other):
                terms = matrix.T if slot == one else matrix
                rows.append(terms[terms.any(axis=1)])
    table = np.concatenate(rows).T
    classes: dict[bytes, list[int]] = {}
    for choice in allowed.tolist():
        classes.setdefault(table[choice].tobytes(), []).append(choice)
    return tuple(tuple(choices) for choices in classes.values())


def _tabulate(
    part: Scaled,
    members: Sequence[tuple[tuple[int, ...], ...]],
    links: IntArray,
    shape: tuple[int, int],
) -> tuple[FloatArray, FloatArray, int]:
    """Values (S, W) and links (E, W, W) of the classes from zero up, and what that took away."""
    values, matrices = np.zeros(shape), np.zeros((len(links), shape[1], shape[1]))
    first = [[choices[0] for choices in classes] for classes in members]
    low = 0
    for row, integers, taken in zip(values, part.values, first, strict=True):
        here = integers[taken]
        low += int(here.min())
        row[: len(taken)] = here - here.min()
    for matrix, (one, other) in zip(matrices, links.tolist(), strict=True):
        if (one, other) in part.links:
            terms = part.links[one, other][np.ix_(first[one], first[other])]
            low += int(terms.min())
            matrix[: len(first[one]), : len(first[other])] = terms - terms.min()
    return values, matrices, low


def _divide(values: FloatArray, links: FloatArray) -> tuple[FloatArray, FloatArray, int]:
    """Both divided by their greatest common divisor: a coarser grid gives sharper bounds."""
    divisors = [int(np.gcd.reduce(x.astype(np.int64), axis=None)) for x in (values, links)]
    divisor = max(math.gcd(*divisors), 1)
    return values // divisor, links // divisor, divisor


def _most(load: FloatArray, link: FloatArray) -> float:
    return float(load.max(axis=1).sum() + link.max(axis=(1, 2), initial=0).sum())


def _divide_limit(
    load: FloatArray, link: FloatArray, low: int, room: int
) -> tuple[FloatArray, FloatArray, float, int, int]:
    """Load, links and room divided by their common divisor; what was taken away; the divisor."""
    smaller, smaller_link, divisor = _divide(load, link)
    return smaller, smaller_link, float(max((room - low) // divisor, -1)), low, divisor


def _find_twins(
    table: FloatArray, is_open: BoolArray, linked: frozenset[int]
) -> tuple[tuple[int, ...], ...]:
    groups: dict[bytes, list[int]] = {}
    for slot in range(table.shape[1]):
        if slot not in linked:
            key = table[:, slot].tobytes() + is_open[slot].tobytes()
            groups.setdefault(key, []).append(slot)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)
