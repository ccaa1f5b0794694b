"""What a device says of itself and of one artifact."""

import hashlib
import json
from dataclasses import dataclass, field

MEASURES = "measured"
ESTIMATES = "estimated"


@dataclass(frozen=True)
class DeviceInfo:
    """A device as it stands: figures taken under two different fingerprints never mix.

    Attributes:
        name: what the user calls it, for example `cpu`.
        kind: `measured` or `estimated`.
        precisions: those it can run.
        fingerprint: hardware, runtime and its version, threads, options.
        formats: of the artifacts it runs, the preferred one first.
        energy: `measured` or `modelled` where it tells energy, else None.
        notes: marks that stand wherever its figures are shown, for example that code is not tuned.
        method: the LUT method that suits it; empty for that of its kind.
    """

    name: str
    kind: str
    precisions: tuple[str, ...]
    fingerprint: dict[str, str] = field(hash=False)
    formats: tuple[str, ...] = ("onnx",)
    energy: str | None = None
    notes: tuple[str, ...] = ()
    method: str = ""

    @property
    def key(self) -> str:
        """The name and eight hexadecimal digits of the fingerprint."""
        text = json.dumps(self.fingerprint, sort_keys=True)
        return f"{self.name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    def difference(self, other: "DeviceInfo") -> str:
        """The fingerprint entries that differ, `name: mine | theirs`, one after the other."""
        mine, theirs = self.fingerprint, other.fingerprint
        return "; ".join(
            f"{name}: {mine.get(name, 'none')} | {theirs.get(name, 'none')}"
            for name in sorted(mine.keys() | theirs.keys())
            if mine.get(name) != theirs.get(name)
        )


@dataclass(frozen=True)
class NodeTime:
    """The latency of one node of the artifact's graph, as the runtime's profiler gives it."""

    name: str
    operator: str
    latency_ms: float


@dataclass(frozen=True)
class Measurement:
    """What one device says of one artifact; `failure` holds the reason when it could not run.

    Attributes:
        latency_ms: robust median of one inference (NaN never: None where it failed).
        spread: robust relative spread, 1.4826 x median absolute deviation / median.
        samples_ms: the samples behind the median, in the order taken; empty for an estimate.
        is_steady: whether the spread came under the limit asked for.
        peak_memory_bytes: memory the runtime took, where the device tells.
        energy_mj: energy of one inference, where the device tells.
        nodes: per-node rows, where asked for and given.
        counters: what else a device counts: `cycles`, `sram_bytes` and the like.
    """

    latency_ms: float | None
    spread: float = 0.0
    samples_ms: tuple[float, ...] = ()
    is_steady: bool = True
    peak_memory_bytes: int | None = None
    energy_mj: float | None = None
    nodes: tuple[NodeTime, ...] = ()
    failure: str | None = None
    counters: dict[str, int] = field(default_factory=dict, hash=False)
