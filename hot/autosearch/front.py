"""Whole fronts: the best quality within every budget of one resource, in one call."""

import logging
import math
import time
from dataclasses import dataclass, replace

from hot.autosearch.program import Program
from hot.autosearch.reduce import Reduced, reduce_program
from hot.autosearch.search import build_program
from hot.autosearch.sweep import sweep
from hot.autosearch.tables import Tables
from hot.autosearch.topk import explain_infeasible, find_nearest
from hot.errors import InputError, unknown_name
from hot.records import (
    RESOURCE_LABELS,
    Budget,
    Front,
    FrontPoint,
    LatencyTable,
    QualityTable,
    format_resource,
)
from hot.space import Space

log = logging.getLogger(__name__)

# The resources that can be swept, as the command line names them.
SWEEPS: dict[str, str] = {
    "latency": "latency_ms",
    "memory": "weight_bytes",
    "energy": "energy_mj",
    "macs": "macs",
}
_MAX_POINTS = 200
_MOST_STEPS = 100_000


@dataclass(frozen=True)
class FrontAnswer:
    """The front of a program over one of its limits: (choices, amount, value), by amount.

    Attributes:
        step: between the budgets that were asked for; None where all points are there.
        is_complete: every point is proven, and none is missing (at this step).
    """

    points: tuple[tuple[tuple[int, ...], float, float], ...]
    step: float | None
    is_complete: bool
    seconds: float


def front(
    space: Space,
    latency: LatencyTable | None,
    budget: Budget,
    resource: str = "latency",
    *,
    highest: float | None = None,
    lowest: float | None = None,
    step: float | None = None,
    max_points: int = _MAX_POINTS,
    quality: QualityTable | None = None,
    precision: str | None = None,
    time_limit_s: float | None = None,
) -> Front:
    """Every architecture of most quality within some budget of `resource`, proven.

    The budget of the swept resource goes from `lowest` to `highest`, all other limits of `budget`
    hold throughout. A point takes the least of the resource among those of its quality.

    Args:
        resource: a name in `SWEEPS`.
        highest: in ms, bytes, mJ or MACs of a whole network; None takes the limit in `budget`.
        lowest: None starts at the least that any architecture within the other limits takes.
        step: ask for the budgets lowest, lowest + step, ... and highest alone: every point is still
            proven best within its budget, but points between are left out.
        max_points: a front of more (real ones may have 100,000) is thinned to the points that are
            best within this number of budgets at equal steps; the record says so by its `step`.
        quality: score to maximise; None takes MACs.
        precision: of weights and activations; None takes the LUT's, or fp32 without one.
        time_limit_s: after it, what is known of the front, not proven.

    Raises:
        InfeasibleError: nothing fits the highest budget.
        InputError: a wrong name or range, or a resource without a table.
    """
    start = time.monotonic()
    if resource not in SWEEPS:
        raise InputError(unknown_name("resource to sweep", resource, SWEEPS))
    name = SWEEPS[resource]
    highest = getattr(budget, name) if highest is None else highest
    if highest is None:
        raise InputError(f"a sweep over {resource} needs its highest budget; give --sweep-to")
    if lowest is not None and not lowest <= highest:
        raise InputError(
            f"the sweep over {resource} goes from {format_resource(name, lowest)} to "
            f"{format_resource(name, highest)}; give a highest budget above the lowest"
        )
    tables = Tables(
        space, latency, quality, precision or (latency.precision if latency else "fp32")
    )
    within = replace(budget, **{name: highest})
    answer = solve_front(
        build_program(tables, within), name, lowest, step, max_points, time_limit_s
    )
    points = tuple(_point(tables, *point) for point in answer.points)
    scorer = "macs" if quality is None else quality.scorer
    seconds = time.monotonic() - start
    if not answer.is_complete:
        log.warning("the time limit ended the sweep: its %d points are not proven", len(points))
    log.info("%d points over %s in %.2f s", len(points), RESOURCE_LABELS[name], seconds)
    return Front(
        space.key, name, scorer, within, lowest, highest, answer.step, answer.is_complete,
        seconds, points,
    )  # fmt: skip


def _point(tables: Tables, choices: tuple[int, ...], amount: float, value: float) -> FrontPoint:
    architecture = tables.space.architecture(choices)
    return FrontPoint(architecture.key, amount, value, tables.predict(architecture))


def solve_front(
    program: Program,
    name: str,
    lowest: float | None = None,
    step: float | None = None,
    max_points: int = _MAX_POINTS,
    time_limit_s: float | None = None,
) -> FrontAnswer:
    """The front of `program` over its sum limit `name`, from `lowest` to that limit.

    Without a `step`, a front of more than `max_points` is thinned as `front` says.

    Raises:
        InfeasibleError: no solution within the limits.
        InputError: a step or number of points that is not positive, or more than 100,000 steps.
        ValueError: no such sum limit, or a floor.
    """
    start = time.monotonic()
    deadline = None if time_limit_s is None else start + time_limit_s
    swept = next((limit for limit in program.sums if limit.name == name), None)
    if swept is None or swept.is_floor:
        raise ValueError(f"{name!r} is no upper limit of a sum in this program")
    if max_points < 1:
        raise InputError(f"a front needs room for at least 1 point, not {max_points}")
    program = replace(
        program, sums=(swept, *(limit for limit in program.sums if limit is not swept))
    )
    reduced = reduce_program(program, kept=1)
    low = _start(program, lowest)
    asked = [] if step is None else _grid(low, swept.limit, step)
    coarser = (swept.limit - low) / max(max_points - 1, 1)
    coarse = [low + i * coarser for i in range(max_points - 1)] + [swept.limit]
    rooms, coarse_rooms = ([_room(program, reduced, b) for b in x] for x in (asked, coarse))
    bottom = -1 if lowest is None else _room(program, reduced, lowest)
    found = sweep(reduced, bottom, rooms or None, coarse_rooms, deadline)
    if found.is_proven and not found.points:
        raise explain_infeasible(program)
    answers = []
    for _, _, classes in found.points:
        choices = tuple(reduced.members[s][c][0] for s, c in enumerate(classes))
        answers.append((choices, program.amount(name, choices), program.value(choices)))
    step = coarser if found.is_thinned else step
    return FrontAnswer(tuple(answers), step, found.is_proven, time.monotonic() - start)


def _start(program: Program, lowest: float | None) -> float:
    """The lowest budget: the one given, or the least that any solution takes."""
    if lowest is not None:
        return lowest
    least = find_nearest(program, program.sums[0])
    if least is None or not program.is_feasible(least.choices):
        raise explain_infeasible(program)
    return program.amount(program.sums[0].name, least.choices)


def _grid(low: float, high: float, step: float) -> list[float]:
    """The budgets low, low + step, ..., and the highest."""
    if not step > 0:
        raise InputError(f"the step of a sweep must be greater than 0, not {step}")
    n_steps = max(math.ceil((high - low) / step - 1e-9), 0)
    if n_steps > _MOST_STEPS:
        raise InputError(f"a step of {step} makes {n_steps:,} budgets; take a larger one")
    return [*(low + i * step for i in range(n_steps)), high]


def _room(program: Program, reduced: Reduced, budget: float) -> int:
    """A budget of the first limit in the integers of `reduced`; -1 where it is below all loads."""
    whole = program.scaled_sums[0].room(budget, program.sums[0].fixed)
    return max((whole - reduced.load_offset[0]) // reduced.load_step[0], -1)
