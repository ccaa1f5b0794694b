"""Budgets: upper limits on what a network may cost on the device."""

from dataclasses import dataclass, fields

from hot.errors import InputError
from hot.records.prediction import Prediction
from hot.units import format_bytes, format_count, format_ms, parse_quantity, parse_share


@dataclass(frozen=True)
class Budget:
    """Upper limits of a whole network, stem and head included; None leaves a resource free.

    `weight_bytes` is a sum over the network, `activation_bytes` a maximum over it.
    """

    latency_ms: float | None = None
    weight_bytes: float | None = None
    activation_bytes: float | None = None
    energy_mj: float | None = None
    macs: float | None = None

    def __str__(self) -> str:
        parts = []
        for item in fields(self):
            value = getattr(self, item.name)
            if value is not None:
                parts.append(f"{RESOURCE_LABELS[item.name]} <= {format_resource(item.name, value)}")
        return ", ".join(parts) or "no budget"


RESOURCE_LABELS = {
    "latency_ms": "latency",
    "weight_bytes": "weight memory",
    "activation_bytes": "peak activation memory",
    "energy_mj": "energy",
    "macs": "MACs",
}


def format_resource(resource: str, value: float) -> str:
    """A value of a budgeted resource with its unit."""
    if resource.endswith("_bytes"):
        return format_bytes(value)
    if resource == "latency_ms":
        return format_ms(value)
    return f"{value:.4g} mJ" if resource == "energy_mj" else format_count(value)


def parse_budget(
    latency: str | None = None,
    memory: str | None = None,
    activations: str | None = None,
    energy: str | None = None,
    macs: str | None = None,
    reference: Prediction | None = None,
) -> Budget:
    """A budget from what a user writes; `memory` is that of the weights.

    A limit is a number with its unit, or, where there is a `reference` (the baseline's prediction),
    a share of the reference's: `80%`.

    Raises:
        InputError: a number or unit is missing or wrong; names the budget.

    >>> print(parse_budget(latency="30ms", memory="2MiB"))
    latency <= 30 ms, weight memory <= 2.00 MiB
    """

    def read(text: str | None, dimension: str, resource: str) -> float | None:
        what = f"the {RESOURCE_LABELS[resource]} budget"
        if text is None or reference is None or not text.rstrip().endswith("%"):
            return None if text is None else parse_quantity(text, dimension, what)
        whole = getattr(reference, resource)
        if whole is None:
            raise InputError(f"{what} is {text} of the baseline's, which is not known here")
        return parse_share(text, what) * float(whole)

    return Budget(
        read(latency, "latency", "latency_ms"),
        read(memory, "memory", "weight_bytes"),
        read(activations, "memory", "activation_bytes"),
        read(energy, "energy", "energy_mj"),
        read(macs, "macs", "macs"),
    )


def parse_quality(text: str | None, reference: Prediction) -> float | None:
    """A floor of quality: a number in the unit of the score, or a share of the reference's: `90%`.

    Raises:
        InputError: neither.
    """
    if text is None:
        return None
    what = "the least quality"
    if text.rstrip().endswith("%"):
        if reference.quality is None:
            raise InputError(f"{what} is {text} of the baseline's, which could not be scored")
        return parse_share(text, what) * reference.quality
    return parse_quantity(text, "macs", what)
