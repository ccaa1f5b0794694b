import numpy as np
import pytest

from hot.lut.attribute import PartTime
from hot.lut.calibrate import NetworkTime, calibrate


def make_networks(rng, n, overhead_ms, constant_ms, noise=0.0, n_choices=6, n_slots=5):
    """Networks of known truth, and the truth by key."""
    truth = {"stem": 0.3, "head": 0.5}
    nodes = {"stem": 1, "head": 4}
    for slot in range(n_slots):
        for choice in range(n_choices):
            truth[f"{slot}-{choice}"] = float(rng.uniform(0.05, 2.0))
            nodes[f"{slot}-{choice}"] = int(rng.integers(2, 6))
    networks = []
    for _ in range(n):
        keys = ["stem", *(f"{s}-{rng.integers(n_choices)}" for s in range(n_slots)), "head"]
        parts = tuple(
            PartTime(key, key, truth[key] + overhead_ms * nodes[key], nodes[key]) for key in keys
        )
        total = sum(truth[key] for key in keys) + constant_ms
        networks.append(NetworkTime(total * (1 + noise * rng.standard_normal()), parts))
    return networks, truth


def test_the_profilers_overhead_and_the_constant_are_taken_away_exactly():
    rng = np.random.default_rng(0)
    networks, truth = make_networks(rng, 60, overhead_ms=0.02, constant_ms=0.1)
    entries = calibrate(networks, dict.fromkeys(truth, 0))
    for key, entry in entries.items():
        expected = truth[key] + (0.1 if key == "head" else 0.0)
        assert entry.latency_ms == pytest.approx(expected, rel=0.01), key


def test_without_overhead_the_profiled_times_are_kept():
    networks, truth = make_networks(np.random.default_rng(1), 40, 0.0, 0.0)
    entries = calibrate(networks, dict.fromkeys(truth, 0))
    assert all(entry.latency_ms == pytest.approx(truth[key]) for key, entry in entries.items())


def test_a_few_disturbed_networks_do_not_matter():
    rng = np.random.default_rng(2)
    networks, truth = make_networks(rng, 60, 0.02, 0.1)
    for index in (3, 17, 40):
        networks[index] = NetworkTime(networks[index].total_ms * 3, networks[index].parts)
    entries = calibrate(networks, dict.fromkeys(truth, 0))
    error = [
        abs(e.latency_ms / truth[k] - 1) for k, e in entries.items() if k not in ("stem", "head")
    ]
    assert np.mean(error) < 0.03


def test_what_weights_cost_the_rest_of_the_network_goes_to_those_weights():
    rng = np.random.default_rng(3)
    networks, truth = make_networks(rng, 80, 0.0, 0.0)
    weights = {key: int(rng.integers(1, 10)) * 10**6 for key in truth}
    # Every network takes 0.02 ms more for each MB of weights than its parts show.
    slow = [
        NetworkTime(n.total_ms + sum(weights[p.work_key] for p in n.parts) * 2e-8, n.parts)
        for n in networks
    ]
    entries = calibrate(slow, weights)
    for key, entry in entries.items():
        assert entry.latency_ms == pytest.approx(truth[key] + weights[key] * 2e-8, rel=0.02), key


def test_no_entry_falls_below_zero_however_large_the_overhead():
    networks, truth = make_networks(np.random.default_rng(4), 30, overhead_ms=5.0, constant_ms=0.0)
    entries = calibrate(networks, dict.fromkeys(truth, 0))
    assert all(entry.latency_ms > 0 for entry in entries.values())


def test_energy_is_shared_as_latency_is():
    networks, truth = make_networks(np.random.default_rng(5), 30, 0.0, 0.0)
    networks = [NetworkTime(n.total_ms, n.parts, energy_mj=0.2 * n.total_ms) for n in networks]
    entries = calibrate(networks, dict.fromkeys(truth, 0))
    for entry in entries.values():
        assert entry.energy_mj == pytest.approx(0.2 * entry.latency_ms)


def test_one_network_without_energy_leaves_all_without():
    networks, truth = make_networks(np.random.default_rng(6), 10, 0.0, 0.0)
    networks[1:] = [NetworkTime(n.total_ms, n.parts, 1.0) for n in networks[1:]]
    entries = calibrate(networks, dict.fromkeys(truth, 0))
    assert all(entry.energy_mj is None for entry in entries.values())


def test_what_adds_up_is_not_corrected_for_a_profiler():
    """An estimate: heavy work looks dear, but no cost of weights may be taken from it."""
    rng = np.random.default_rng(5)
    networks, truth = make_networks(rng, 12, 0.0, 0.0)  # fewer networks than works
    weights = {key: int(1e6 * ms) for key, ms in truth.items()}
    entries = calibrate(networks, weights)
    assert {key: entry.latency_ms for key, entry in entries.items()} == pytest.approx(
        {key: truth[key] for key in entries}, rel=1e-9
    )


def test_what_a_profiler_adds_is_not_taken_from_the_head():
    """Else the rest of what it adds would be in no entry, and all predictions too high."""
    rng = np.random.default_rng(7)
    networks, truth = make_networks(rng, 60, overhead_ms=0.05, constant_ms=-1.5, n_slots=12)
    entries = calibrate(networks, dict.fromkeys(truth, 0))
    ratios = [
        sum(entries[part.work_key].latency_ms for part in network.parts) / network.total_ms
        for network in networks
    ]
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.015)
