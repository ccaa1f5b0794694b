"""External solvers through PuLP: the core as a 0-1 model, the k best by no-good cuts.

A float solver decides neither ties nor feasibility to the last digit. So its limits get a little
room, every solution is checked exactly, and cuts go on until the solver's best is clearly below the
k-th best: what it cannot tell apart has been met by then, and is ranked in integers.
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
from hot.autosearch.reduce import Reduced
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
        self.unit = max(float(reduced.gain.max()), 1.0)
        self.margin = math.ceil(_TOLERANCE * float(reduced.gain.max(axis=1).sum()))
        self.problem = pulp.LpProblem("hot", pulp.LpMaximize)
        self.x = {
            (int(s), int(j)): self.problem.add_variable(f"x_{s}_{j}", cat=pulp.LpBinary)
            for s, j in zip(*np.nonzero(core.is_open), strict=True)
        }
        self._add_rows()

    def _add_rows(self) -> None:
        core, slots = self.core, range(self.reduced.n_slots)
        gains = ((x, core.gain[place] / self.unit) for place, x in self.x.items())
        self.problem += pulp.LpAffineExpression(gains)  # eq. (1)
        for s in slots:  # eq. (2)
            self.problem += pulp.lpSum(x for (slot, _), x in self.x.items() if slot == s) == 1
        units = load_units(self.reduced)
        for load, room, unit in zip(core.load, core.room, units, strict=True):  # eq. (3), (4)
            loads = ((x, load[place] / unit) for place, x in self.x.items())
            slack = _TOLERANCE * float(load.max(axis=1).sum())
            self.problem += pulp.LpAffineExpression(loads) <= float((room + slack) / unit)
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
