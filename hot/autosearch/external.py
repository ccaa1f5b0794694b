"""External solvers through PuLP: the core as a 0-1 model, the k best by no-good cuts.

A float solver decides neither ties nor feasibility to the last digit. So its limits get a little
room, every solution is checked exactly, and cuts go on until the solver's best is clearly below the
k-th best: what it cannot tell apart has been met by then, and is ranked in integers.

A pair term is a variable y, the product of two 0-1 variables. Given sum_j x_s[j] = 1, three rows
make that exact for either sign of the term, in the objective and in limits alike, for all terms J'
of the choice j of slot s:

    sum_{j' in J'} y[j, j'] <= x_s[j],    the same from the other slot,
    sum_{j' in J'} y[j, j'] >= x_s[j] + sum_{j' in J'} x_t[j'] - 1

References:
    F. Glover, E. Woolsey, Converting the 0-1 polynomial programming problem to a 0-1 linear
    program, 1974 (products of 0-1 variables; here one row for all terms of a choice).
"""

import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pulp

from hot.autosearch.answer import Found
from hot.autosearch.branch import Ranking
from hot.autosearch.core import (
    Core,
    Relaxation,
    cut_core,
    first_target,
    load_units,
    lower_target,
    relax,
)
from hot.autosearch.reduce import FloatArray, Reduced
from hot.errors import InputError

MakeSolver = Callable[[float | None], pulp.LpSolver]

# Relative to the largest possible sum: what the solvers' default tolerances may hide.
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class External:
    """A solver that PuLP drives.

    Attributes:
        make: the solver, given a time limit in s or None.
        install: how to get it, for the message where it is absent.
    """

    name: str
    make: MakeSolver
    install: str

    def search(self, reduced: Reduced, k: int, deadline: float | None = None) -> Found:
        """The k best canonical solutions of `reduced`.

        Raises:
            InputError: the solver is not installed.
        """
        if not self.make(None).available():
            raise InputError(
                f"the solver {self.name!r} is not installed: {self.install}, "
                "or use the solver 'exact', which is always there"
            )
        if not reduced.is_feasible:
            return Found([], -1, True, 0, 0)
        relaxation = relax(reduced)
        target = first_target(relaxation)
        n_calls = 0
        while True:
            ranking = Ranking(k)
            core = cut_core(reduced, relaxation, target)
            model = _Model(reduced, core, relaxation, ranking)
            is_ended = model.run(self.make, deadline)
            n_calls += model.n_calls
            last, n_core = ranking.last, core.n_choices
            if not is_ended:
                bound = min(model.bound, math.floor(relaxation.bound))
                return Found(ranking.solutions, max(bound, target - 1), False, n_core, n_calls)
            if target <= 0 or (last is not None and last[0] >= target):
                bound = -1 if last is None else last[0]
                return Found(ranking.solutions, bound, True, n_core, n_calls)
            target = lower_target(relaxation, target, 0 if last is None else last[0])


