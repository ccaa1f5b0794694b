"""This machine's processor, measured through ONNX Runtime."""

import logging
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from hot.devices.contract import Settings
from hot.devices.fingerprint import host_fingerprint
from hot.devices.memory import peak_memory_bytes
from hot.devices.profile import read_profile
from hot.devices.quiet import allowed_cores, pinned, undisturbed
from hot.devices.robust import robust_median, robust_spread
from hot.errors import DeviceError
from hot.records import MEASURES, Artifact, DeviceInfo, Measurement, NodeTime

log = logging.getLogger(__name__)
_PROVIDERS = ["CPUExecutionProvider"]


class OnnxRuntimeCpu:
    """The processor of this machine, with pinned threads that do not spin."""

    def __init__(self, threads: int = 1) -> None:
        """Use `threads` cores.

        Raises:
            DeviceError: this process may not use as many.
        """
        available = allowed_cores()
        if not 1 <= threads <= len(available):
            raise DeviceError(
                f"the device 'cpu' cannot use {threads} threads: this process may use "
                f"{len(available)} cores; choose threads between 1 and {len(available)}"
            )
        self._threads = threads
        # The last ones: the first core takes most interrupts of the system.
        self._cores = available[-threads:]

    def describe(self) -> DeviceInfo:
        """The device as it stands, with processor, runtime and threads in its fingerprint."""
        options = {"threads": str(self._threads), "spinning": "off", "execution": "sequential"}
        runtime = {"runtime": "onnxruntime", "runtime_version": ort.__version__}
        fingerprint = {**host_fingerprint(), **runtime, **options}
        return DeviceInfo("cpu", MEASURES, ("fp32", "fp16", "int16", "int8"), fingerprint)

    def measure(self, artifact: Artifact, settings: Settings) -> Measurement:
        """Latency of the artifact; see `Settings` for how a sample is taken."""
        return self.measure_all([artifact], settings)[0]

    def measure_all(self, artifacts: Sequence[Artifact], settings: Settings) -> list[Measurement]:
        """Latencies of all artifacts, sampled in rounds over them in random order."""
        rng = np.random.default_rng(settings.seed)
        with pinned(self._cores), tempfile.TemporaryDirectory(prefix="hot-profile-") as folder:
            subjects = [self._open(artifact, rng) for artifact in artifacts]
            _sample_all(subjects, settings, rng)
            if settings.per_node:
                self._profile(artifacts, subjects, settings, Path(folder), rng)
            results = [subject.result(settings) for subject in subjects]
        if settings.memory:
            pairs = zip(artifacts, results, strict=True)
            results = [_with_memory(artifact, result) for artifact, result in pairs]
        return results

    def _open(self, artifact: Artifact, rng: np.random.Generator) -> "_Subject":
        subject = _Subject()
        try:
            subject.plain = self._session(artifact, None)
            subject.feed = _feed(subject.plain, artifact, rng)
            subject.plain.run(None, subject.feed)
        except Exception as error:  # the runtime's errors share no base class
            subject.failure = _reason(artifact, error)
        return subject

    def _profile(
        self,
        artifacts: Sequence[Artifact],
        subjects: list["_Subject"],
        settings: Settings,
        folder: Path,
        rng: np.random.Generator,
    ) -> None:
        """Sample the nodes, after all else: no profiled session is open while totals are taken."""
        able = []
        for index, (artifact, subject) in enumerate(zip(artifacts, subjects, strict=True)):
            if subject.failure is None:
                subject.profiled = self._session(artifact, folder / f"{index}")
                able.append(subject)
        with undisturbed():
            for _ in range(settings.node_repetitions):
                for position in rng.permutation(len(able)):
                    able[position].sample_nodes(settings)

    def _session(self, artifact: Artifact, profile: Path | None) -> Any:
        options = ort.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4
        if profile is not None:
            options.enable_profiling = True
            options.profile_file_prefix = str(profile)
        return ort.InferenceSession(str(artifact.path), options, providers=_PROVIDERS)


@dataclass
class _Subject:
    """One artifact under measurement: its sessions and what they gave so far."""

    plain: Any = None
    profiled: Any = None
    feed: dict[str, Any] = field(default_factory=dict)
    samples_ms: list[float] = field(default_factory=list)
    profiled_runs: list[tuple[float, ...]] = field(default_factory=list)
    failure: str | None = None

    def sample(self, settings: Settings) -> None:
        """Take one sample of the plain session."""
        self.samples_ms.append(min(_time_runs(self.plain, self.feed, settings)))

    def sample_nodes(self, settings: Settings) -> None:
        """Take one sample of the profiled session."""
        self.profiled_runs.append(_time_runs(self.profiled, self.feed, settings))

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
            nodes=self._nodes(settings),
        )

    def _nodes(self, settings: Settings) -> tuple[NodeTime, ...]:
        if self.profiled is None:
            return ()
        path = Path(self.profiled.end_profiling())
        kept = []
        for visit, runs in enumerate(self.profiled_runs):
            first = visit * (settings.warmup + settings.best_of) + settings.warmup
            kept.append(first + int(np.argmin(runs)))
        return read_profile(path, kept)


def _time_runs(session: Any, feed: dict[str, Any], settings: Settings) -> tuple[float, ...]:
    for _ in range(settings.warmup):
        session.run(None, feed)
    times = []
    for _ in range(settings.best_of):
        start = time.perf_counter_ns()
        session.run(None, feed)
        times.append((time.perf_counter_ns() - start) / 1e6)
    return tuple(times)


def _sample_all(subjects: list[_Subject], settings: Settings, rng: np.random.Generator) -> None:
    able = [subject for subject in subjects if subject.failure is None]
    with undisturbed():
        for _ in range(settings.repetitions):
            for position in rng.permutation(len(able)):
                able[position].sample(settings)
        for _ in range(settings.max_remeasure):
            able = [subject for subject in able if not subject.is_steady(settings)]
            for _ in range(settings.repetitions):
                for position in rng.permutation(len(able)):
                    able[position].sample(settings)


def _feed(session: Any, artifact: Artifact, rng: np.random.Generator) -> dict[str, Any]:
    (entry,) = session.get_inputs()
    return {entry.name: rng.standard_normal(artifact.input_shape).astype(np.float32)}


def _reason(artifact: Artifact, error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"onnxruntime cannot run {artifact.path}: {text[0] if text else type(error).__name__}"


def _with_memory(artifact: Artifact, result: Measurement) -> Measurement:
    if result.failure is not None:
        return result
    return replace(result, peak_memory_bytes=peak_memory_bytes(artifact))
