"""Diverse solutions: each the best of those that differ in enough slots from all before it.

The distance is Hamming's: the slots in which two solutions differ. To differ from p in at least d
of S slots is a linear limit of the program,

    sum_s [x_s == p_s] <= S - d

so every step is a plain search for the best one, with one more limit.
"""

import time
from dataclasses import replace

import numpy as np

from hot.autosearch.answer import Answer, Solution
from hot.autosearch.program import Program, SumLimit, as_rows
from hot.autosearch.solvers import check_question, run_solver


def solve_apart(
    program: Program, k: int, solver: str, time_limit_s: float | None, min_distance: int
) -> Answer:
    """The greedy sequence of up to k solutions that differ pairwise in `min_distance` slots.

    The bound is that of the last step: nothing that is far enough from all but the last is better.

    Raises:
        InputError: unknown or missing solver, k not in 1..size, or a time limit <= 0.
    """
    check_question(program, k, solver, time_limit_s)
    start = time.monotonic()
    solutions: list[Solution] = []
    n_nodes, bound, is_complete, n_core = 0, None, True, 0
    while len(solutions) < k and is_complete:
        left = None if time_limit_s is None else start + time_limit_s - time.monotonic()
        if left is not None and left <= 0:
            is_complete = False
            break
        limits = tuple(_keep_away(program, s, min_distance) for s in solutions)
        answer = run_solver(replace(program, sums=(*program.sums, *limits)), 1, solver, left)
        solutions += answer.solutions
        n_nodes, n_core = n_nodes + answer.n_nodes, max(n_core, answer.n_core)
        bound, is_complete = answer.bound, answer.is_complete
        if not answer.solutions:
            break
    seconds = time.monotonic() - start
    return Answer(
        tuple(solutions), solver, is_complete, bound, program.n_choices, n_core, n_nodes, seconds
    )


def _keep_away(program: Program, pick: Solution, min_distance: int) -> SumLimit:
    rows = [
        np.arange(len(row)) == taken
        for row, taken in zip(program.objective.values, pick.choices, strict=True)
    ]
    name = f"agreement with {pick.choices}"
    return SumLimit(name, as_rows(rows), float(program.n_slots - min_distance))
