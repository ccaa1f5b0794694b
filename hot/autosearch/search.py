"""AutoSearch: from a space, its tables and a budget to the k best architectures."""

import logging
from dataclasses import dataclass, fields

from hot.autosearch.answer import Answer, Solution
from hot.autosearch.program import (
    LeftOutChoice,
    Objective,
    PeakLimit,
    Program,
    Rows,
    SumLimit,
    as_rows,
)
from hot.autosearch.tables import Amounts, Tables
from hot.autosearch.topk import solve
from hot.errors import InputError, unknown_name
from hot.records import RESOURCE_LABELS, Budget, Candidate, LatencyTable, QualityTable
from hot.space import Space

log = logging.getLogger(__name__)

# A pick below this share of the baseline's parameters carries a warning: a score that only counts
# MACs is met by networks of a tenth of the parameters.
_FEW_PARAMS = 0.5


@dataclass(frozen=True)
class Aim:
    """An objective: which resource is best when it is most, or least."""

    resource: str
    is_maximised: bool


OBJECTIVES: dict[str, Aim] = {
    "accuracy": Aim("quality", is_maximised=True),
    "latency": Aim("latency_ms", is_maximised=False),
    "energy": Aim("energy_mj", is_maximised=False),
}


_UNITS = {
    "latency_ms": "ms",
    "energy_mj": "mJ",
    "macs": "MACs",
    "weight_bytes": "B",
    "activation_bytes": "B",
}
_PEAKS = frozenset({"activation_bytes"})  # a maximum over the network; the others are sums


def build_program(
    tables: Tables,
    budget: Budget,
    objective: str = "accuracy",
    min_quality: float | None = None,
) -> Program:
    """The 0-1 program of a search (eq. 1-4); M_budget = M_max - M_head for every sum.

    A choice that the quality table could not score is left out, whatever the objective.

    Raises:
        InputError: unknown objective, a resource the tables do not tell, a NaN in a table, or a
            slot that has no scored choice.
    """
    if objective not in OBJECTIVES:
        raise InputError(unknown_name("objective", objective, OBJECTIVES))
    aim = OBJECTIVES[objective]
    goal = tables.amounts(aim.resource)
    sums, peaks = [], []
    for resource in (item.name for item in fields(budget)):
        limit = getattr(budget, resource)
        if limit is None:
            continue
        if resource in _PEAKS:
            peaks.append(_limit_peak(tables, resource, limit))
        else:
            sums.append(limit_sum(tables, resource, limit))
    if min_quality is not None:
        sums.append(limit_sum(tables, "quality", min_quality, is_floor=True))
    return Program(
        Objective(aim.resource, _as_rows(goal), aim.is_maximised, goal.fixed, "", goal.pairs),
        tuple(sums),
        tuple(peaks),
        tuple(slot.name for slot in tables.space.slots),
        tuple(slot.keys for slot in tables.space.slots),
        _left_out(tables),
    )


def limit_sum(tables: Tables, resource: str, limit: float, *, is_floor: bool = False) -> SumLimit:
    """The limit on a resource of a whole network that adds up over its slots."""
    amounts = tables.amounts(resource)
    unit, label = _UNITS.get(resource, ""), RESOURCE_LABELS.get(resource, "")
    rows, fixed = _as_rows(amounts), amounts.fixed
    return SumLimit(resource, rows, limit, is_floor, fixed, unit, label, amounts.pairs)


def _limit_peak(tables: Tables, resource: str, limit: float) -> PeakLimit:
    amounts = tables.amounts(resource)
    unit, label = _UNITS[resource], RESOURCE_LABELS[resource]
    return PeakLimit(resource, _as_rows(amounts), limit, amounts.fixed, unit, label)


def _as_rows(amounts: Amounts) -> Rows:
    """The values as arrays; a left-out choice holds its slot's least, which nothing reads."""
    rows = []
    for row in amounts.values:
        least = min((value for value in row if value is not None), default=0.0)
        rows.append([least if value is None else value for value in row])
    return as_rows(rows)


def _left_out(tables: Tables) -> tuple[LeftOutChoice, ...]:
    if tables.quality is None:
        return ()
    reasons = {(x.slot, x.choice): x.reason for x in tables.quality.left_out}
    return tuple(
        LeftOutChoice(s, j, reasons.get((slot.name, key), "it has no score"))
        for s, (slot, row) in enumerate(zip(tables.space.slots, tables.quality.values, strict=True))
        for j, (key, value) in enumerate(zip(slot.keys, row, strict=True))
        if value is None
    )


