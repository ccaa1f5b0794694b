"""This machine's processor, measured through ONNX Runtime."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from hot.devices.host import HostCpu
from hot.devices.profile import read_profile
from hot.devices.sampling import Run, host_timed
from hot.records import Artifact, NodeTime

_PROVIDERS = ["CPUExecutionProvider"]


def onnxruntime_cpu(threads: int = 1) -> HostCpu:
    """The processor of this machine through ONNX Runtime; its threads do not spin.

    Raises:
        DeviceError: this process may not use as many threads.
    """
    options = {"spinning": "off", "execution": "sequential"}
    runtime = {"runtime": "onnxruntime", "runtime_version": ort.__version__}
    precisions = ("fp32", "fp16", "int16", "int8")
    return HostCpu("cpu", threads, OnnxRuntime, precisions, {**runtime, **options})


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
