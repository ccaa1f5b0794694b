"""This machine's processor, measured through OpenVINO."""

import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from hot.devices.host import HostCpu
from hot.devices.quiet import allowed_cores
from hot.devices.robust import midmean
from hot.devices.sampling import Run, host_timed
from hot.records import Artifact, NodeTime

# OpenVINO imports its telemetry, which forks a process that calls home as soon as it is imported;
# it does without where the package is not there, as None says.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino as ov  # noqa: E402
import openvino.opset13 as opset  # noqa: E402

# One network (0.82 ms alone) took 6 % longer among 23 others with two runs to warm up and the
# fastest of three; with six and ten it took the same. Groups that build a LUT are larger than those
# that check it.
_LEAST_WARMUP = 6


def openvino_cpu(threads: int = 1) -> HostCpu:
    """The processor of this machine through OpenVINO: one stream, tuned for latency.

    Raises:
        DeviceError: this process may not use as many threads.
    """
    runtime = {"runtime": "openvino", "runtime_version": ov.__version__}
    options = {"streams": "1", "hint": "latency"}
    device = HostCpu(
        "openvino",
        threads,
        OpenVino,
        ("fp32", "int8"),
        {**runtime, **options},
        least_warmup=_LEAST_WARMUP,
    )
    _wake_threads()
    return device


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
            "ENABLE_CPU_PINNING": False,  # the sampler has chosen the cores; see _pin_threads
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
        _pin_threads()
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


def _pin_threads() -> None:
    """Put the pool's threads on the cores of this one, which the sampler has pinned.

    They are as old as the pool, so that they do not get its cores by themselves. They stay there
    until the next artifact is opened.
    """
    for thread in _wake_threads():
        with contextlib.suppress(OSError):  # it has ended
            os.sched_setaffinity(thread, os.sched_getaffinity(0))


@cache
def _wake_threads() -> frozenset[int]:
    """Let the runtime's thread pool see all cores of this process, once; its threads on Linux.

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
    before = _own_threads()
    ov.Core().compile_model(model, "CPU", settings).create_infer_request().infer()
    return _own_threads() - before


def _own_threads() -> frozenset[int]:
    """The numbers of this process's threads; none where the system does not tell."""
    tasks = Path("/proc/self/task")
    return frozenset(int(task.name) for task in tasks.iterdir()) if tasks.is_dir() else frozenset()
