"""AutoSearch: from a space, its tables and a budget to the k best architectures."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, fields

from hot.autosearch.answer import Answer, Solution
from hot.autosearch.program import Objective, PeakLimit, Program, SumLimit, as_rows
from hot.autosearch.topk import solve
from hot.errors import InputError, LutError, unknown_name
from hot.records import (
    RESOURCE_LABELS,
    Budget,
    Candidate,
    LatencyTable,
    Prediction,
    QualityTable,
)
from hot.space import PRECISIONS, Architecture, Counts, Space

log = logging.getLogger(__name__)

# A pick below this share of the baseline's parameters carries a warning: a score that only counts
# MACs is met by networks of a tenth of the parameters.
_FEW_PARAMS = 0.5

Table = tuple[tuple[float, ...], ...]


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


@dataclass(frozen=True)
class Tables:
    """What is known of the choices of a space.

    Attributes:
        latency: latency and energy of every choice; None where no budget and no objective asks.
        quality: the score of every choice; None takes MACs, as the paper does.
        precision: of weights and activations, for their bytes.
    """

    space: Space
    latency: LatencyTable | None = None
    quality: QualityTable | None = None
    precision: str = "fp32"

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise InputError(unknown_name("precision", self.precision, PRECISIONS))
        for table, what in ((self.latency, "LUT"), (self.quality, "quality table")):
            if table is not None and table.space != self.space.key:
                raise LutError(
                    f"the {what} was made for the space {table.space!r}, not for "
                    f"{self.space.key!r}; choose the matching one or make it again"
                )

    def rows(self, resource: str) -> tuple[Table, float]:
        """The values of a resource by slot and choice, and that of stem and head.

        Raises:
            InputError: the tables do not tell this resource.
        """
        return _RESOURCES[resource](self)

    def predict(self, architecture: Architecture) -> Prediction:
        """What the tables say of an architecture."""
        counts = self.space.counts(architecture)
        indices = self.space.indices(architecture)

        def total(resource: str) -> float:
            rows, fixed = self.rows(resource)
            return fixed + sum(row[i] for row, i in zip(rows, indices, strict=True))

        has_energy = self.latency is not None and self.latency.energy_mj is not None
        return Prediction(
            latency_ms=total("latency_ms") if self.latency is not None else None,
            energy_mj=total("energy_mj") if has_energy else None,
            macs=counts.macs,
            params=counts.params,
            weight_bytes=counts.weight_bytes(self.precision),
            activation_bytes=counts.activation_bytes(self.precision),
            quality=total("quality"),
        )


def _count_rows(tables: Tables, read: Callable[[Counts], int]) -> tuple[Table, float]:
    space = tables.space
    rows = tuple(
        tuple(float(read(space.count_choice(slot, choice))) for choice in slot.choices)
        for slot in space.slots
    )
    return rows, float(read(space.fixed_counts))


def _latency_rows(tables: Tables) -> tuple[Table, float]:
    if tables.latency is None:
        raise InputError("latency needs a LUT; give --lut, or make one with hot build-lut")
    return tables.latency.latency_ms, tables.latency.fixed_ms


def _energy_rows(tables: Tables) -> tuple[Table, float]:
    table = tables.latency
    if table is None or table.energy_mj is None or table.fixed_energy_mj is None:
        device = "no LUT was given" if table is None else f"{table.device.name!r} tells none"
        raise InputError(
            f"energy needs a LUT with energies, but {device}; "
            "use a device whose description gives its power"
        )
    return table.energy_mj, table.fixed_energy_mj


def _quality_rows(tables: Tables) -> tuple[Table, float]:
    if tables.quality is None:
        return _count_rows(tables, lambda counts: counts.macs)
    return tables.quality.values, tables.quality.fixed


_RESOURCES: dict[str, Callable[[Tables], tuple[Table, float]]] = {
    "latency_ms": _latency_rows,
    "energy_mj": _energy_rows,
    "quality": _quality_rows,
    "macs": lambda tables: _count_rows(tables, lambda counts: counts.macs),
    "weight_bytes": lambda tables: _count_rows(
        tables, lambda counts: counts.weight_bytes(tables.precision)
    ),
    "activation_bytes": lambda tables: _count_rows(
        tables, lambda counts: counts.activation_bytes(tables.precision)
    ),
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

    Raises:
        InputError: unknown objective, a resource the tables do not tell, or a NaN in a table.
    """
    if objective not in OBJECTIVES:
        raise InputError(unknown_name("objective", objective, OBJECTIVES))
    aim = OBJECTIVES[objective]
    rows, fixed = tables.rows(aim.resource)
    goal = Objective(aim.resource, as_rows(rows), aim.is_maximised, fixed)
    sums, peaks = [], []
    for resource in (item.name for item in fields(budget)):
        limit = getattr(budget, resource)
        if limit is None:
            continue
        rows, fixed = tables.rows(resource)
        unit, label = _UNITS[resource], RESOURCE_LABELS[resource]
        if resource in _PEAKS:
            peaks.append(PeakLimit(resource, as_rows(rows), limit, fixed, unit, label))
        else:
            sums.append(SumLimit(resource, as_rows(rows), limit, False, fixed, unit, label))
    if min_quality is not None:
        rows, fixed = tables.rows("quality")
        sums.append(SumLimit("quality", as_rows(rows), min_quality, True, fixed))
    return Program(
        goal,
        tuple(sums),
        tuple(peaks),
        tuple(slot.name for slot in tables.space.slots),
        tuple(slot.keys for slot in tables.space.slots),
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
) -> list[Candidate]:
    """The k best architectures of `space` within `budget`, distinct, best first, each proven.

    Args:
        objective: a name in `OBJECTIVES`.
        quality: score to maximise or to keep; None takes MACs, as the paper does.
        min_quality: least quality of a whole network, its fixed part included.
        precision: of weights and activations; None takes the LUT's, or fp32 without one.

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
    answer = solve(program, k, solver, time_limit_s)
    if not answer.solutions:
        raise InputError(f"nothing was found within {time_limit_s} s; raise the time limit")
    _report(program, answer, k)
    return [
        _candidate(tables, objective, rank, solution)
        for rank, solution in enumerate(answer.solutions, start=1)
    ]


def baseline(tables: Tables, objective: str = "accuracy") -> Candidate:
    """The space's original network as a candidate of rank 0, with its predictions.

    Its `value` is the objective's; nothing is proven of it.
    """
    rows, fixed = tables.rows(OBJECTIVES[objective].resource)
    indices = tables.space.indices(tables.space.original)
    value = fixed + sum(row[i] for row, i in zip(rows, indices, strict=True))
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
    )


def _report(program: Program, answer: Answer, k: int) -> None:
    if program.removals:
        log.info("%d choices exceed a peak budget and were left out", len(program.removals))
    if answer.is_complete and len(answer.solutions) < k:
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
