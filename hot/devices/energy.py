"""Energy as hardware counts it: RAPL of x86 processors, NVML of NVIDIA's GPUs.

A counter counts all that its package draws, idle power and other processes included: what an
inference costs while it has the machine to itself, as a battery or a meter would see it.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

RAPL_FOLDER = Path("/sys/class/powercap")
MEASURED_ENERGY = "measured"
MODELLED_ENERGY = "modelled"

_LEAST_RUNS = 3


class Meter(Protocol):
    """A counter of energy that only grows.

    Attributes:
        least_s: how long it must be watched so that one step of it is about a percent.
    """

    least_s: float

    def read_mj(self) -> float:
        """Energy so far, in mJ; only differences mean anything."""


def energy_per_run_mj(run: Callable[[], object], meter: Meter) -> float | None:
    """Mean energy of one of the runs in `meter.least_s` seconds; None where nothing was counted."""
    n_runs = 0
    start, first = time.perf_counter(), meter.read_mj()
    while n_runs < _LEAST_RUNS or time.perf_counter() - start < meter.least_s:
        run()
        n_runs += 1
    spent = meter.read_mj() - first
    return spent / n_runs if spent > 0 else None


class Rapl:
    """Processor packages and their memory, as Linux's powercap gives them; about 1 ms a step.

    References:
        Linux, Documentation/power/powercap/powercap.rst.
    """

    least_s = 0.2

    def __init__(self, zones: list[Path]) -> None:
        """Read `energy_uj` of every folder in `zones`, each up to its `max_energy_range_uj`."""
        self._zones = [_Zone(path) for path in zones]

    def read_mj(self) -> float:
        """Energy of all zones since this meter was made.

        Assumption: no counter starts again twice between two calls, which takes minutes at least.
        """
        return sum(zone.read_uj() for zone in self._zones) / 1e3


class _Zone:
    """One counter, which starts again from zero after its range."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "energy_uj"
        self._range_uj = int((folder / "max_energy_range_uj").read_text())
        self._last_uj, self._total_uj = int(self._path.read_text()), 0

    def read_uj(self) -> int:
        """What was counted since the beginning, in microjoules."""
        now_uj = int(self._path.read_text())
        step = now_uj - self._last_uj
        self._total_uj += step if step >= 0 else step + self._range_uj
        self._last_uj = now_uj
        return self._total_uj


def find_rapl(folder: Path = RAPL_FOLDER) -> Rapl | None:
    """The meter of this machine's processors; None where there is none that may be read.

    Packages and `dram` count. `core` and `uncore` are in their package already, `psys` holds all
    again, and so does `intel-rapl-mmio`. Since Linux 5.10 only root may read them.
    """
    zones = []
    for zone in sorted(folder.glob("intel-rapl:*")):
        try:
            name = (zone / "name").read_text().strip()
            if name.startswith("package") or name == "dram":
                int((zone / "energy_uj").read_text())
                zones.append(zone)
        except (OSError, ValueError):
            continue
    return Rapl(zones) if zones else None


class Nvml:
    """The counter of one NVIDIA GPU, its whole board; Volta and later, about 0.1 s a step."""

    least_s = 2.0

    def __init__(self, library: Any, handle: Any) -> None:
        """Read the GPU of that `handle` through pynvml, the `library`."""
        self._library, self._handle = library, handle

    def read_mj(self) -> float:
        """Energy since the driver was loaded."""
        return float(self._library.nvmlDeviceGetTotalEnergyConsumption(self._handle))


def find_nvml(bus: str) -> Nvml | None:
    """The meter of the GPU at a PCI bus address; None without the library, or where it has none."""
    try:
        import pynvml
    except ModuleNotFoundError:
        return None
    try:
        pynvml.nvmlInit()
        meter = Nvml(pynvml, pynvml.nvmlDeviceGetHandleByPciBusId(bus.encode()))
        meter.read_mj()
    except pynvml.NVMLError:
        return None
    return meter
