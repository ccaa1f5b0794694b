"""What is known of the choices of a space: every resource by slot and choice."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hot.errors import InputError, LutError, unknown_name
from hot.records import LatencyTable, PairTerm, Prediction, QualityTable, sum_choices
from hot.space import PRECISIONS, Architecture, Counts, Space


@dataclass(frozen=True)
class Amounts:
    """A resource by slot and choice, that of the fixed parts, and what pairs of choices add.

    Attributes:
        values: one row a slot, one value a choice; None for a choice that was left out.
    """

    values: tuple[tuple[float | None, ...], ...]
    fixed: float
    pairs: tuple[PairTerm, ...] = ()

    def total(self, indices: Sequence[int]) -> float | None:
        """That of a whole network; None where one of its choices was left out."""
        return sum_choices(self.values, self.fixed, self.pairs, indices)


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
    _known: dict[str, Amounts] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise InputError(unknown_name("precision", self.precision, PRECISIONS))
        for table, what in ((self.latency, "LUT"), (self.quality, "quality table")):
            if table is not None and table.space != self.space.key:
                raise LutError(
                    f"the {what} was made for the space {table.space!r}, not for "
                    f"{self.space.key!r}; choose the matching one or make it again"
                )

    def amounts(self, resource: str) -> Amounts:
        """A resource by slot and choice, with that of the fixed parts.

        Raises:
            InputError: the tables do not tell this resource.
        """
        if resource not in self._known:
            self._known[resource] = _RESOURCES[resource](self)
        return self._known[resource]

    def predict(self, architecture: Architecture) -> Prediction:
        """What the tables say of an architecture."""
        counts = self.space.counts(architecture)
        indices = self.space.indices(architecture)
        has_energy = self.latency is not None and self.latency.energy_mj is not None
        return Prediction(
            latency_ms=self.amounts("latency_ms").total(indices) if self.latency else None,
            energy_mj=self.amounts("energy_mj").total(indices) if has_energy else None,
            macs=counts.macs,
            params=counts.params,
            weight_bytes=counts.weight_bytes(self.precision),
            activation_bytes=counts.activation_bytes(self.precision),
            quality=self.amounts("quality").total(indices),
        )


def _count(tables: Tables, read: Callable[[Counts], int]) -> Amounts:
    space = tables.space
    return Amounts(space.count_choices(read), float(read(space.fixed_counts)))


def _latency(tables: Tables) -> Amounts:
    table = tables.latency
    if table is None:
        raise InputError("latency needs a LUT; give --lut, or make one with hot build-lut")
    return Amounts(table.latency_ms, table.fixed_ms, table.pairs)


def _energy(tables: Tables) -> Amounts:
    table = tables.latency
    if table is None or table.energy_mj is None or table.fixed_energy_mj is None:
        device = "no LUT was given" if table is None else f"{table.device.name!r} tells none"
        raise InputError(
            f"energy needs a LUT with energies, but {device}; "
            "use a device whose description gives its power"
        )
    return Amounts(table.energy_mj, table.fixed_energy_mj)


def _quality(tables: Tables) -> Amounts:
    table = tables.quality
    if table is None:
        return _count(tables, lambda counts: counts.macs)
    return Amounts(table.values, table.fixed, table.pairs)


_RESOURCES: dict[str, Callable[[Tables], Amounts]] = {
    "latency_ms": _latency,
    "energy_mj": _energy,
    "quality": _quality,
    "macs": lambda tables: _count(tables, lambda counts: counts.macs),
    "weight_bytes": lambda tables: _count(
        tables, lambda counts: counts.weight_bytes(tables.precision)
    ),
    "activation_bytes": lambda tables: _count(
        tables, lambda counts: counts.activation_bytes(tables.precision)
    ),
}
