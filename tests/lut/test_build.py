import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import yaml

from hot.devices import Settings, make_device
from hot.devices.description import description_files
from hot.errors import DeviceError, LutError
from hot.lut import METHODS, LutKey, LutStore, build_lut
from hot.records import MEASURES, Measurement

# A build of its own process on the analytic device, slowed so that a kill meets it at work.
SLOW = """
import sys, time
from hot.devices import make_device
from hot.lut import build_lut
from hot.lut import build as module
from hot.space import load_space

class Slow:
    def __init__(self, device): self.device = device
    def describe(self): return self.device.describe()
    def measure(self, artifact, settings): return self.measure_all([artifact], settings)[0]
    def measure_all(self, artifacts, settings):
        time.sleep(0.05 * len(artifacts))
        return self.device.measure_all(artifacts, settings)

module._GROUP_MOST = 2
build_lut(
    load_space(sys.argv[1]), Slow(make_device("reference")), method="in-context", store=sys.argv[2]
)
"""


class Recorder:
    """The analytic device, with a note of what it measured and a drift on demand."""

    def __init__(self, device, factor=lambda call: 1.0):
        self.device, self.factor, self.calls, self.measured = device, factor, 0, 0

    def describe(self):
        return self.device.describe()

    def measure(self, artifact, settings):
        return self.measure_all([artifact], settings)[0]

    def measure_all(self, artifacts, settings):
        factor = self.factor(self.calls)
        self.calls += 1
        self.measured += len(artifacts)
        return [_scaled(m, factor) for m in self.device.measure_all(artifacts, settings)]


def _scaled(measured, factor):
    nodes = tuple(
        type(node)(node.name, node.operator, node.latency_ms * factor) for node in measured.nodes
    )
    return Measurement(measured.latency_ms * factor, energy_mj=measured.energy_mj, nodes=nodes)


@pytest.mark.parametrize("method", METHODS)
def test_the_sum_of_the_entries_is_the_estimate_of_every_network(method, tiny, reference, tmp_path):
    from hot.lut.check import measure_networks

    lut = build_lut(tiny, reference, method=method, store=tmp_path / "luts.db")
    table = lut.table(tiny)
    networks = list(tiny.enumerate())[::4]
    truth = measure_networks(tiny, networks, "fp32", reference, Settings(), 0)
    for network, expected in zip(networks, truth, strict=True):
        assert table.predict_ms(tiny, network) == pytest.approx(expected, rel=0.01)
    assert table.energy_mj is not None


def test_a_skip_costs_nothing(tiny_lut):
    entries = {key: e.latency_ms for key, e in tiny_lut.entries.items() if key.startswith("skip@")}
    assert list(entries.values()) == [0.0]


def test_a_finished_lut_is_read_not_measured_again(tiny, reference, tmp_path):
    device = Recorder(reference)
    first = build_lut(tiny, device, method="in-context", store=tmp_path / "luts.db")
    measured = device.measured
    assert build_lut(tiny, device, method="in-context", store=tmp_path / "luts.db") == first
    assert device.measured == measured
    build_lut(tiny, device, method="in-context", store=tmp_path / "luts.db", is_fresh=True)
    assert device.measured == 2 * measured


def test_entries_taken_during_a_drift_are_measured_again(tiny, reference, tmp_path, monkeypatch):
    monkeypatch.setattr("hot.lut.build._GROUP_MOST", 2)
    steady = build_lut(tiny, Recorder(reference), method="in-context", store=tmp_path / "steady.db")
    # Calls alternate: sentinels, group, sentinels, group, ...; the clock is down for calls 5 to 8.
    drifting = Recorder(reference, lambda call: 1.5 if 5 <= call <= 8 else 1.0)
    lut = build_lut(tiny, drifting, method="in-context", store=tmp_path / "drift.db")
    for key, entry in lut.entries.items():
        assert entry.latency_ms == pytest.approx(steady.entries[key].latency_ms), key
    assert lut.sentinels == pytest.approx(steady.sentinels)