def autosearch(
    space: Space,
    latency: LatencyTable | None,
    budget: Budget,
    objective: str = "accuracy",
    *,
    quality: QualityTable | None = None,
    min_quality: float | None = None,
    k: int = 8,
    solver: str = "exact",
    time_limit_s: float | None = None,
    precision: str | None = None,
    min_distance: int = 1,
) -> list[Candidate]:
    """The k best architectures of `space` within `budget`, distinct, best first, each proven.

    Pair terms of the tables enter objective and limits; a choice that the quality table could not
    score is never picked.

    Args:
        objective: a name in `OBJECTIVES`.
        quality: score to maximise or to keep; None takes MACs, as the paper does.
        min_quality: least quality of a whole network, its fixed part included.
        precision: of weights and activations; None takes the LUT's, or fp32 without one.
        min_distance: slots, at least, in which every two picks differ. Above 1 the picks are the
            greedy sequence: each is proven the best of the architectures that differ in so many
            slots from every pick before it; fewer than k where none is left.

    Raises:
        InfeasibleError: nothing fits; names the binding budgets and the nearest feasible values.
        LutError: a table of another space.
        InputError: a wrong name, k not in 1..size, a resource without a table, a NaN in a table.

    References:
        C. Ozcinar et al., Hardware-aware model optimization tool for embedded devices, 2022.
    """
    tables = Tables(
        space, latency, quality, precision or (latency.precision if latency else "fp32")
    )
    program = build_program(tables, budget, objective, min_quality)
    answer = solve(program, k, solver, time_limit_s, min_distance)
    if not answer.solutions:
        raise InputError(f"nothing was found within {time_limit_s} s; raise the time limit")
    _report(program, answer, k, min_distance)
    return [
        _candidate(tables, objective, rank, solution)
        for rank, solution in enumerate(answer.solutions, start=1)
    ]


def baseline(tables: Tables, objective: str = "accuracy") -> Candidate:
    """The space's original network as a candidate of rank 0, with its predictions.

    Its `value` is the objective's, None where one of its choices could not be scored; nothing is
    proven of it.
    """
    amounts = tables.amounts(OBJECTIVES[objective].resource)
    value = amounts.total(tables.space.indices(tables.space.original))
    unscored = [x for x in _left_out(tables) if _is_original(tables.space, x)]
    notes = [
        f"its choice at {tables.space.slots[x.slot].name!r} was left out: {x.reason}"
        for x in unscored
    ]
    return Candidate(
        name="baseline",
        space=tables.space.key,
        architecture=tables.space.original.key,
        rank=0,
        objective=objective,
        value=value,
        bound=value,
        is_proven=False,
        predicted=tables.predict(tables.space.original),
        notes=tuple(notes),
    )


def _is_original(space: Space, left_out: LeftOutChoice) -> bool:
    return space.indices(space.original)[left_out.slot] == left_out.choice


def _report(program: Program, answer: Answer, k: int, min_distance: int) -> None:
    if program.removals:
        log.info("%d choices exceed a peak budget and were left out", len(program.removals))
    for x in program.left_out:
        name, slot = program.choice_names[x.slot][x.choice], program.slot_names[x.slot]
        log.warning("%r at %r was left out and is never picked: %s", name, slot, x.reason)
    if answer.is_complete and len(answer.solutions) < k and min_distance > 1:
        log.warning(
            "only %d picks, not %d: no other architecture within the budgets differs in %d slots "
            "from each of them; lower --min-distance or loosen a budget",
            len(answer.solutions), k, min_distance,
        )  # fmt: skip
    elif answer.is_complete and len(answer.solutions) < k:
        log.warning("only %d architectures fit the budgets, not %d", len(answer.solutions), k)
    if not answer.is_complete:
        worst = max(solution.gap for solution in answer.solutions)
        log.warning("the time limit ended the search; the proven gap is %.2g %%", 100 * worst)
    log.info(
        "%s: %d of %d variables in the core, %d nodes, %.2f s",
        answer.solver,
        answer.n_core,
        answer.n_variables,
        answer.n_nodes,
        answer.seconds,
    )


def _candidate(tables: Tables, objective: str, rank: int, solution: Solution) -> Candidate:
    architecture = tables.space.architecture(solution.choices)
    predicted = tables.predict(architecture)
    name = f"{objective}-{rank}"
    notes = []
    params = tables.space.counts(tables.space.original).params
    if predicted.params < _FEW_PARAMS * params:
        notes.append(
            f"has {predicted.params:,} parameters, {predicted.params / params:.0%} of the "
            f"baseline's {params:,}: its quality score may promise more than training gives"
        )
        log.warning("%s %s", name, notes[-1])
    if not solution.is_proven:
        notes.append(f"not proven best at its rank: gap {solution.gap:.2%} at the time limit")
    return Candidate(
        name=name,
        space=tables.space.key,
        architecture=architecture.key,
        rank=rank,
        objective=objective,
        value=solution.value,
        bound=solution.bound,
        is_proven=solution.is_proven,
        predicted=predicted,
        notes=tuple(notes),
    )
