"""What a solver hands back: the k best solutions with what was proven of each."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from hot.autosearch.program import Program
from hot.autosearch.reduce import Reduced


@dataclass(frozen=True)
class Solution:
    """One choice for every slot.

    Attributes:
        value: the objective, its fixed part included.
        bound: no better value can come at this rank; equals `value` when proven.
        is_proven: this is the true best at its rank.
        gap: |bound - value| relative to |value|; 0 when proven.
    """

    choices: tuple[int, ...]
    value: float
    bound: float
    is_proven: bool
    gap: float


@dataclass(frozen=True)
class Answer:
    """The k best solutions of a program, best first, ties in order of choice indices.

    Attributes:
        is_complete: every solution is proven, and there are k or no more exist.
        bound: no solution that is not listed is better; None when there is no other.
        n_variables, n_core: 0-1 variables of the program, and of the core that was searched.
        n_nodes: nodes (exact) or solver calls (external) it took.
    """

    solutions: tuple[Solution, ...]
    solver: str
    is_complete: bool
    bound: float | None
    n_variables: int
    n_core: int
    n_nodes: int
    seconds: float


@dataclass(frozen=True)
class Found:
    """What a search over a `Reduced` program found and proved.

    Attributes:
        solutions: (gain, classes), best first.
        bound: no solution that is not listed gains more; -1 when there is none.
        is_complete: the listed ones are the k best, or all there are.
    """

    solutions: list[tuple[int, tuple[int, ...]]]
    bound: int
    is_complete: bool
    n_core: int
    n_nodes: int


def certify(
    program: Program, reduced: Reduced, found: Found, k: int, solver: str, start: float
) -> Answer:
    """`found` in the program's terms; `start` is the `time.monotonic()` at which it began."""
    ranked = reduced.best(found.solutions, k)
    bound = _value(program, reduced, found.bound) if found.bound >= 0 else None
    solutions = tuple(
        _solution(program, choices, found.is_complete or gain > found.bound, bound)
        for gain, choices in ranked
    )
    return Answer(
        solutions,
        solver,
        found.is_complete,
        bound,
        program.n_choices,
        found.n_core,
        found.n_nodes,
        time.monotonic() - start,
    )


def _value(program: Program, reduced: Reduced, gain: int) -> float:
    sign = 1 if program.objective.is_maximised else -1
    total = sign * (reduced.offset + reduced.step * gain)
    return program.scaled_objective.to_float(total) + program.objective.fixed


def _solution(
    program: Program, choices: Sequence[int], is_proven: bool, bound: float | None
) -> Solution:
    value = program.value(choices)
    if is_proven or bound is None:
        return Solution(tuple(choices), value, value, True, 0.0)
    gap = abs(bound - value) / max(abs(value), 1e-300)
    return Solution(tuple(choices), value, bound, False, gap)
