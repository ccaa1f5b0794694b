"""Look-up tables: measured entries, and the slot x choice tables the searcher reads."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from hot.errors import LutError
from hot.records.measurement import DeviceInfo
from hot.space import Architecture, Space, SpaceSpec

STEM, HEAD = "stem", "head"


@dataclass(frozen=True)
class LutEntry:
    """The latency of one piece of work: a choice at one layer's shapes, the stem, or the head.

    Attributes:
        spread: robust relative spread of the samples.
        n_samples: independent samples behind the value.
    """

    latency_ms: float
    spread: float = 0.0
    n_samples: int = 1
    energy_mj: float | None = None


@dataclass(frozen=True)
class CheckResult:
    """Prediction against measurement on whole networks that were not used to build the LUT."""

    n_networks: int
    mean_error: float
    worst_error: float
    bias: float
    spearman: float
    seed: int
    date: str
    predicted_ms: tuple[float, ...]
    measured_ms: tuple[float, ...]
    architectures: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"error {self.mean_error:.1%} mean, {self.worst_error:.1%} worst, "
            f"Spearman {self.spearman:.3f} on {self.n_networks} held-out networks ({self.date})"
        )


@dataclass(frozen=True)
class PairTerm:
    """What two choices at two slots add to the sum of their own values when both are taken.

    Attributes:
        slot, other_slot: indices in the space, `slot < other_slot`.
        choice, other_choice: indices of the choices at these slots.
        value: in the unit of the table; positive adds, negative takes away.
    """

    slot: int
    choice: int
    other_slot: int
    other_choice: int
    value: float

    def applies(self, indices: Sequence[int]) -> bool:
        """Whether an architecture, given by its choice indices, takes both choices."""
        return indices[self.slot] == self.choice and indices[self.other_slot] == self.other_choice


def sum_pairs(pairs: Iterable[PairTerm], indices: Sequence[int]) -> float:
    """The sum of the pair terms that an architecture, given by its choice indices, takes."""
    return sum(pair.value for pair in pairs if pair.applies(indices))


def sum_choices(
    rows: Sequence[Sequence[float | None]],
    fixed: float,
    pairs: Iterable[PairTerm],
    indices: Sequence[int],
) -> float | None:
    """The value of a network given by its choice indices; None where a choice of it has none.

    Args:
        rows: one a slot, one value a choice.
        fixed: that of the parts outside the slots.
    """
    taken = [row[i] for row, i in zip(rows, indices, strict=True)]
    known = [value for value in taken if value is not None]
    return fixed + sum(known) + sum_pairs(pairs, indices) if len(known) == len(taken) else None


@dataclass(frozen=True)
class LatencyTable:
    """Latency of every choice of every slot of a space on one device.

    Assumption: a network's latency is the sum of its blocks and the fixed parts. It fails where
    neighbouring blocks share caches or are fused by the runtime; `check` says by how much.

    Attributes:
        latency_ms: one row a slot, one value a choice, in the space's order.
        fixed_ms: stem, head and the constant cost of an inference.
        energy_mj, fixed_energy_mj: the same in mJ, or None where the device tells no energy.
        pairs: corrections of the latency in ms for pairs of choices; none before a correction.
    """

    space: str
    device: DeviceInfo
    precision: str
    method: str
    latency_ms: tuple[tuple[float, ...], ...]
    fixed_ms: float
    energy_mj: tuple[tuple[float, ...], ...] | None = None
    fixed_energy_mj: float | None = None
    check: CheckResult | None = None
    pairs: tuple[PairTerm, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of choices of every slot."""
        return tuple(len(row) for row in self.latency_ms)

    @property
    def origin(self) -> tuple[str, str, str, str]:
        """What a table belongs to: space, key of the device, precision and method."""
        return self.space, self.device.key, self.precision, self.method

    def predict_ms(self, space: Space, architecture: Architecture) -> float:
        """Predicted latency of a whole architecture in ms."""
        indices = space.indices(architecture)
        rows = zip(self.latency_ms, indices, strict=True)
        return self.fixed_ms + sum(row[i] for row, i in rows) + sum_pairs(self.pairs, indices)


