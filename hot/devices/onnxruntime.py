"""This machine's processor, measured through ONNX Runtime."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from hot.devices.contract import Settings
from hot.devices.energy import MEASURED_ENERGY, find_rapl
from hot.devices.fingerprint import host_fingerprint
from hot.devices.profile import read_profile
from hot.devices.quiet import choose_cores
from hot.devices.sampling import Run, host_timed, sample_artifacts
from hot.records import MEASURES, Artifact, DeviceInfo, Measurement, NodeTime

_PROVIDERS = ["CPUExecutionProvider"]


class OnnxRuntimeCpu:
    """The processor of this machine, with pinned threads that do not spin."""

    def __init__(self, threads: int = 1) -> None:
        """Use `threads` cores.

        Raises:
            DeviceError: this process may not use as many.
        """
        self._threads = threads
        self._cores = choose_cores("cpu", threads)
        self._meter = find_rapl()

    def describe(self) -> DeviceInfo:
        """The device as it stands, with processor, runtime and threads in its fingerprint."""
        options = {"threads": str(self._threads), "spinning": "off", "execution": "sequential"}
        runtime = {"runtime": "onnxruntime", "runtime_version": ort.__version__}
        fingerprint = {**host_fingerprint(), **runtime, **options}
        return DeviceInfo(
            "cpu",
            MEASURES,
            ("fp32", "fp16", "int16", "int8"),
            fingerprint,
            energy=None if self._meter is None else MEASURED_ENERGY,
        )

    def measure(self, artifact: Artifact, settings: Settings) -> Measurement:
        """Latency of the artifact; see `Settings` for how a sample is taken."""
        return self.measure_all([artifact], settings)[0]

    def measure_all(self, artifacts: Sequence[Artifact], settings: Settings) -> list[Measurement]:
        """Latencies of all artifacts, sampled in rounds over them in random order."""
        runtime = OnnxRuntime(self._threads)
        return sample_artifacts(runtime, artifacts, settings, self._cores, self._meter)


class OnnxRuntime:
    """The runtime itself, with its own processor kernels."""

    name = "onnxruntime"

    def __init__(self, threads: int) -> None:
        self._threads = threads

    def open(self, artifact: Artifact, rng: np.random.Generator) -> Run:
        """A plain session."""
        session = self._session(artifact, None)
        feed = make_feed(session, artifact, rng)
        return host_timed(lambda: session.run(None, feed))

    def open_profiled(
        self, artifact: Artifact, rng: np.random.Generator, folder: Path
    ) -> "_ProfiledSession":
        """A session that writes a profile."""
        session = self._session(artifact, folder / "profile")
        return _ProfiledSession(session, make_feed(session, artifact, rng))

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


class _ProfiledSession:
    """A session whose profile is read when it is done."""

    def __init__(self, session: Any, feed: dict[str, Any]) -> None:
        self._session = session
        self.run = host_timed(lambda: session.run(None, feed))

    def nodes(self, kept: Sequence[int]) -> tuple[NodeTime, ...]:
        """The nodes as the profile holds them."""
        return read_profile(Path(self._session.end_profiling()), kept)


def make_feed(session: Any, artifact: Artifact, rng: np.random.Generator) -> dict[str, Any]:
    """Normal noise for the one input of a session."""
    (entry,) = session.get_inputs()
    return {entry.name: rng.standard_normal(artifact.input_shape).astype(np.float32)}
