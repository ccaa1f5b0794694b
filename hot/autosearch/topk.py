"""The front of the solvers: the k best of a program, or why there is none."""

import math
from dataclasses import replace

import numpy as np

from hot.autosearch.answer import Answer, Solution
from hot.autosearch.apart import solve_apart
from hot.autosearch.program import Limit, Objective, PeakLimit, Program, SumLimit
from hot.autosearch.solvers import run_solver
from hot.errors import InfeasibleError, InputError

# Each question of the diagnosis ("how low can the latency be?") may take this long.
_DIAGNOSIS_S = 20.0


def solve(
    program: Program,
    k: int,
    solver: str = "exact",
    time_limit_s: float | None = None,
    min_distance: int = 1,
) -> Answer:
    """The k best solutions of `program`: distinct, best first, each proven best at its rank.

    Ties go to the lexicographically smallest choice indices, so the answer depends neither on the
    solver nor on a seed. After `time_limit_s` it is what was found, with the proven gap. There are
    fewer than k where no more exist.

    With `min_distance` d above 1 it is the greedy sequence: every solution is proven the best of
    those that differ in at least d slots from each one before it. (Another set of k may have a
    better sum or a better last one.)

    Raises:
        InfeasibleError: no solution; names the binding limits, the nearest feasible value of each
            limit and the slot that takes most of it.
        InputError: unknown or missing solver, k not in 1..size, a time limit <= 0, or a distance
            not in 1..slots.
    """
    if not 1 <= min_distance <= program.n_slots:
        raise InputError(
            f"the picks must differ in 1 to {program.n_slots} slots, not {min_distance}: "
            f"the space has {program.n_slots} slots"
        )
    if min_distance == 1:
        answer = run_solver(program, k, solver, time_limit_s)
    else:
        answer = solve_apart(program, k, solver, time_limit_s, min_distance)
    if answer.is_complete and not answer.solutions:
        raise explain_infeasible(program)
    return answer


def explain_infeasible(program: Program) -> InfeasibleError:
    """Why no solution exists, and the nearest value of every limit, the others unchanged."""
    nearest: dict[str, float | None] = {}
    lines = []
    for limit in program.limits:
        best = find_nearest(program, limit)
        nearest[limit.name] = None if best is None else program.amount(limit.name, best.choices)
        if best is not None:
            lines.append(_line(program, limit, best, "with the other budgets unchanged"))
    if lines:
        lines.append("loosen one of them to its value")
    else:
        for limit in program.limits:
            alone = find_nearest(replace(program, sums=(), peaks=()), limit)
            if alone is not None and not _holds(limit, program.amount(limit.name, alone.choices)):
                lines.append(_line(program, limit, alone, "even without the other budgets"))
        lines = lines or ["each budget can be met alone, but no two of them at once"]
        lines.append("no single budget can mend it: loosen two or more")
    wanted = ", ".join(f"{_name(limit)} {_bound(limit)}" for limit in program.limits)
    text = f"no architecture fits {wanted}. " + "; ".join(lines) + "."
    return InfeasibleError(text + _say_left_out(program), nearest)


def _say_left_out(program: Program) -> str:
    if not program.left_out:
        return ""
    first = program.left_out[0]
    name, slot = program.choice_names[first.slot][first.choice], program.slot_names[first.slot]
    return (
        f" {len(program.left_out)} choices could not be scored and were left out, for example "
        f"{name!r} at {slot!r}: {first.reason}."
    )


def find_nearest(program: Program, limit: Limit) -> Solution | None:
    """The solution nearest to `limit` within all other limits, or None when there is none."""
    others = replace(
        program,
        sums=tuple(other for other in program.sums if other.name != limit.name),
        peaks=tuple(other for other in program.peaks if other.name != limit.name),
    )
    if isinstance(limit, PeakLimit):
        return _least_peak(others, limit)
    objective = Objective(limit.name, limit.values, limit.is_floor, limit.fixed, "", limit.pairs)
    return _first(replace(others, objective=objective))


def _first(program: Program) -> Solution | None:
    answer = run_solver(program, 1, time_limit_s=_DIAGNOSIS_S)
    return answer.solutions[0] if answer.solutions else None


def _least_peak(others: Program, limit: PeakLimit) -> Solution | None:
    """A solution of least peak, by bisection over the peaks that choices have."""
    steps = np.unique(np.maximum(np.concatenate(limit.values), limit.fixed))
    low, high, best = 0, len(steps) - 1, _first(others)
    if best is None:
        return None
    while low < high:
        middle = (low + high) // 2
        tried = replace(limit, limit=float(steps[middle]))
        found = _first(replace(others, peaks=(*others.peaks, tried)))
        low, high = (low, middle) if found else (middle + 1, high)
        best = found or best
    return best


def _line(program: Program, limit: Limit, best: Solution, when: str) -> str:
    amount = program.amount(limit.name, best.choices)
    parts = [float(row[j]) for row, j in zip(limit.values, best.choices, strict=True)]
    is_floor = isinstance(limit, SumLimit) and limit.is_floor
    slot = int(np.argmin(parts) if is_floor else np.argmax(parts))
    least, what = ("most", "gives least") if is_floor else ("least", "takes most")
    how = "possible" if best.is_proven else f"found in {_DIAGNOSIS_S:g} s"
    return (
        f"{_name(limit)} {_bound(limit)} binds: the {least} {how} {when} is "
        f"{_show_enough(amount, limit)}, of which {program.slot_names[slot]!r} {what} "
        f"({_show(parts[slot], limit)})"
    )


def _holds(limit: Limit, amount: float) -> bool:
    is_floor = isinstance(limit, SumLimit) and limit.is_floor
    return amount >= limit.limit if is_floor else amount <= limit.limit


def _bound(limit: Limit) -> str:
    is_floor = isinstance(limit, SumLimit) and limit.is_floor
    return f"{'>=' if is_floor else '<='} {_show(limit.limit, limit)}"


def _name(limit: Limit) -> str:
    return limit.label or limit.name


def _show(value: float, limit: Limit) -> str:
    if value == round(value) and abs(value) < 1e15:
        return f"{value:,.0f} {limit.unit}".rstrip()
    return f"{value:.6g} {limit.unit}".rstrip()


def _show_enough(value: float, limit: Limit) -> str:
    """`value` rounded to the side where the limit still holds, so that it can be typed back."""
    if value == round(value):
        return _show(value, limit)
    is_floor = isinstance(limit, SumLimit) and limit.is_floor
    step = 10.0 ** (math.floor(math.log10(abs(value))) - 3)
    near = round(value / step) * step
    if near < value and not is_floor:
        near += step
    if near > value and is_floor:
        near -= step
    return _show(near, limit)
