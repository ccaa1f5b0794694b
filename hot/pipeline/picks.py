"""The picks and the front of one search, from tables and the limits that a user writes."""

from dataclasses import replace

from hot.autosearch import SWEEPS, Tables, autosearch, front
from hot.config import SearchSection, SweepSection
from hot.records import Candidate, Front, Prediction, parse_budget, parse_quality


def find_picks(tables: Tables, section: SearchSection, reference: Prediction) -> list[Candidate]:
    """The picks of one search; shares in its limits refer to the prediction `reference`."""
    budget = parse_budget(**_limits(section), reference=reference)
    picks = autosearch(
        tables.space,
        tables.latency,
        budget,
        section.objective,
        quality=tables.quality,
        min_quality=parse_quality(section.min_quality, reference),
        k=section.top_k,
        min_distance=section.min_distance,
        solver=section.solver,
        time_limit_s=section.time_limit_s,
        precision=tables.precision,
    )
    return [replace(pick, budget=budget) for pick in picks]


def find_front(
    tables: Tables, sweep: SweepSection, section: SearchSection, reference: Prediction
) -> Front:
    """The front over one resource, within the other limits of a search.

    Raises:
        InfeasibleError: nothing fits the highest budget.
        InputError: a limit without a unit, or the lowest above the highest.
    """
    limits = parse_budget(**_limits(section), reference=reference)

    name = SWEEPS[sweep.resource]

    def read(text: str | None) -> float | None:
        ends = {sweep.resource: text}
        value: float | None = getattr(parse_budget(**ends, reference=reference), name)
        return value

    is_limited = getattr(limits, name) is not None
    return front(
        tables.space,
        tables.latency,
        limits,
        sweep.resource,
        lowest=read(sweep.lowest),
        highest=read(sweep.highest or (None if is_limited else "100%")),
        step=read(sweep.step),
        quality=tables.quality,
        precision=tables.precision,
        time_limit_s=section.time_limit_s,
    )


def _limits(section: SearchSection) -> dict[str, str | None]:
    """The limits of a search as `parse_budget` names them."""
    return {
        "latency": section.latency_budget,
        "memory": section.memory_budget,
        "activations": section.activation_budget,
        "energy": section.energy_budget,
        "macs": section.macs_budget,
    }
