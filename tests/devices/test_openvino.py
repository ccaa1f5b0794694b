import os
import subprocess
import sys

import numpy as np
import pytest

from hot.devices import Settings, make_device, needs
from hot.devices.quiet import allowed_cores
from hot.errors import DeviceError
from hot.export import quantize
from hot.lut.attribute import attribute
from hot.lut.plan import network_job
from hot.records import Artifact
from hot.space import load_space

if needs("openvino", "openvino")() is not None and os.environ.get("CI") != "true":
    pytest.skip(str(needs("openvino", "openvino")()), allow_module_level=True)

QUICK = Settings(warmup=1, repetitions=5, best_of=2, max_remeasure=0, memory=False)


@pytest.fixture(scope="module")
def quantised(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("int8") / "int8.onnx"
    rng = np.random.default_rng(0)
    samples = [rng.standard_normal(network.input_shape).astype(np.float32) for _ in range(2)]
    return quantize(network, "int8", samples, path)


def test_latency_is_the_median_of_its_samples(network):
    result = make_device("openvino").measure(network, QUICK)
    assert len(result.samples_ms) == 5
    assert result.latency_ms == sorted(result.samples_ms)[2]
    assert 0 < result.latency_ms < 100


def test_nodes_are_attributed_to_every_part_at_both_precisions(network, quantised):
    space = load_space("digits")
    parts = network_job(space, space.original).parts
    settings = Settings(repetitions=2, per_node=True, memory=False)
    for result in make_device("openvino").measure_all([network, quantised], settings):
        rows, _ = attribute(result.nodes, parts)
        assert all(row.latency_ms > 0 and row.n_nodes > 0 for row in rows)
        nameless = [node.name for node in result.nodes if "/" not in node.name]
        assert len(nameless) <= 1  # the last product, which is called after the output
        assert 0.3 * result.latency_ms < sum(row.latency_ms for row in rows)


def test_integers_run_as_integers(quantised):
    settings = Settings(repetitions=2, per_node=True, memory=False)
    result = make_device("openvino").measure(quantised, settings)
    # Not one of the network's conversions is left between its convolutions.
    kinds = [node.operator for node in result.nodes]
    assert sum("Quantize" in kind or kind == "Convert" for kind in kinds) <= 2
    assert sum("Convolution" in kind for kind in kinds) >= 12


def test_peak_memory_holds_at_least_the_weights(network):
    result = make_device("openvino").measure(network, Settings(repetitions=2))
    assert result.peak_memory_bytes > network.path.stat().st_size


def test_a_damaged_model_and_a_wrong_shape_are_failures(network, tmp_path):
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"no model")
    wrong = Artifact(network.path, "fp32", (1, 3, 16, 16))
    device = make_device("openvino")
    results = device.measure_all(
        [Artifact(bad, "fp32", network.input_shape), wrong, network], QUICK
    )
    assert [result.failure is None for result in results] == [False, False, True]
    assert "openvino cannot run" in results[0].failure
    assert "bad.onnx" in results[0].failure


def test_the_affinity_of_the_process_is_as_before(network):
    before = os.sched_getaffinity(0)
    make_device("openvino").measure(network, QUICK)
    assert os.sched_getaffinity(0) == before


def test_more_threads_than_cores_are_refused():
    with pytest.raises(DeviceError, match="'openvino' cannot use 4096 threads"):
        make_device("openvino", threads=4096)


def test_the_fingerprint_names_runtime_version_and_threads():
    fingerprint = make_device("openvino").describe().fingerprint
    assert fingerprint["runtime"] == "openvino"
    assert fingerprint["runtime_version"].startswith("20")
    assert fingerprint["threads"] == "1"
    assert make_device("openvino").describe().key != make_device("cpu").describe().key


WATCH_FORKS = """
import os, sys
forks = []
os.register_at_fork(before=lambda: forks.append(1))
from hot.devices import make_device
make_device("openvino")
print(sys.modules["openvino_telemetry"], len(forks))
"""


def test_openvino_starts_no_process_that_calls_home():
    done = subprocess.run(
        [sys.executable, "-c", WATCH_FORKS], capture_output=True, text=True, check=True
    )
    assert done.stdout == "None 0\n"


FOLLOW = """
import os, sys
from pathlib import Path
from hot.devices import Settings, make_device
from hot.records import Artifact

def ran_ns(thread):
    return int(Path(f"/proc/self/task/{thread}/schedstat").read_text().split()[0])

image = tuple(int(side) for side in sys.argv[2].split(","))
artifact = Artifact(Path(sys.argv[1]), "fp32", image)
before = set(os.listdir("/proc/self/task"))
devices = [make_device("openvino", threads=n) for n in (1, 2)]
pool = [int(thread) for thread in set(os.listdir("/proc/self/task")) - before]
for device in devices:
    start = [ran_ns(thread) for thread in pool]
    device.measure(artifact, Settings(repetitions=20, max_remeasure=0, memory=False))
    ran = sum(ran_ns(thread) - past for thread, past in zip(pool, start))
    print({len(os.sched_getaffinity(thread)) for thread in pool}, ran > 100_000)
"""


@pytest.mark.skipif(len(allowed_cores()) < 2, reason="one core")
def test_the_threads_of_the_pool_are_on_the_cores_of_the_device_that_measures(network):
    shape = ",".join(str(side) for side in network.input_shape)
    done = subprocess.run(
        [sys.executable, "-c", FOLLOW, str(network.path), shape],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["{1} False", "{2} True"]
