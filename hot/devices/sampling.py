"""Samples of latency, of nodes and of energy, taken alike for every runtime of this machine."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from hot.devices.contract import Settings
from hot.devices.energy import Meter, energy_per_run_mj
from hot.devices.memory import peak_memory_bytes
from hot.devices.quiet import pinned, undisturbed
from hot.devices.robust import robust_median, robust_spread
from hot.errors import HotError
from hot.records import Artifact, Measurement, NodeTime

# One inference; returns its latency in ms.
Run = Callable[[], float]


class Profiled(Protocol):
    """An artifact opened so that its nodes are timed."""

    def run(self) -> float:
        """One inference; its latency in ms."""

    def nodes(self, kept: Sequence[int]) -> tuple[NodeTime, ...]:
        """The time of every node in execution order, over the runs numbered `kept` from zero.

        It is asked once, after the last run.
        """


class Runtime(Protocol):
    """What opens artifacts, and runs them in this process or one that it started.

    Attributes:
        name: as messages give it, and as the key of `hot.devices.memory.PROGRAMS`.
    """

    name: str

    def open(self, artifact: Artifact, rng: np.random.Generator) -> Run:
        """The artifact with an input of normal noise; anything raised means it cannot run."""

    def open_profiled(
        self, artifact: Artifact, rng: np.random.Generator, folder: Path
    ) -> Profiled | None:
        """The same with timed nodes; None where the runtime gives none. `folder` is its own."""


def host_timed(run: Callable[[], object]) -> Run:
    """`run` by this machine's clock; right where `run` returns when the work is done."""

    def timed() -> float:
        start = time.perf_counter_ns()
        run()
        return (time.perf_counter_ns() - start) / 1e6

    return timed


def sample_artifacts(
    runtime: Runtime,
    artifacts: Sequence[Artifact],
    settings: Settings,
    cores: list[int],
    meter: Meter | None = None,
) -> list[Measurement]:
    """What every artifact costs, sampled in rounds over all of them in random order.

    Args:
        cores: those that the runtime's threads stay on.
        meter: the energy counter of the device, if there is one.
    """
    rng = np.random.default_rng(settings.seed)
    with pinned(cores), tempfile.TemporaryDirectory(prefix="hot-profile-") as folder:
        subjects = [_open(runtime, artifact, rng) for artifact in artifacts]
        able = [subject for subject in subjects if subject.failure is None]
        with undisturbed():
            _sample(able, settings, rng)
            if meter is not None:
                for subject in able:
                    subject.energy_mj = energy_per_run_mj(subject.run, meter)
        if settings.per_node:
            _sample_nodes(runtime, subjects, settings, Path(folder), rng)
        results = [subject.result(settings) for subject in subjects]
    if settings.memory:
        pairs = zip(artifacts, results, strict=True)
        results = [_with_memory(runtime, artifact, result) for artifact, result in pairs]
    return results


def _never() -> float:
    raise AssertionError("an artifact that failed is not run")


@dataclass
class _Subject:
    """One artifact under measurement, and what it gave so far."""

    artifact: Artifact
    run: Run = _never
    profiled: Profiled | None = None
    samples_ms: list[float] = field(default_factory=list)
    node_runs: list[tuple[float, ...]] = field(default_factory=list)
    energy_mj: float | None = None
    failure: str | None = None

    def is_steady(self, settings: Settings) -> bool:
        """Whether the spread of the samples is under the limit."""
        return robust_spread(self.samples_ms) <= settings.spread_limit

    def result(self, settings: Settings) -> Measurement:
        """What was measured, once all samples are taken."""
        if self.failure is not None:
            return Measurement(None, failure=self.failure)
        return Measurement(
            latency_ms=robust_median(self.samples_ms),
            spread=robust_spread(self.samples_ms),
            samples_ms=tuple(self.samples_ms),
            is_steady=self.is_steady(settings),
            energy_mj=self.energy_mj,
            nodes=() if self.profiled is None else self.profiled.nodes(self._kept(settings)),
        )

    def _kept(self, settings: Settings) -> list[int]:
        """The numbers of the runs that were the fastest of their visit."""
        visit = settings.warmup + settings.best_of
        return [
            index * visit + settings.warmup + int(np.argmin(runs))
            for index, runs in enumerate(self.node_runs)
        ]


def _open(runtime: Runtime, artifact: Artifact, rng: np.random.Generator) -> _Subject:
    subject = _Subject(artifact)
    try:
        subject.run = runtime.open(artifact, rng)
        subject.run()
    except HotError:  # the device itself cannot go on, whatever the artifact
        raise
    except Exception as error:  # the errors of runtimes share no base class
        text = str(error).strip().splitlines()
        reason = text[0] if text else type(error).__name__
        subject.failure = f"{runtime.name} cannot run {artifact.path}: {reason}"
    return subject


def _sample(able: list[_Subject], settings: Settings, rng: np.random.Generator) -> None:
    left = able
    for attempt in range(1 + settings.max_remeasure):
        if attempt:
            left = [subject for subject in left if not subject.is_steady(settings)]
        for _ in range(settings.repetitions):
            for position in rng.permutation(len(left)):
                subject = left[position]
                subject.samples_ms.append(min(_time_runs(subject.run, settings)))


def _sample_nodes(
    runtime: Runtime,
    subjects: list[_Subject],
    settings: Settings,
    folder: Path,
    rng: np.random.Generator,
) -> None:
    """Sample the nodes, after all else: no profiled session is open while totals are taken."""
    able: list[tuple[_Subject, Profiled]] = []
    for index, subject in enumerate(subjects):
        if subject.failure is None:
            place = folder / str(index)
            place.mkdir()
            subject.profiled = runtime.open_profiled(subject.artifact, rng, place)
            if subject.profiled is not None:
                able.append((subject, subject.profiled))
    with undisturbed():
        for _ in range(settings.node_repetitions):
            for position in rng.permutation(len(able)):
                subject, profiled = able[position]
                subject.node_runs.append(_time_runs(profiled.run, settings))


def _time_runs(run: Run, settings: Settings) -> tuple[float, ...]:
    for _ in range(settings.warmup):
        run()
    return tuple(run() for _ in range(settings.best_of))


def _with_memory(runtime: Runtime, artifact: Artifact, result: Measurement) -> Measurement:
    if result.failure is not None:
        return result
    return replace(result, peak_memory_bytes=peak_memory_bytes(artifact, runtime.name))
