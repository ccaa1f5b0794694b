"""What a device is: something that runs an artifact and says what it costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from hot.records import Artifact, DeviceInfo, Measurement


@dataclass(frozen=True)
class Settings:
    """How an artifact is measured; a device that estimates ignores what it has no use for.

    One sample is the fastest of `best_of` runs back to back, after `warmup` runs that count
    nothing: other processes can only add time, so the fastest run is the least disturbed one. The
    latency is the median of the samples, which are taken in rounds over all artifacts, so that a
    drift of the clock hits all alike.

    Attributes:
        warmup: runs before each sample; they bring the network's own weights into the caches.
        repetitions: samples of each artifact.
        best_of: runs behind one sample.
        spread_limit: robust relative spread above which more samples are taken.
        max_remeasure: how many times `repetitions` more samples may be taken.
        per_node: also give the time of every node, from a profiled session.
        node_repetitions: samples of the profiled session.
        memory: also give the peak memory, from a process of its own (about a second).
        seed: of the order of the artifacts in a round and of the input.
    """

    warmup: int = 2
    repetitions: int = 12
    best_of: int = 3
    spread_limit: float = 0.05
    max_remeasure: int = 2
    per_node: bool = False
    node_repetitions: int = 6
    memory: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.repetitions, self.best_of, self.node_repetitions) < 1:
            raise ValueError(f"repetitions, best_of and node_repetitions start at 1: {self}")
        if min(self.warmup, self.max_remeasure) < 0 or not self.spread_limit > 0:
            raise ValueError(f"warmup, max_remeasure and spread_limit must not be negative: {self}")


class Device(Protocol):
    """Artifact in, Measurement out. It never trains and never chooses."""

    def describe(self) -> DeviceInfo:
        """Name, kind, precisions and fingerprint."""

    def measure(self, artifact: Artifact, settings: Settings) -> Measurement:
        """What the artifact costs; a model that cannot run gives a `failure`, not an error."""

    def measure_all(self, artifacts: Sequence[Artifact], settings: Settings) -> list[Measurement]:
        """The same of many artifacts, interleaved; in the order of the artifacts."""


# What a compiled file may be called: a name from another machine leads out of no folder.
FILE_NAME = r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$"


@runtime_checkable
class Compiler(Protocol):
    """A device that may make files of an artifact which its hardware runs, or that tell of it."""

    def compile(self, artifact: Artifact, folder: Path) -> tuple[Path, ...]:
        """The files written to `folder`, under names that the artifact's folder does not have.

        There are no files where a device of another machine turns out to make none.

        Raises:
            DeployError: the artifact cannot be compiled for this device; says why.
        """
