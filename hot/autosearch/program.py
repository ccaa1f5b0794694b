"""The multiple-choice 0-1 program of the paper: one choice a slot, limits on sums and on peaks.

    best  sum_s objective[s][x_s] + pairs                 # eq. (1)
    s.t.  one choice x_s for every slot s                 # eq. (2)
          sum_s cost[s][x_s] + pairs + fixed <= limit     # eq. (3), (4): M_budget = M_max - M_head
          max(max_s peak[s][x_s], fixed) <= limit         # removes choices, see `Program.removals`

Eq. (2) of the paper reads `<= 1`, which lets a slot stay empty; a network needs every slot, so it
is `= 1` here. Pairs, which the paper has none of, are terms [x_s == j and x_t == j'] * value.

References:
    C. Ozcinar et al., Hardware-aware model optimization tool for embedded devices, 2022, eq. 1-4.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hot.errors import InputError
from hot.records import PairTerm

FloatArray = NDArray[np.float64]
Rows = tuple[FloatArray, ...]
Links = dict[tuple[int, int], NDArray[np.int64]]

# Sums of non-integers are exact at twelve significant digits of the largest possible sum; integers
# are exact as they are, as long as doubles (and so every solver) can hold their sums.
_DIGITS = 12
_EXACT = 2**50


def as_rows(values: Sequence[Sequence[float] | FloatArray]) -> Rows:
    """One read-only float64 array a slot."""
    rows = tuple(np.array(row, dtype=np.float64).reshape(-1) for row in values)
    for row in rows:
        row.flags.writeable = False
    return rows


@dataclass(frozen=True, eq=False)
class Objective:
    """What is best: the sum over slots of the value of the choice taken, plus pairs and `fixed`.

    Attributes:
        values: one array a slot, one value a choice.
        is_maximised: whether more is better.
        pairs: what two choices add when both are taken.
    """

    name: str
    values: Rows
    is_maximised: bool = True
    fixed: float = 0.0
    unit: str = ""
    pairs: tuple[PairTerm, ...] = ()


@dataclass(frozen=True, eq=False)
class SumLimit:
    """A limit on a sum over slots, pairs and `fixed` (stem and head): at most, or least, `limit`.

    Messages call it by its `label`, or its name where there is none.
    """

    name: str
    values: Rows
    limit: float
    is_floor: bool = False
    fixed: float = 0.0
    unit: str = ""
    label: str = ""
    pairs: tuple[PairTerm, ...] = ()


@dataclass(frozen=True, eq=False)
class PeakLimit:
    """A limit on the maximum over slots and the fixed parts: no choice above it may be taken."""

    name: str
    values: Rows
    limit: float
    fixed: float = 0.0
    unit: str = ""
    label: str = ""


Limit = SumLimit | PeakLimit


@dataclass(frozen=True)
class Removal:
    """A choice that a peak limit forbids."""

    slot: int
    choice: int
    limit: str
    value: float
    allowed: float


@dataclass(frozen=True)
class LeftOutChoice:
    """A choice that no solution may take, and why: a table could not tell what it is worth."""

    slot: int
    choice: int
    reason: str


@dataclass(frozen=True, eq=False)
class Scaled:
    """Numbers as integers: `values[s][j] == round(values_of_the_user[s][j] * scale)`.

    Attributes:
        links: by two slots, ascending, what each choice of one (row) adds with each of the other.
    """

    values: tuple[NDArray[np.int64], ...]
    scale: float
    links: Links = field(default_factory=dict)

    def total(self, choices: Sequence[int]) -> int:
        """The exact sum over slots and pairs."""
        alone = sum(int(row[j]) for row, j in zip(self.values, choices, strict=True))
        return alone + sum(int(m[choices[s], choices[t]]) for (s, t), m in self.links.items())

    def times(self, sign: int) -> "Scaled":
        """The same numbers with their signs turned where `sign` is -1."""
        links = {slots: sign * matrix for slots, matrix in self.links.items()}
        return Scaled(tuple(sign * row for row in self.values), self.scale, links)

    def to_float(self, total: int) -> float:
        """An exact sum in the user's unit."""
        return total / self.scale if self.scale >= 1 else total * round(1 / self.scale)

    def room(self, total: float, taken: float) -> int:
        """The largest integer sum that is `<= total - taken`; float noise is forgiven.

        Noise is what the double of either number cannot hold, and what rounding every value to an
        integer may add up to, so that a network fits a budget of just what it takes.
        """
        exact = (Fraction(total) - Fraction(taken)) * Fraction(self.scale)
        if self.scale == 1 and total == round(total) and taken == round(taken):
            return math.floor(exact)
        noise = 4 * np.finfo(float).eps * max(abs(total), abs(taken)) * self.scale
        rounded = 1e-3 if self.scale == 1 else 0.5 * (len(self.values) + len(self.links))
        return math.floor(exact + Fraction(noise + rounded))


