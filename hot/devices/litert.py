"""This machine's processor, measured through LiteRT with its XNNPACK kernels."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from hot.devices.host import HostCpu
from hot.devices.sampling import Run, host_timed
from hot.records import Artifact


def litert_cpu(threads: int = 1) -> HostCpu:
    """The processor of this machine through LiteRT.

    Raises:
        DeviceError: this process may not use as many threads.
    """
    runtime = {"runtime": "litert", "runtime_version": version("ai-edge-litert")}
    return HostCpu(
        "litert",
        threads,
        LiteRt,
        ("fp32", "int8"),
        {**runtime, "kernels": "xnnpack"},
        formats=("tflite",),
        # No times of nodes are told, and blocks alone run from warm caches: their sums were
        # 14 % off whole networks at fp32 and 6 % at int8, fitted ones 3 % at both.
        method="fitted",
    )


class LiteRt:
    """The runtime itself, with XNNPACK for all that it knows and its own kernels for the rest."""

    name = "litert"

    def __init__(self, threads: int) -> None:
        self._threads = threads

    def open(self, artifact: Artifact, rng: np.random.Generator) -> Run:
        """An interpreter with its tensors in place."""
        interpreter = Interpreter(str(artifact.path), num_threads=self._threads)
        interpreter.allocate_tensors()
        (entry,) = interpreter.get_input_details()
        interpreter.set_tensor(entry["index"], _noise(entry, rng))
        return host_timed(interpreter.invoke)

    def open_profiled(self, artifact: Artifact, rng: np.random.Generator, folder: Path) -> None:
        """None: the interpreter keeps its profiler to itself."""


def _noise(entry: dict[str, Any], rng: np.random.Generator) -> np.ndarray:
    """Normal noise for an input; a quantised one holds its integers."""
    noise = rng.standard_normal(entry["shape"]).astype(np.float32)
    scale, zero = entry["quantization"]
    if not scale:
        return noise.astype(entry["dtype"])
    limits = np.iinfo(entry["dtype"])
    return np.clip(np.rint(noise / scale) + zero, limits.min, limits.max).astype(entry["dtype"])
