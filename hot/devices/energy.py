"""Energy as hardware counts it: RAPL of x86 processors, NVML of NVIDIA's GPUs.

A counter counts all that its package draws, idle power and other processes included: what an
inference costs while it has the machine to itself, as a battery or a meter would see it.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

RAPL_FOLDER = Path("/sys/class/powercap")
MEASURED_ENERGY = "measured"
MODELLED_ENERGY = "modelled"

# RAPL counts about every millisecond, NVML every 20 to 100 ms: so long, one step is about 0.5 %.
_LEAST_S = 0.2
_LEAST_RUNS = 3


class Meter(Protocol):
    """A counter of energy that only grows.

    Attributes:
        least_s: how long it must be watched for a figure within about a percent.
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
    """The packages of this machine's processors, as Linux's powercap gives them.

    References:
        Linux, Documentation/power/powercap/powercap.rst.
    """

    least_s = _LEAST_S

    def __init__(self, packages: list[Path]) -> None:
        """Read `energy_uj` of the zones in `packages`, each up to its `max_energy_range_uj`."""
        self._zones = [
            _Zone(path / "energy_uj", int((path / "max_energy_range_uj").read_text()))
            for path in packages
        ]

    def read_mj(self) -> float:
        """Energy of all packages since this meter was made; a wrap of a counter is seen once."""
        return sum(zone.read_uj() for zone in self._zones) / 1e3


class _Zone:
    """One counter, which starts again from zero after its range."""

    def __init__(self, path: Path, range_uj: int) -> None:
        self._path, self._range_uj = path, range_uj
        self._last_uj, self._total_uj = int(path.read_text()), 0

    def read_uj(self) -> int:
        """What was counted since the beginning, in microjoules."""
        now_uj = int(self._path.read_text())
        step = now_uj - self._last_uj
        self._total_uj += step if step >= 0 else step + self._range_uj
        self._last_uj = now_uj
        return self._total_uj


def find_rapl(folder: Path = RAPL_FOLDER) -> Rapl | None:
    """The meter of this machine's processors; None where there is none that may be read.

    Only whole packages count: their parts (`intel-rapl:0:0`, core or memory) are in them already,
    and `psys` holds the packages again. Since Linux 5.10 only root may read them.
    """
    packages = []
    for zone in sorted(folder.glob("intel-rapl:*")):
        try:
            if (zone / "name").read_text().startswith("package"):
                int((zone / "energy_uj").read_text())
                packages.append(zone)
        except (OSError, ValueError):
            continue
    return Rapl(packages) if packages else None
