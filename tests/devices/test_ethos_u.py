import csv
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from hot.devices import Settings, known_devices, make_device
from hot.errors import DeployError, InputError
from hot.export import export_tflite, quantize_tflite
from hot.nn import build
from hot.records import Artifact, part_of
from hot.space import Shape, load_space

MISSING = known_devices()["ethos-u55-128"].missing()
pytestmark = pytest.mark.skipif(
    MISSING is not None and os.environ.get("CI") != "true", reason=str(MISSING)
)
EACH = pytest.mark.parametrize("name", ["ethos-u55-128", "ethos-u65-512", "ethos-u85-256"])
BY_NODE = Settings(per_node=True)


def write(module, shape, folder, precision="int8"):
    """The int8 artifact of a module, and the fp32 one it was made from."""
    whole = export_tflite(module, shape, folder / "fp32.tflite")
    rng = np.random.default_rng(0)
    samples = [rng.standard_normal(whole.input_shape).astype(np.float32) for _ in range(2)]
    return quantize_tflite(whole, precision, samples, folder / f"{precision}.tflite"), whole


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """The digits network at int8, and at fp32."""
    torch.manual_seed(0)
    space = load_space("digits")
    network = build(space, space.original)
    return write(network, space.stem_input, tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="module")
def npu():
    device = make_device("ethos-u55-128")
    yield device
    device.close()


@EACH
def test_the_cycles_of_the_rows_add_up_and_tell_their_part(name, digits):
    result = make_device(name).measure(digits[0], BY_NODE)
    assert result.failure is None
    assert sum(node.latency_ms for node in result.nodes) == pytest.approx(result.latency_ms)
    space = load_space("digits")
    wanted = {"stem", "head"} | {part for slot in space.slots for part in (f"{slot.name}.0",)}
    assert wanted <= {part_of(node.name) for node in result.nodes}
    assert result.peak_memory_bytes >= result.counters["sram_bytes"] > 0


@EACH
def test_the_estimate_is_that_of_velas_command_line(name, digits, tmp_path):
    device = make_device(name)
    result = device.measure(digits[0], Settings())
    files = {path.suffix: path for path in device.compile(digits[0], tmp_path)}
    with open(files[".csv"], encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert result.counters["cycles"] == int(float(row["cycles_total"]))
    assert result.latency_ms == pytest.approx(1e3 * float(row["inference_time"]))
    assert result.counters["sram_bytes"] == 1024 * float(row["sram_memory_used"])
    flash = 1024 * (float(row["off_chip_flash_memory_used"]) + float(row["dram_memory_used"]))
    assert result.counters["flash_bytes"] + result.counters["dram_bytes"] == flash
    assert result.counters["sram_traffic_bytes"] == int(row["sram_total_bytes"])
    assert result.counters["macs"] == int(row["nn_macs"])
    assert files[".tflite"].read_bytes()[4:8] == b"TFL3"


def test_a_larger_accelerator_takes_fewer_cycles_for_standard_convolutions(tmp_path):
    block = nn.Sequential(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU6())
    artifact, _ = write(block, Shape(32, 24, 24), tmp_path)
    cycles = [
        make_device(f"ethos-u55-{macs}").measure(artifact, Settings()).counters["npu_cycles"]
        for macs in (32, 64, 128, 256)
    ]
    assert cycles == sorted(cycles, reverse=True)
    assert cycles[0] > 4 * cycles[3]
    assert cycles[2] > 24 * 24 * 32 * 64 * 9 / 128  # no fewer than the MACs take at full use


def test_operators_left_to_the_host_are_named_and_nothing_is_estimated(digits, npu):
    float_model = replace(digits[1], precision="int8")  # its operators compute in float
    result = npu.measure(float_model, BY_NODE)
    assert result.latency_ms is None
    assert "Conv2D '/stem/convs" in result.failure
    assert "Float32" in result.failure


@pytest.mark.parametrize(
    "content",
    [b"", b"\x1c\x00\x00\x00TFL3" + bytes(range(256)) * 8, os.urandom(4096), b"not a model"],
    ids=["empty", "its mark alone", "noise", "text"],
)
def test_a_model_that_kills_vela_is_a_failure_and_the_next_one_runs(content, digits, npu, tmp_path):
    bad = Artifact(tmp_path / "bad.tflite", "int8", (1, 1, 16, 16))
    bad.path.write_bytes(content)
    results = npu.measure_all([bad, digits[0]], Settings())
    assert "bad.tflite" in results[0].failure
    assert results[1].latency_ms > 0


def test_cut_models_are_failures_wherever_they_are_cut(digits, npu, tmp_path):
    whole = digits[0].path.read_bytes()
    for share in (0.1, 0.5, 0.9, 0.999):
        path = tmp_path / f"cut-{share}.tflite"
        path.write_bytes(whole[: int(share * len(whole))])
        assert npu.measure(replace(digits[0], path=path), Settings()).failure is not None


def test_a_worker_that_is_killed_is_started_again(digits, npu):
    first = npu.measure(digits[0], Settings())
    os.kill(npu._process.pid, signal.SIGKILL)
    assert npu.measure(digits[0], Settings()) == first


def test_a_model_that_takes_too_long_is_a_failure(digits):
    device = make_device("ethos-u55-128", timeout_s=0.001)
    assert "within 0.001 s" in device.measure(digits[0], Settings()).failure


@pytest.mark.parametrize("precision", ["int8", "int16"])
def test_both_precisions_run(precision, tmp_path, npu):
    block = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 16, 1))
    artifact, _ = write(block, Shape(8, 16, 16), tmp_path, precision)
    assert npu.measure(artifact, Settings()).failure is None


def test_another_format_or_precision_is_refused_in_words(digits, npu, tmp_path):
    onnx = Artifact(tmp_path / "model.onnx", "int8", (1, 3, 32, 32))
    assert "tflite models, not onnx" in npu.measure(onnx, Settings()).failure
    assert "not fp32" in npu.measure(digits[1], Settings()).failure
    missing = replace(digits[0], path=tmp_path / "none.tflite")
    assert "none.tflite" in npu.measure(missing, Settings()).failure


def test_the_fingerprint_tells_what_decides_the_estimate():
    plain = make_device("ethos-u85-256").describe()
    other = make_device("ethos-u85-256", memory_mode="Dedicated_Sram_512KB").describe()
    assert plain.kind == "estimated"
    assert plain.key != other.key
    assert plain.difference(other).count(":") == 1
    assert {"vela", "vela.ini", "front_end", "system_config"} <= plain.fingerprint.keys()
    assert (plain.method, other.method) == ("isolated", "in-context")
    assert make_device("ethos-u85-256", optimise="Size").describe().method == "in-context"


def test_a_wrong_option_is_refused_when_the_device_is_made():
    with pytest.raises(InputError, match="Ethos_U85_SYS_DRAM_Mid"):
        make_device("ethos-u85-256", system_config="Ethos_U55_Deep_Embedded")


def test_what_cannot_run_is_not_compiled(digits, npu, tmp_path):
    with pytest.raises(DeployError, match="host"):
        npu.compile(replace(digits[1], precision="int8"), tmp_path)
    assert not list(tmp_path.iterdir())