class _Model:
    """The core as a `pulp.LpProblem`; a cut forbids every solution once it has been met."""

    def __init__(
        self, reduced: Reduced, core: Core, relaxation: Relaxation, ranking: Ranking
    ) -> None:
        self.reduced, self.core, self.ranking = reduced, core, ranking
        self.n_calls = 0
        self.bound = math.floor(relaxation.bound)
        self.unit = max(float(reduced.gain.max()), float(reduced.link_gain.max(initial=0)), 1.0)
        self.margin = math.ceil(_TOLERANCE * reduced.most_gain)
        self.problem = pulp.LpProblem("hot", pulp.LpMaximize)
        self.x = {
            (int(s), int(j)): self.problem.add_variable(f"x_{s}_{j}", cat=pulp.LpBinary)
            for s, j in zip(*np.nonzero(core.is_open), strict=True)
        }
        self.y: dict[tuple[int, int, int], pulp.LpVariable] = {}
        # What most choices of two slots add is left to a constant: only the others need a product.
        usual = [_usual(core, e, *link) for e, link in enumerate(reduced.links.tolist())]
        self.usual = np.array(usual).reshape(len(usual), 1 + len(core.room))
        for e, link in enumerate(reduced.links.tolist()):
            self._add_products(e, *link)
        self._add_rows()

    def _add_products(self, e: int, one: int, other: int) -> None:
        terms = np.concatenate([self.core.link_gain[e][None], self.core.link_load[:, e]])
        differs = (terms != self.usual[e][:, None, None]).any(axis=0)
        places = np.argwhere(differs & self.core.is_open[one][:, None] & self.core.is_open[other])
        for a, b in places.tolist():
            self.y[e, a, b] = self.problem.add_variable(f"y_{e}_{a}_{b}", 0, 1)
        for a in sorted({a for a, _ in places.tolist()}):
            partners = [b for first, b in places.tolist() if first == a]
            taken = pulp.lpSum(self.y[e, a, b] for b in partners)
            self.problem += taken <= self.x[one, a]
            both = self.x[one, a] + pulp.lpSum(self.x[other, b] for b in partners) - 1
            self.problem += taken >= both
        for b in sorted({b for _, b in places.tolist()}):
            partners = [a for a, second in places.tolist() if second == b]
            self.problem += pulp.lpSum(self.y[e, a, b] for a in partners) <= self.x[other, b]

    def _terms(
        self, values: FloatArray, links: FloatArray, usual: FloatArray, unit: float
    ) -> pulp.LpAffineExpression:
        """A sum over slots and products, without the constant `usual`."""
        alone = ((x, values[place] / unit) for place, x in self.x.items())
        pairs = ((y, (links[e, a, b] - usual[e]) / unit) for (e, a, b), y in self.y.items())
        return pulp.LpAffineExpression(itertools.chain(alone, pairs))

    def _add_rows(self) -> None:
        core, slots = self.core, range(self.reduced.n_slots)
        self.problem += self._terms(
            core.gain, core.link_gain, self.usual[:, 0], self.unit
        )  # eq. (1)
        for s in slots:  # eq. (2)
            self.problem += pulp.lpSum(x for (slot, _), x in self.x.items() if slot == s) == 1
        units = load_units(self.reduced)
        for r, unit in enumerate(units):  # eq. (3), (4)
            usual = self.usual[:, 1 + r]
            loads = self._terms(core.load[r], core.link_load[r], usual, unit)
            room = core.room[r] - usual.sum() + _TOLERANCE * self.reduced.most_load[r]
            self.problem += loads <= float(room / unit)
        for group in self.reduced.twins:
            for one, next_ in itertools.pairwise(group):
                self.problem += self._place(one) <= self._place(next_)

    def _place(self, slot: int) -> pulp.LpAffineExpression:
        return pulp.LpAffineExpression((x, j) for (s, j), x in self.x.items() if s == slot)

    def run(self, make: MakeSolver, deadline: float | None) -> bool:
        """Solve and cut until the k best are known; False when the time was up before."""
        if not self.core.is_open.any(axis=1).all():
            return True
        while True:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            self.n_calls += 1
            self.problem.solve(make(left))
            if self.problem.status == pulp.LpStatusInfeasible:
                return True
            if self.problem.sol_status != pulp.LpSolutionOptimal:
                return False
            if self._take_in():
                return True

    def _take_in(self) -> bool:
        """Rank and forbid the solution just found; whether it lies below the k best."""
        taken = [place for place, x in self.x.items() if (x.value() or 0.0) > 0.5]
        classes = tuple(int(self.core.column[place]) for place in sorted(taken))
        gain = self.reduced.gain_of(classes)
        self.bound = min(self.bound, gain + self.margin)
        last = self.ranking.last
        if last is not None and gain + self.margin < last[0]:
            return True
        if self.reduced.fits(classes):
            self.ranking.offer(gain, classes)
        self.problem += pulp.lpSum(self.x[place] for place in taken) <= self.reduced.n_slots - 1
        return False


def _usual(core: Core, e: int, one: int, other: int) -> list[float]:
    """What the objective and every limit most often get from the open choices of a link."""
    is_open = np.ix_(core.is_open[one], core.is_open[other])
    found = []
    for matrix in (core.link_gain[e], *core.link_load[:, e]):
        values, counts = np.unique(matrix[is_open], return_counts=True)
        found.append(float(values[counts.argmax()]) if len(values) else 0.0)
    return found
