"""This machine's processor, measured through LiteRT with its XNNPACK kernels."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from hot.devices.contract import Settings
from hot.devices.energy import MEASURED_ENERGY, find_rapl
from hot.devices.fingerprint import host_fingerprint
from hot.devices.quiet import choose_cores
from hot.devices.sampling import Run, host_timed, sample_artifacts
from hot.records import MEASURES, Artifact, DeviceInfo, Measurement


class LiteRtCpu:
    """The processor of this machine, with pinned threads."""

    def __init__(self, threads: int = 1) -> None:
        """Use `threads` cores.

        Raises:
            DeviceError: this process may not use as many.
        """
        self._threads = threads
        self._cores = choose_cores("litert", threads)
        self._meter = find_rapl()

    def describe(self) -> DeviceInfo:
        """The device as it stands, with processor, runtime and threads in its fingerprint."""
        options = {"threads": str(self._threads), "kernels": "xnnpack"}
        runtime = {"runtime": "litert", "runtime_version": version("ai-edge-litert")}
        return DeviceInfo(
            "litert",
            MEASURES,
            ("fp32", "int8"),
            {**host_fingerprint(), **runtime, **options},
            formats=("tflite",),
            energy=None if self._meter is None else MEASURED_ENERGY,
            # No times of nodes are told, and blocks alone run from warm caches: their sums were
            # 14 % off whole networks at fp32 and 6 % at int8, fitted ones 3 % at both.
            method="fitted",
        )

    def measure(self, artifact: Artifact, settings: Settings) -> Measurement:
        """Latency of the artifact; see `Settings` for how a sample is taken."""
        return self.measure_all([artifact], settings)[0]

    def measure_all(self, artifacts: Sequence[Artifact], settings: Settings) -> list[Measurement]:
        """Latencies of all artifacts, sampled in rounds over them in random order."""
        runtime = LiteRt(self._threads)
        return sample_artifacts(runtime, artifacts, settings, self._cores, self._meter)


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
