import os

import numpy as np
import pytest

from hot.devices import Settings, make_device
from hot.errors import DeviceError
from hot.records import Artifact

QUICK = Settings(warmup=1, repetitions=5, best_of=2, max_remeasure=0, memory=False)


def test_a_sample_is_one_number_a_repetition_and_the_latency_their_median(network):
    result = make_device("cpu").measure(network, QUICK)
    assert len(result.samples_ms) == 5
    assert result.latency_ms == sorted(result.samples_ms)[2]
    assert 0 < result.latency_ms < 100


def test_a_wide_spread_is_remeasured_until_the_limit_of_tries(network):
    settings = Settings(
        repetitions=4, best_of=1, max_remeasure=3, spread_limit=1e-9, memory=False, warmup=0
    )
    result = make_device("cpu").measure(network, settings)
    assert len(result.samples_ms) == 4 * (1 + 3)
    assert not result.is_steady


def test_a_narrow_spread_is_not_remeasured(network):
    settings = Settings(repetitions=4, max_remeasure=3, spread_limit=1e9, memory=False)
    result = make_device("cpu").measure(network, settings)
    assert len(result.samples_ms) == 4
    assert result.is_steady


def test_nodes_cover_the_network_and_carry_its_names(network):
    result = make_device("cpu").measure(network, Settings(per_node=True, memory=False))
    names = " ".join(node.name for node in result.nodes)
    assert "/stem/" in names
    assert "/b5/" in names
    assert "/head/" in names
    total = sum(node.latency_ms for node in result.nodes)
    assert 0.3 * result.latency_ms < total < 3 * result.latency_ms


def test_a_larger_network_takes_longer_measured_side_by_side(network, one_convolution):
    small, large = make_device("cpu").measure_all([one_convolution, network], QUICK)
    assert small.latency_ms < large.latency_ms


def test_peak_memory_holds_at_least_the_weights(network):
    result = make_device("cpu").measure(network, Settings(repetitions=2, memory=True))
    assert result.peak_memory_bytes > network.path.stat().st_size


def test_the_affinity_of_the_process_is_as_before(network):
    before = os.sched_getaffinity(0)
    make_device("cpu").measure(network, QUICK)
    assert os.sched_getaffinity(0) == before


def test_a_missing_file_is_a_failure(tmp_path):
    missing = Artifact(tmp_path / "none.onnx", "fp32", (1, 1, 16, 16))
    result = make_device("cpu").measure(missing, QUICK)
    assert result.latency_ms is None
    assert "none.onnx" in result.failure


def test_a_truncated_or_overwritten_model_never_crashes(network, tmp_path):
    whole = network.path.read_bytes()
    rng = np.random.default_rng(0)
    for cut in [0, 1, 7, *rng.integers(8, len(whole), 20)]:
        path = tmp_path / "cut.onnx"
        path.write_bytes(whole[:cut])
        result = make_device("cpu").measure(Artifact(path, "fp32", network.input_shape), QUICK)
        assert result.failure is not None or result.latency_ms > 0
    for _ in range(20):
        damaged = bytearray(whole)
        for position in rng.integers(0, len(whole), 30):
            damaged[position] = rng.integers(256)
        path.write_bytes(bytes(damaged))
        result = make_device("cpu").measure(Artifact(path, "fp32", network.input_shape), QUICK)
        assert result.failure is not None or result.latency_ms > 0


def test_one_bad_model_does_not_stop_the_others(network, tmp_path):
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"no model")
    artifacts = [Artifact(bad, "fp32", network.input_shape), network]
    failed, fine = make_device("cpu").measure_all(artifacts, QUICK)
    assert failed.failure is not None
    assert fine.failure is None


def test_an_input_of_another_shape_is_a_failure(network):
    wrong = Artifact(network.path, "fp32", (1, 3, 16, 16))
    assert make_device("cpu").measure(wrong, QUICK).failure is not None


def test_more_threads_than_cores_are_refused_with_both_numbers():
    with pytest.raises(DeviceError, match="cannot use 4096 threads"):
        make_device("cpu", threads=4096)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_the_number_of_threads_is_part_of_the_fingerprint():
    one, two = make_device("cpu", threads=1).describe(), make_device("cpu", threads=2).describe()
    assert one.key != two.key
    assert one.difference(two) == "threads: 1 | 2"
