import numpy as np
import onnx
import pytest
import torch
from torch import nn

from hot.deploy.verify import (
    check_parity,
    layer_noise,
    run_artifact,
    run_module,
    snr_db,
    weakest_layer,
)
from hot.errors import DeployError, InputError
from hot.export import export_onnx, quantize
from hot.records import Artifact
from hot.space import Shape


def chain():
    torch.manual_seed(0)
    convs = [nn.Conv2d(8, 8, 3, padding=1) for _ in range(4)]
    return nn.Sequential(*(part for conv in convs for part in (conv, nn.ReLU6()))).eval()


@pytest.fixture
def noise():
    rng = np.random.default_rng(0)
    return [rng.standard_normal((1, 8, 6, 6), dtype=np.float32) for _ in range(8)]


def test_exported_and_torch_outputs_agree_image_by_image(noise, tmp_path):
    module = chain()
    artifact = export_onnx(module, Shape(8, 6, 6), tmp_path / "a.onnx")
    images = np.concatenate(noise)
    wanted = run_module(module, images, batch=3)
    assert wanted.shape == (8, 8, 6, 6)
    assert check_parity(artifact, wanted, run_artifact(artifact, noise)) < 1e-5


def test_outputs_that_differ_are_refused_with_the_size_of_the_difference(tmp_path):
    artifact = Artifact(tmp_path / "a.onnx", "fp32", (1, 1, 1, 1))
    wanted = np.array([[20.0, -3.0]], np.float32)
    assert check_parity(artifact, wanted, wanted + np.float32(0.0019)) == pytest.approx(
        0.0019, 0.01
    )
    with pytest.raises(DeployError, match=r"differ by 0\.01, allowed is 0\.002"):
        check_parity(artifact, wanted, wanted + np.float32(0.01))
    with pytest.raises(DeployError, match="differ by nan"):
        check_parity(artifact, wanted, wanted * np.nan)


def test_ratio_in_db_by_hand():
    assert snr_db(1000.0, 1.0) == pytest.approx(30)
    assert snr_db(0.0, 1.0) == -200
    assert snr_db(5.0, 0.0) == 200


def test_the_weakest_layer_falls_most_below_its_own_worst_input():
    # c joins a (40 dB) and b (22 dB): it loses 1 dB only, b lost 18.
    inputs = {"a": ("input",), "b": ("a",), "c": ("a", "b"), "d": ("c",)}
    ratios = {"input": 48.0, "a": 40.0, "b": 22.0, "c": 21.0, "d": 12.0}
    assert weakest_layer(inputs, ratios) == "b"
    assert weakest_layer({"a": ("input",)}, {"a": 200.0, "input": 48.0}) is None
    assert weakest_layer({}, {}) is None


def coarsen(path, layer, times):
    """Make the rounding of one layer's output `times` coarser."""
    model = onnx.load(path)
    step = next(n for n in model.graph.node if n.name == layer)
    rounding = next(n for n in model.graph.node if step.output[0] in n.input)
    assert rounding.op_type == "QuantizeLinear"
    scale = next(t for t in model.graph.initializer if t.name == rounding.input[1])
    wider = onnx.numpy_helper.to_array(scale) * np.float32(times)
    scale.CopyFrom(onnx.numpy_helper.from_array(wider, scale.name))
    onnx.save(model, path)


@pytest.mark.parametrize("index", [0, 2, 6])
def test_a_layer_with_a_spoilt_scale_is_named(noise, tmp_path, index):
    exported = export_onnx(chain(), Shape(8, 6, 6), tmp_path / "a.onnx")
    made = quantize(exported, "int8", noise, tmp_path / "q.onnx")
    coarsen(made.path, f"/{index}/Conv", 40)
    layers, weakest = layer_noise(exported, made, noise)
    assert [layer.layer for layer in layers] == [f"/{i}/Conv" for i in (0, 2, 4, 6)]
    assert weakest == f"/{index}/Conv"


def test_the_ratio_of_a_layer_is_that_of_its_activation_computed_by_hand(noise, tmp_path):
    module = chain()
    exported = export_onnx(module, Shape(8, 6, 6), tmp_path / "a.onnx")
    made = quantize(exported, "int8", noise, tmp_path / "q.onnx")
    layers, _ = layer_noise(exported, made, noise)
    wanted = run_module(module, np.concatenate(noise)).astype(np.float64)  # after the last ReLU6
    got = run_artifact(made, noise)
    by_hand = 10 * np.log10((wanted**2).sum() / ((wanted - got) ** 2).sum())
    assert layers[-1].snr_db == pytest.approx(by_hand, abs=0.01)
    assert 25 < by_hand < 60


def test_an_unrounded_model_has_no_weakest_layer(noise, tmp_path):
    exported = export_onnx(chain(), Shape(8, 6, 6), tmp_path / "a.onnx")
    layers, weakest = layer_noise(exported, exported, noise)
    assert {layer.snr_db for layer in layers} == {200.0}
    assert weakest is None


def test_sixteen_bit_layers_are_compared_too(noise, tmp_path):
    exported = export_onnx(chain(), Shape(8, 6, 6), tmp_path / "a.onnx")
    half = quantize(exported, "fp16", noise, tmp_path / "h.onnx")
    layers, _ = layer_noise(exported, half, noise)
    assert [layer.layer for layer in layers if "Conv" in layer.layer] == [
        f"/{i}/Conv" for i in (0, 2, 4, 6)
    ]
    assert all(50 < layer.snr_db < 90 for layer in layers)


def test_a_damaged_artifact_is_refused(noise, tmp_path):
    exported = export_onnx(chain(), Shape(8, 6, 6), tmp_path / "a.onnx")
    exported.path.write_bytes(exported.path.read_bytes()[:500])
    with pytest.raises(InputError, match=r"a\.onnx is damaged"):
        run_artifact(exported, noise)
