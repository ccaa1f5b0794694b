"""This machine's processor as a device, through any runtime that the sampler can drive."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from hot.devices.contract import Settings
from hot.devices.energy import MEASURED_ENERGY, find_rapl
from hot.devices.fingerprint import host_fingerprint
from hot.devices.quiet import choose_cores
from hot.devices.sampling import Runtime, sample_artifacts
from hot.records import MEASURES, Artifact, DeviceInfo, Measurement


class HostCpu:
    """The processor of this machine: pinned threads of one runtime, energy by RAPL."""

    def __init__(
        self,
        name: str,
        threads: int,
        make_runtime: Callable[[int], Runtime],
        precisions: tuple[str, ...],
        fingerprint: dict[str, str],
        formats: tuple[str, ...] = ("onnx",),
        method: str = "",
        least_warmup: int = 0,
    ) -> None:
        """Use `threads` cores.

        Args:
            make_runtime: makes the runtime from the number of threads, for each measurement.
            fingerprint: the runtime with its version and options; that of the machine and the
                threads are added.
            least_warmup: runs before each sample that the runtime needs at least.

        Raises:
            DeviceError: this process may not use as many.
        """
        self._threads, self._make_runtime = threads, make_runtime
        self._cores = choose_cores(name, threads)
        self._least_warmup = least_warmup
        self._meter = find_rapl()
        self._info = DeviceInfo(
            name,
            MEASURES,
            precisions,
            {**host_fingerprint(), **fingerprint, "threads": str(threads)},
            formats,
            energy=None if self._meter is None else MEASURED_ENERGY,
            method=method,
        )

    def describe(self) -> DeviceInfo:
        """The device as it stands, with processor, runtime and threads in its fingerprint."""
        return self._info

    def measure(self, artifact: Artifact, settings: Settings) -> Measurement:
        """Latency of the artifact; see `Settings` for how a sample is taken."""
        return self.measure_all([artifact], settings)[0]

    def measure_all(self, artifacts: Sequence[Artifact], settings: Settings) -> list[Measurement]:
        """Latencies of all artifacts, sampled in rounds over them in random order."""
        settings = replace(settings, warmup=max(self._least_warmup, settings.warmup))
        runtime = self._make_runtime(self._threads)
        return sample_artifacts(runtime, artifacts, settings, self._cores, self._meter)