def to_integers(rows: Rows, pairs: Sequence[PairTerm] = ()) -> Scaled:
    """`rows` and `pairs` as integers at one power of ten (1 where all are integers): exact sums.

    Two sums are equal, a tie, when they agree at this scale: about twelve significant digits of
    the largest possible sum.
    """
    links = _link(rows, pairs)
    parts = (*rows, *links.values())
    largest = max(float(np.abs(part).max()) for part in parts)
    if largest * len(parts) < _EXACT and all(np.array_equal(p, np.rint(p)) for p in parts):
        scale = 1.0
    else:
        exponent = math.floor(_DIGITS - math.log10(largest) - math.log10(len(parts)))
        scale = 10.0 ** min(exponent, 300)
    return Scaled(
        tuple(np.rint(row * scale).astype(np.int64) for row in rows),
        scale,
        {slots: np.rint(m * scale).astype(np.int64) for slots, m in links.items()},
    )


def _link(rows: Rows, pairs: Sequence[PairTerm]) -> dict[tuple[int, int], FloatArray]:
    """The pair terms as one matrix for every two slots that have any; repeated terms add up."""
    links: dict[tuple[int, int], FloatArray] = {}
    for pair in pairs:
        slots = (pair.slot, pair.other_slot)
        shape = (len(rows[pair.slot]), len(rows[pair.other_slot]))
        links.setdefault(slots, np.zeros(shape))[pair.choice, pair.other_choice] += pair.value
    return links


