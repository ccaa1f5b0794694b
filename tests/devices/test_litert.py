import numpy as np
import pytest
import torch
from torch import nn

from hot.devices import Settings, known_devices, make_device
from hot.devices.memory import peak_memory_bytes
from hot.errors import DeviceError
from hot.records import MEASURES, Artifact
from hot.space import Shape

QUICK = Settings(warmup=1, repetitions=5, best_of=3, max_remeasure=1, memory=False)


@pytest.fixture(scope="module", autouse=True)
def _needs_litert(skip_unless_ci):
    missing = known_devices()["litert"].missing()
    if missing is not None:
        skip_unless_ci(missing)


def convolutions(channels):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, channels, 3, padding=1), nn.ReLU6(), nn.Conv2d(channels, channels, 3)
    ).eval()


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    """Two convolutions of 8 and of 64 channels on a 32x32 map, fp32 and int8."""
    from hot.export import export_tflite, quantize_tflite

    folder = tmp_path_factory.mktemp("litert")
    rng = np.random.default_rng(0)
    made = {}
    for channels in (8, 64):
        fp32 = export_tflite(
            convolutions(channels), Shape(3, 32, 32), folder / f"{channels}.tflite"
        )
        samples = [rng.standard_normal(fp32.input_shape).astype(np.float32) for _ in range(2)]
        made[channels, "fp32"] = fp32
        made[channels, "int8"] = quantize_tflite(
            fp32, "int8", samples, folder / f"{channels}-int8.tflite"
        )
    return made


def test_it_says_what_it_is_and_that_it_measures():
    info = make_device("litert").describe()
    assert (info.name, info.kind, info.formats) == ("litert", MEASURES, ("tflite",))
    assert info.precisions == ("fp32", "int8")
    assert info.fingerprint["runtime"] == "litert"
    assert info.fingerprint["runtime_version"].count(".") >= 1
    assert info.fingerprint["threads"] == "1"
    assert info.fingerprint["cpu"]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_more_work_takes_longer(artifacts, precision):
    few, many = make_device("litert").measure_all(
        [artifacts[8, precision], artifacts[64, precision]], QUICK
    )
    assert 0 < few.latency_ms < many.latency_ms  # 56 times the MACs
    assert len(few.samples_ms) >= QUICK.repetitions
    assert few.nodes == many.nodes == ()


def test_xnnpack_runs_what_it_opens(artifacts):
    """The kernels without it take many times as long; nothing else would tell."""
    from time import perf_counter

    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    artifact = artifacts[64, "int8"]
    plain = Interpreter(
        str(artifact.path), num_threads=1,
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
    )  # fmt: skip
    plain.allocate_tensors()
    plain.invoke()
    start = perf_counter()
    plain.invoke()
    reference_ms = (perf_counter() - start) * 1e3
    assert make_device("litert").measure(artifact, QUICK).latency_ms < reference_ms / 3


def test_memory_is_that_of_a_process_of_its_own(artifacts):
    result = make_device("litert").measure(artifacts[64, "fp32"], Settings(repetitions=1))
    weights = 4 * (64 * 64 * 9 + 64 * 3 * 9)
    assert weights < result.peak_memory_bytes < 200 * 2**20
    assert peak_memory_bytes(Artifact(artifacts[8, "fp32"].path, "fp32", (1, 3, 32, 32)), "litert")


@pytest.mark.parametrize(
    "content", [b"", b"\x1c\0\0\0TFL3", b"\x1c\0\0\0TFL3" + bytes(500), b"ONNX is not TFLite" * 30]
)
def test_what_is_no_model_is_a_failure_that_names_the_file(content, tmp_path):
    path = tmp_path / "bad.tflite"
    path.write_bytes(content)
    result = make_device("litert").measure(Artifact(path, "fp32", (1, 3, 8, 8)), QUICK)
    assert result.latency_ms is None
    assert "litert cannot run" in result.failure
    assert "bad.tflite" in result.failure


def test_a_model_with_an_operator_the_runtime_does_not_know_is_a_failure(artifacts, tmp_path):
    from hot.export.tflite_file import pack, unpack

    model = unpack(artifacts[8, "fp32"].path.read_bytes())
    code = model.operatorCodes[0]
    code.builtinCode, code.deprecatedBuiltinCode, code.customCode = 32, 32, b"Unheard"  # CUSTOM
    path = tmp_path / "custom.tflite"
    path.write_bytes(pack(model))
    result = make_device("litert").measure(Artifact(path, "fp32", (1, 3, 32, 32)), QUICK)
    assert result.latency_ms is None
    assert "Unheard" in result.failure or "custom.tflite" in result.failure


def test_indices_out_of_range_are_a_failure(artifacts, tmp_path):
    from hot.export.tflite_file import pack, unpack

    model = unpack(artifacts[8, "int8"].path.read_bytes())
    operator = model.subgraphs[0].operators[0]
    operator.inputs = np.array([10**6, *operator.inputs[1:]])
    path = tmp_path / "lost.tflite"
    path.write_bytes(pack(model))
    result = make_device("litert").measure(Artifact(path, "int8", (1, 3, 32, 32)), QUICK)
    assert result.latency_ms is None
    assert "lost.tflite" in result.failure


def test_more_threads_than_cores_are_refused():
    with pytest.raises(DeviceError, match="cannot use 1000 threads"):
        make_device("litert", threads=1000)
