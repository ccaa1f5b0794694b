import time

import numpy as np
import pytest

from hot.devices import Settings, known_devices, make_device
from hot.devices.cuda import _CudaRuntime, find_gpus, missing_cuda
from hot.errors import DeviceError
from hot.export import quantize

NEEDS_GPU = pytest.mark.skipif(missing_cuda() is not None, reason=str(missing_cuda()))
QUICK = Settings(warmup=3, repetitions=5, best_of=2, max_remeasure=0, memory=False)


@pytest.mark.skipif(missing_cuda() is None, reason="here the device is usable")
def test_what_is_missing_is_said_when_the_device_is_made():
    with pytest.raises(DeviceError, match="'cuda' cannot be used here") as refused:
        make_device("cuda")
    assert "GPU" in str(refused.value) or "hot[cuda]" in str(refused.value)


@pytest.mark.skipif(bool(find_gpus()), reason="here is a GPU")
def test_a_machine_without_a_gpu_says_so():
    assert "no GPU" in known_devices()["cuda"].missing()


@NEEDS_GPU
def test_the_fingerprint_names_the_gpu_and_its_options():
    fingerprint = make_device("cuda", tf32="on").describe().fingerprint
    assert fingerprint["gpu_name"] == find_gpus()[0].name
    assert (fingerprint["gpu"], fingerprint["tf32"]) == ("0", "on")


@NEEDS_GPU
def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(DeviceError, match="there is no GPU 99"):
        make_device("cuda", gpu=99)


@NEEDS_GPU
def test_a_network_is_measured_at_both_precisions(network, tmp_path):
    half = quantize(network, "fp16", [], tmp_path / "half.onnx")
    for result in make_device("cuda").measure_all([network, half], QUICK):
        assert result.failure is None
        assert len(result.samples_ms) == 5
        assert 0.005 < result.latency_ms < 50


@NEEDS_GPU
def test_the_gpus_clock_counts_less_than_the_hosts(network):
    device = make_device("cuda")
    runtime = _CudaRuntime(0, tf32=False)
    run = runtime.open(network, np.random.default_rng(0))
    gpu_ms = min(run() for _ in range(20))
    start = time.perf_counter()
    for _ in range(20):
        run()  # two inferences, launched and waited for
    host_ms = 1e3 * (time.perf_counter() - start) / 20
    assert 0 < gpu_ms < host_ms
    assert device.measure(network, QUICK).latency_ms == pytest.approx(gpu_ms, rel=0.5)


@NEEDS_GPU
def test_energy_is_measured_where_the_driver_counts_it(network):
    device = make_device("cuda")
    result = device.measure(network, QUICK)
    if device.describe().energy is None:
        assert result.energy_mj is None
    else:  # a board draws between 5 W and 1.5 kW
        assert 5 * result.latency_ms * 0.5 < result.energy_mj < 1500 * result.latency_ms * 3