@dataclass(frozen=True, eq=False)
class Program:
    """One choice for every slot, best by `objective`, within all limits.

    Attributes:
        sums, peaks: the limits; names are unique.
        slot_names, choice_names: for messages; numbered where not given.
        left_out: choices that no solution may take; their numbers are never read, but finite.

    Raises:
        InputError: no slot, an empty slot, one of which every choice is left out, or a number that
            is NaN or infinite; names slot, choice and value.
        ValueError: rows of different shapes, pairs outside them, or two limits of one name.
    """

    objective: Objective
    sums: tuple[SumLimit, ...] = ()
    peaks: tuple[PeakLimit, ...] = ()
    slot_names: tuple[str, ...] = field(default=())
    choice_names: tuple[tuple[str, ...], ...] = field(default=())
    left_out: tuple[LeftOutChoice, ...] = ()

    def __post_init__(self) -> None:
        rows = self.objective.values
        if not rows:
            raise InputError("the program has no slots; a search space needs at least one")
        sizes = [len(row) for row in rows]
        if not self.slot_names:
            object.__setattr__(self, "slot_names", tuple(f"slot {s}" for s in range(len(rows))))
        if not self.choice_names:
            names = tuple(tuple(f"choice {j}" for j in range(n)) for n in sizes)
            object.__setattr__(self, "choice_names", names)
        if len(self.slot_names) != len(sizes) or [len(c) for c in self.choice_names] != sizes:
            raise ValueError("the names do not match the slots and choices of the objective")
        names_of_limits = [limit.name for limit in self.limits]
        if len(set(names_of_limits)) != len(names_of_limits):
            raise ValueError(f"two limits have one name: {names_of_limits}")
        for slot, n_choices in zip(self.slot_names, sizes, strict=True):
            if n_choices == 0:
                raise InputError(f"{slot!r} has no choices; give it at least one")
        for part in (self.objective, *self.limits):
            self._check_numbers(part, sizes)
        self._check_pairs(self.objective, sizes)
        for limit in self.sums:
            self._check_pairs(limit, sizes)
        for s, n_choices in enumerate(sizes):
            reasons = {x.choice: x.reason for x in self.left_out if x.slot == s}
            if len(reasons) == n_choices:
                raise InputError(
                    f"every choice of {self.slot_names[s]!r} was left out, the first because: "
                    f"{reasons[min(reasons)]}; score at least one"
                )

    def _check_numbers(self, part: Objective | Limit, sizes: list[int]) -> None:
        if [len(row) for row in part.values] != sizes:
            raise ValueError(f"{part.name!r} has other slots or choices than the objective")
        for s, row in enumerate(part.values):
            bad = np.flatnonzero(~np.isfinite(row))
            if bad.size:
                j = int(bad[0])
                raise InputError(
                    f"the {part.name} of {self.choice_names[s][j]!r} at {self.slot_names[s]!r} is "
                    f"{row[j]}, which is not a finite number ({bad.size} such at this slot); "
                    "measure or score it again"
                )
        numbers = [("fixed part", part.fixed)]
        if isinstance(part, SumLimit | PeakLimit):
            numbers.append(("limit", part.limit))
        for what, number in numbers:
            if not math.isfinite(number):
                raise InputError(f"the {what} of {part.name} is {number}; give a finite number")

    def _check_pairs(self, part: Objective | SumLimit, sizes: list[int]) -> None:
        for pair in part.pairs:
            is_inside = 0 <= pair.slot < pair.other_slot < len(sizes) and (
                0 <= pair.choice < sizes[pair.slot]
                and 0 <= pair.other_choice < sizes[pair.other_slot]
            )
            if not is_inside:
                raise ValueError(f"{part.name!r} has a pair outside its slots and choices: {pair}")
            if not math.isfinite(pair.value):
                places = ((pair.slot, pair.choice), (pair.other_slot, pair.other_choice))
                one, other = (
                    f"{self.choice_names[s][j]!r} at {self.slot_names[s]!r}" for s, j in places
                )
                raise InputError(
                    f"the {part.name} of {one} with {other} is {pair.value}, which is not a finite "
                    "number; fit the correction again"
                )

    @property
    def limits(self) -> tuple[Limit, ...]:
        """All limits, sums first."""
        return (*self.sums, *self.peaks)

    @property
    def n_slots(self) -> int:
        """Number of slots."""
        return len(self.objective.values)

    @property
    def size(self) -> int:
        """Number of ways to take one choice a slot, limits aside."""
        return math.prod(len(row) for row in self.objective.values)

    @property
    def n_choices(self) -> int:
        """Number of 0-1 variables: choices over all slots."""
        return sum(len(row) for row in self.objective.values)

    @cached_property
    def scaled_objective(self) -> Scaled:
        """The objective as integers."""
        return to_integers(self.objective.values, self.objective.pairs)

    @cached_property
    def scaled_sums(self) -> tuple[Scaled, ...]:
        """The values of every sum limit as integers."""
        return tuple(to_integers(limit.values, limit.pairs) for limit in self.sums)

    @cached_property
    def removals(self) -> tuple[Removal, ...]:
        """The choices that peak limits forbid, with the limit that forbids each."""
        return tuple(
            Removal(s, int(j), peak.name, float(row[j]), peak.limit)
            for peak in self.peaks
            for s, row in enumerate(peak.values)
            for j in np.flatnonzero(row > peak.limit)
        )

    def allowed(self) -> list[NDArray[np.bool_]]:
        """For every slot, which choices no peak limit forbids and no table left out."""
        masks = [np.ones(len(row), dtype=np.bool_) for row in self.objective.values]
        closed = [(r.slot, r.choice) for r in self.removals]
        for slot, choice in closed + [(x.slot, x.choice) for x in self.left_out]:
            masks[slot][choice] = False
        return masks

    def value(self, choices: Sequence[int]) -> float:
        """The objective of `choices`, the fixed part included."""
        scaled = self.scaled_objective
        return scaled.to_float(scaled.total(choices)) + self.objective.fixed

    def amount(self, name: str, choices: Sequence[int]) -> float:
        """What `choices` take of the resource `name`: its sum or its peak, fixed part included."""
        for limit, scaled in zip(self.sums, self.scaled_sums, strict=True):
            if limit.name == name:
                return scaled.to_float(scaled.total(choices)) + limit.fixed
        peak = next(limit for limit in self.peaks if limit.name == name)
        rows = zip(peak.values, choices, strict=True)
        return max(peak.fixed, *(float(row[j]) for row, j in rows))

    def is_feasible(self, choices: Sequence[int]) -> bool:
        """Whether `choices` are within all limits, exactly at the integer scale; none left out."""
        if any(choices[x.slot] == x.choice for x in self.left_out):
            return False
        return all(load <= room for load, room in self._loads(choices)) and all(
            self.amount(peak.name, choices) <= peak.limit for peak in self.peaks
        )

    def _loads(self, choices: Sequence[int]) -> Iterator[tuple[int, int]]:
        for limit, scaled in zip(self.sums, self.scaled_sums, strict=True):
            total = scaled.total(choices)
            if limit.is_floor:
                yield -total, scaled.room(limit.fixed, limit.limit)
            else:
                yield total, scaled.room(limit.limit, limit.fixed)