@dataclass(frozen=True)
class Lut:
    """All measured entries of one space on one device at one precision.

    Attributes:
        entries: by work key (`Choice.work_key`), and `stem` and `head`.
        sentinels: architecture key to latency in ms of the networks that watch for drift.
        seed: of the layout of the networks.
        jobs: keys of what was measured: architectures (in-context) or pieces of work (isolated).
        unnamed_share: share of node time whose node's name told no part (counted to its neighbour).
        spec: how the space is loaded; None where it was made in Python.
        corrected: the table corrected by the networks of the check, which `table` then gives.
    """

    space: str
    device: DeviceInfo
    precision: str
    resolution: int
    method: str
    entries: dict[str, LutEntry] = field(hash=False)
    sentinels: dict[str, float] = field(default_factory=dict, hash=False)
    check: CheckResult | None = None
    created: str = ""
    seed: int = 0
    jobs: tuple[str, ...] = ()
    unnamed_share: float = 0.0
    spec: SpaceSpec | None = None
    corrected: LatencyTable | None = None

    def require(self, space: Space, device: DeviceInfo | None = None) -> None:
        """Raise `LutError` unless this LUT belongs to `space` (and to `device`, where given)."""
        if self.space != space.key:
            raise LutError(
                f"the LUT was made for the space {self.space!r}, not for {space.key!r}; "
                "choose the matching LUT or run hot build-lut for this space"
            )
        if device is not None and device.key != self.device.key:
            raise LutError(
                f"the LUT was made on {self.device.key!r}, this device is {device.key!r} "
                f"(LUT | here: {self.device.difference(device)}); run hot build-lut here"
            )

    def table(self, space: Space) -> LatencyTable:
        """The slot x choice table of `space`, the corrected one where there is one.

        Raises:
            LutError: made for another space, an entry is missing, negative or not finite, or the
                corrected table is not of the same choices.
        """
        self.require(space)
        raw = self._raw_table(space)
        if self.corrected is None:
            return raw
        if self.corrected.shape != raw.shape or self.corrected.origin != raw.origin:
            raise LutError(
                f"the corrected table of the LUT of {self.space!r} is of another LUT; "
                "run hot check-lut --correct"
            )
        return self.corrected

    def _raw_table(self, space: Space) -> LatencyTable:
        rows, energies = [], []
        for slot in space.slots:
            per_choice = [
                [self._entry(choice.work_key(layer)) for layer in slot.layers]
                for choice in slot.choices
            ]
            rows.append(tuple(sum(e.latency_ms for e in entries) for entries in per_choice))
            energies.append(tuple(_energy(entries) for entries in per_choice))
        fixed = [self._entry(STEM), self._entry(HEAD)]
        fixed_energy = _energy(fixed)
        has_energy = not math.isnan(fixed_energy) and not any(
            math.isnan(value) for row in energies for value in row
        )
        return LatencyTable(
            self.space,
            self.device,
            self.precision,
            self.method,
            tuple(rows),
            sum(e.latency_ms for e in fixed),
            tuple(energies) if has_energy else None,
            fixed_energy if has_energy else None,
            self.check,
        )

    def _entry(self, key: str) -> LutEntry:
        entry = self.entries.get(key)
        if entry is None:
            raise LutError(
                f"the LUT of {self.space!r} has no entry {key!r}: its build did not end; "
                "run hot build-lut again, it goes on where it stopped"
            )
        if not math.isfinite(entry.latency_ms) or entry.latency_ms < 0:
            raise LutError(
                f"the LUT entry {key!r} is {entry.latency_ms}, not a latency in ms; "
                "the file is damaged: run hot build-lut again"
            )
        return entry


def _energy(entries: list[LutEntry]) -> float:
    return sum(math.nan if e.energy_mj is None else e.energy_mj for e in entries)


@dataclass(frozen=True)
class LeftOut:
    """A choice that could not be scored: no search takes it."""

    slot: str
    choice: str
    reason: str


@dataclass(frozen=True)
class QualityTable:
    """A score of every choice of every slot; higher is better, a network's score is the sum.

    Attributes:
        scorer: what made it, for example `macs` or a file.
        values: one row a slot, one value a choice, in the space's order; None for a choice that
            could not be scored, which `left_out` explains.
        fixed: the score of the parts outside the slots.
        seconds, n_images: what making it cost; images count once for every whole network's pass.
        pairs: corrections for pairs of choices; none before a correction.
        left_out: why scores are missing.
    """

    space: str
    scorer: str
    values: tuple[tuple[float | None, ...], ...]
    fixed: float = 0.0
    seconds: float = 0.0
    n_images: int = 0
    pairs: tuple[PairTerm, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    def predict(self, indices: Sequence[int]) -> float | None:
        """The score of an architecture given by its choice indices; None where one has none."""
        return sum_choices(self.values, self.fixed, self.pairs, indices)
