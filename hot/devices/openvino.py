"""This machine's processor, measured through OpenVINO."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as opset

from hot.devices.contract import Settings
from hot.devices.energy import MEASURED_ENERGY, find_rapl
from hot.devices.fingerprint import host_fingerprint
from hot.devices.quiet import allowed_cores, choose_cores
from hot.devices.robust import midmean
from hot.devices.sampling import Run, host_timed, sample_artifacts
from hot.records import MEASURES, Artifact, DeviceInfo, Measurement, NodeTime

# One network (0.82 ms alone) took 6 % longer among 23 others with two runs to warm up and the
# fastest of three; with six and ten it took the same. Groups that build a LUT are larger than those
# that check it.
_LEAST_WARMUP = 6


class OpenVinoCpu:
    """The processor of this machine: one stream of pinned threads, tuned for latency."""

    def __init__(self, threads: int = 1) -> None:
        """Use `threads` cores.

        Raises:
            DeviceError: this process may not use as many.
        """
        self._threads = threads
        self._cores = choose_cores("openvino", threads)
        _wake_threads()
        self._meter = find_rapl()

    def describe(self) -> DeviceInfo:
        """The device as it stands, with processor, runtime and threads in its fingerprint."""
        options = {"threads": str(self._threads), "streams": "1", "hint": "latency"}
        runtime = {"runtime": "openvino", "runtime_version": ov.__version__}
        return DeviceInfo(
            "openvino",
            MEASURES,
            ("fp32", "int8"),
            {**host_fingerprint(), **runtime, **options},
            energy=None if self._meter is None else MEASURED_ENERGY,
        )

    def measure(self, artifact: Artifact, settings: Settings) -> Measurement:
        """Latency of the artifact; see `Settings` for how a sample is taken."""
        return self.measure_all([artifact], settings)[0]

    def measure_all(self, artifacts: Sequence[Artifact], settings: Settings) -> list[Measurement]:
        """Latencies of all artifacts, sampled in rounds over them in random order."""
        runtime = OpenVino(self._threads)
        settings = replace(settings, warmup=max(_LEAST_WARMUP, settings.warmup))
        return sample_artifacts(runtime, artifacts, settings, self._cores, self._meter)


class OpenVino:
    """The runtime itself, on its processor plug-in; fp32 stays fp32 where bfloat16 is faster."""

    name = "openvino"

    def __init__(self, threads: int) -> None:
        self._core = ov.Core()
        self._settings = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "ENABLE_CPU_PINNING": False,  # the sampler has chosen the cores
        }

    def open(self, artifact: Artifact, rng: np.random.Generator) -> Run:
        """A plain inference request."""
        infer, _ = self._request(artifact, rng, is_profiled=False)
        return host_timed(infer)

    def open_profiled(
        self, artifact: Artifact, rng: np.random.Generator, folder: Path
    ) -> "_ProfiledRequest":
        """An inference request that times its nodes."""
        return _ProfiledRequest(*self._request(artifact, rng, is_profiled=True))

    def _request(
        self, artifact: Artifact, rng: np.random.Generator, is_profiled: bool
    ) -> tuple[Callable[[], object], Any]:
        settings = {**self._settings, "PERF_COUNT": is_profiled}
        request = self._core.compile_model(artifact.path, "CPU", settings).create_infer_request()
        image = rng.standard_normal(artifact.input_shape).astype(np.float32)
        request.set_input_tensor(ov.Tensor(image))
        return request.infer, request


class _ProfiledRequest:
    """A request whose nodes are read after every run."""

    def __init__(self, infer: Callable[[], object], request: Any) -> None:
        self._timed, self._request = host_timed(infer), request
        self._runs: list[list[Any]] = []

    def run(self) -> float:
        """One inference, its nodes kept."""
        latency_ms = self._timed()
        self._runs.append(self._request.get_profiling_info())
        return latency_ms

    def nodes(self, kept: Sequence[int]) -> tuple[NodeTime, ...]:
        """The nodes that ran, by their names in the ONNX graph."""
        runs = [self._runs[index] for index in kept]
        found = []
        for position, info in enumerate(runs[0]):
            if info.status.name == "EXECUTED":
                times_us = [run[position].real_time.total_seconds() * 1e6 for run in runs]
                found.append(NodeTime(info.node_name, info.node_type, midmean(times_us) / 1e3))
        return tuple(found)


@cache
def _wake_threads() -> None:
    """Let the runtime's thread pool see all cores of this process, once.

    The pool keeps for good the number of cores that the thread of its first inference may use, and
    the sampler pins that thread: without this, a device of two threads that is used after one of a
    single thread would run on one.
    """
    image = opset.parameter([1, 64, 64, 64], ov.Type.f32)
    weight = opset.constant(np.ones((64, 64, 3, 3), np.float32))
    convolution = opset.convolution(image, weight, [1, 1], [1, 1], [1, 1], [1, 1])
    model = ov.Model([convolution], [image], "wake")
    settings = {
        "INFERENCE_NUM_THREADS": len(allowed_cores()),
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
    }
    ov.Core().compile_model(model, "CPU", settings).create_infer_request().infer()
