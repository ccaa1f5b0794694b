import os
import time

import pytest

from hot.devices import Settings, make_device
from hot.devices import host as cpu
from hot.devices.energy import energy_per_run_mj, find_nvml, find_rapl

RANGE_UJ = 262_143_328_850  # of a Xeon's package


class Zones:
    """The files of powercap, in a folder of the test."""

    def __init__(self, folder):
        self.folder = folder

    def add(self, zone, name, energy_uj=0, range_uj=RANGE_UJ):
        place = self.folder / zone
        place.mkdir(parents=True)
        (place / "name").write_text(f"{name}\n")
        (place / "max_energy_range_uj").write_text(f"{range_uj}\n")
        self.set(zone, energy_uj)

    def set(self, zone, energy_uj):
        (self.folder / zone / "energy_uj").write_text(f"{energy_uj}\n")


@pytest.fixture
def zones(tmp_path):
    return Zones(tmp_path / "powercap")


def test_two_packages_add_up_in_millijoules(zones):
    zones.add("intel-rapl:0", "package-0", 5_000)
    zones.add("intel-rapl:1", "package-1", 9_000)
    meter = find_rapl(zones.folder)
    before = meter.read_mj()
    zones.set("intel-rapl:0", 7_000)
    zones.set("intel-rapl:1", 9_500)
    assert meter.read_mj() - before == pytest.approx(2.5)


def test_a_counter_that_starts_again_goes_on(zones):
    zones.add("intel-rapl:0", "package-0", RANGE_UJ - 1_000)
    meter = find_rapl(zones.folder)
    before = meter.read_mj()
    zones.set("intel-rapl:0", 2_000)
    assert meter.read_mj() - before == pytest.approx(3.0)
    zones.set("intel-rapl:0", 1_000)  # once more round
    assert meter.read_mj() - before == pytest.approx(3.0 + (RANGE_UJ - 1_000) / 1e3)


def test_what_is_in_a_package_already_does_not_count_twice_but_its_memory_counts(zones):
    zones.add("intel-rapl:0", "package-0")
    zones.add("intel-rapl:0:0", "core")
    zones.add("intel-rapl:0:1", "dram")
    zones.add("intel-rapl:1", "psys")
    zones.add("intel-rapl-mmio:0", "package-0")
    meter = find_rapl(zones.folder)
    for zone in ("intel-rapl:0", "intel-rapl:0:0", "intel-rapl:1", "intel-rapl-mmio:0"):
        zones.set(zone, 4_000)
    zones.set("intel-rapl:0:1", 1_000)
    assert meter.read_mj() == pytest.approx(5.0)


def test_without_counters_there_is_no_meter(tmp_path, zones):
    assert find_rapl(tmp_path / "none") is None
    zones.add("intel-rapl:0", "psys")
    assert find_rapl(zones.folder) is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_counters_that_may_not_be_read_are_no_meter(zones):
    zones.add("intel-rapl:0", "package-0")
    (zones.folder / "intel-rapl:0" / "energy_uj").chmod(0)
    assert find_rapl(zones.folder) is None


def test_a_counter_that_holds_no_number_is_no_meter(zones):
    zones.add("intel-rapl:0", "package-0", "")
    assert find_rapl(zones.folder) is None


class Steady:
    """A meter of constant power."""

    least_s = 0.05

    def __init__(self, power_w):
        self.power_w = power_w

    def read_mj(self):
        return 1e3 * self.power_w * time.monotonic()


def test_the_energy_of_a_run_is_power_times_its_time():
    # 2 W for runs of 5 ms: 10 mJ each; sleeping takes a little longer, never less.
    energy = energy_per_run_mj(lambda: time.sleep(0.005), Steady(2.0))
    assert 10.0 <= energy < 15.0


def test_a_counter_that_stands_still_gives_no_figure():
    assert energy_per_run_mj(lambda: None, Steady(0.0)) is None


def test_a_processor_with_counters_measures_energy_and_says_so(zones, network, monkeypatch):
    zones.add("intel-rapl:0", "package-0")
    monkeypatch.setattr(cpu, "find_rapl", lambda: Steady(3.0))
    device = make_device("cpu")
    assert device.describe().energy == "measured"
    result = device.measure(network, Settings(repetitions=3, memory=False))
    # A run takes its latency and what the loop around it takes: 3 W times at least the latency.
    assert result.latency_ms * 3.0 * 0.8 < result.energy_mj < result.latency_ms * 3.0 * 5


def test_a_processor_without_counters_gives_no_energy(network, monkeypatch):
    monkeypatch.setattr(cpu, "find_rapl", lambda: None)
    device = make_device("cpu")
    assert device.describe().energy is None
    assert device.measure(network, Settings(repetitions=2, memory=False)).energy_mj is None


def test_energy_of_a_description_is_modelled():
    assert make_device("gap8").describe().energy == "modelled"


def test_no_gpu_at_a_bus_address_is_no_meter():
    assert find_nvml("ffff:ff:00.0") is None