def test_a_device_that_never_holds_still_is_told_but_ends(
    tiny, reference, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr("hot.lut.build._GROUP_MOST", 2)
    wild = Recorder(reference, lambda call: 1.0 + 0.5 * (call % 3))
    lut = build_lut(tiny, wild, method="in-context", store=tmp_path / "luts.db")
    assert lut.table(tiny).fixed_ms > 0
    assert "kept moving" in caplog.text


def test_a_model_that_fails_at_first_is_tried_again(tiny, reference, tmp_path):
    class Flaky(Recorder):
        is_broken = True

        def measure_all(self, artifacts, settings):
            if self.is_broken and settings.per_node:
                return [Measurement(None, failure="the device is busy") for _ in artifacts]
            return super().measure_all(artifacts, settings)

    device = Flaky(reference)
    with pytest.raises(LutError, match="the device is busy"):
        build_lut(tiny, device, method="in-context", store=tmp_path / "luts.db")
    device.is_broken = False
    assert build_lut(tiny, device, method="in-context", store=tmp_path / "luts.db").entries


def test_a_space_too_large_for_the_device_is_refused_with_the_reason(tiny, tmp_path):
    small = yaml.safe_load(description_files()["reference"].read_text())
    small |= {"name": "small", "weight_capacity_bytes": {"value": 100, "source": "made for a test"}}
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(small))
    for method in METHODS:
        with pytest.raises((LutError, DeviceError), match="does not fit small"):
            build_lut(tiny, make_device(str(path)), method=method, store=tmp_path / "luts.db")


def test_an_unknown_method_or_precision_is_refused_with_the_known_ones(tiny, reference, tmp_path):
    with pytest.raises(LutError, match="did you mean 'isolated'"):
        build_lut(tiny, reference, method="isolate", store=tmp_path / "luts.db")
    with pytest.raises(DeviceError, match="runs fp32"):
        build_lut(tiny, reference, "int3", store=tmp_path / "luts.db")


@pytest.mark.parametrize("method", METHODS)
def test_the_processor_fills_a_lut(method, tiny, tmp_path):
    settings = Settings(repetitions=2, node_repetitions=2, best_of=1, max_remeasure=0)
    lut = build_lut(
        tiny, make_device("cpu"), method=method, store=tmp_path / "luts.db", settings=settings
    )
    lut.table(tiny)
    assert lut.device.kind == "measured"
    assert all(e.latency_ms > 0 for k, e in lut.entries.items() if not k.startswith("skip@"))


def test_an_int8_lut_is_faster_than_fp32_on_a_device_where_that_holds(tiny, reference, tmp_path):
    tables = [
        build_lut(tiny, reference, precision, "isolated", store=tmp_path / "luts.db").table(tiny)
        for precision in ("fp32", "int8")
    ]
    fp32, int8 = (table.predict_ms(tiny, tiny.original) for table in tables)
    assert int8 < fp32


def test_a_build_killed_at_any_moment_goes_on_with_nothing_lost_or_doubled(
    tiny, tiny_file, tiny_lut, reference, tmp_path
):
    path = tmp_path / "luts.db"
    key = LutKey(tiny.key, reference.describe().key, "fp32", "in-context")
    counts = [0]
    for n_more in (1, 3):
        child = subprocess.Popen([sys.executable, "-c", SLOW, str(tiny_file), str(path)])
        _wait_for_results(path, key, counts[-1] + n_more, child)
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait(30) == -signal.SIGKILL
        counts.append(len(_results(path, key)))
    assert 0 < counts[1] < counts[2] < len(tiny_lut.jobs)
    before = _results(path, key)
    device = Recorder(reference)
    lut = build_lut(tiny, device, method="in-context", store=path)
    after = _results(path, key)
    assert {k: after[k] for k in before} == before
    assert sorted(after) == sorted(tiny_lut.jobs)
    for name, entry in lut.entries.items():
        assert entry.latency_ms == pytest.approx(tiny_lut.entries[name].latency_ms)
        assert entry.n_samples == tiny_lut.entries[name].n_samples


def _results(path, key):
    store = LutStore(path)
    try:
        number = store.find(key)
        return {} if number is None else store.results(number)
    finally:
        store.close()


def _wait_for_results(path, key, at_least, child):
    for _ in range(1200):
        if path.exists() and len(_results(path, key)) >= at_least:
            return
        assert child.poll() is None, "the build ended before it could be killed"
        time.sleep(0.05)
    pytest.fail("the build did not get as far as it should")


def test_the_default_method_follows_what_the_device_does(tiny, reference, tmp_path):
    assert build_lut(tiny, reference, store=tmp_path / "luts.db").method == "isolated"

    class Measuring(Recorder):
        def describe(self):
            return replace(self.device.describe(), kind=MEASURES)

    assert build_lut(tiny, Measuring(reference), store=tmp_path / "l.db").method == "in-context"
