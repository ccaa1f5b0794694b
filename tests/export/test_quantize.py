import collections
import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from hot.errors import DeployError, InputError, StorageError
from hot.export import CALIBRATIONS, QUANTIZERS, export_onnx, quantize
from hot.nn import build
from hot.records import Artifact, part_of
from hot.space import PRECISIONS, load_space


def outputs(path, samples):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: sample})[0] for sample in samples])


def snr_db(wanted, got):
    return 10 * np.log10((wanted**2).sum() / ((wanted - got) ** 2).sum())


def torch_outputs(network, samples):
    with torch.no_grad():
        return network(torch.from_numpy(np.concatenate(samples))).numpy()


def test_every_precision_of_the_counts_has_a_quantizer():
    assert set(QUANTIZERS) == set(PRECISIONS)


# One bit is 6.02 dB: 8-bit tensors through 16 layers keep some 20 dB, fp16's 11 bits over 50 dB.
@pytest.mark.parametrize(
    ("precision", "least_db"), [("fp32", 100), ("fp16", 50), ("int16", 20), ("int8", 20)]
)
def test_scores_at_every_precision_follow_the_torch_model(
    artifact, network, samples, tmp_path, precision, least_db
):
    made = quantize(artifact, precision, samples, tmp_path / "made.onnx")
    assert made == Artifact(tmp_path / "made.onnx", precision, (1, 1, 16, 16))
    got = outputs(made.path, samples)
    assert got.dtype == np.float32
    assert snr_db(torch_outputs(network, samples), got) > least_db


@pytest.mark.parametrize("method", CALIBRATIONS)
def test_every_calibration_method_gives_a_working_model_and_prints_nothing(
    artifact, network, samples, tmp_path, capsys, method
):
    made = quantize(artifact, "int8", samples, tmp_path / "made.onnx", method=method)
    assert snr_db(torch_outputs(network, samples), outputs(made.path, samples)) > 10
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("precision", QUANTIZERS)
def test_every_node_belongs_to_a_part_of_the_network(artifact, samples, tmp_path, precision):
    made = quantize(artifact, precision, samples, tmp_path / "made.onnx")
    parts = {part_of(node.name) for node in onnx.load(made.path).graph.node}
    assert parts == {"stem", "b1.0", "b2.0", "b3.0", "b4.0", "b5.0", "head"}


def test_int8_runs_on_integer_kernels_throughout(artifact, samples, tmp_path):
    made = quantize(artifact, "int8", samples, tmp_path / "made.onnx")
    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(tmp_path / "profile")
    session = onnxruntime.InferenceSession(
        str(made.path), options, providers=["CPUExecutionProvider"]
    )
    session.run(None, {"input": samples[0]})
    with open(session.end_profiling()) as file:
        rows = [row for row in json.load(file) if row.get("cat") == "Node"]
    kinds = collections.Counter(row["args"]["op_name"] for row in rows)
    # 5 blocks of the original network (2 + 4 x 3 convolutions), the stem's and the head's.
    assert kinds["QLinearConv"] == 16
    assert kinds["QGemm"] == 1
    assert kinds["Conv"] == kinds["Gemm"] == kinds["Clip"] == kinds["DequantizeLinear"] == 0


def test_int8_weights_are_int8_with_one_symmetric_scale_per_output_channel(
    artifact, network, samples, tmp_path
):
    made = quantize(artifact, "int8", samples, tmp_path / "made.onnx")
    tensors = {
        t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(made.path).graph.initializer
    }
    scale = tensors["slots.b2.0.convs.0.0.weight_scale"]
    conv = network.slots["b2"][0].convs[0][0]
    norm = network.slots["b2"][0].convs[0][1]
    factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    largest = (conv.weight * factor[:, None, None, None]).abs().amax(dim=(1, 2, 3))
    np.testing.assert_allclose(scale, (largest / 127.5).detach().numpy(), rtol=0.01)
    assert tensors["slots.b2.0.convs.0.0.weight_quantized"].dtype == np.int8
    assert not tensors["slots.b2.0.convs.0.0.weight_zero_point"].any()


def constant_bytes(path):
    """Bytes of all constants of a model, without names and structure."""
    return sum(onnx.numpy_helper.to_array(t).nbytes for t in onnx.load(path).graph.initializer)


@pytest.mark.parametrize("space_name", ["resnet18", "mobilenetv2_32"])
def test_other_spaces_quantise_too(space_name, tmp_path):
    torch.manual_seed(0)
    space = load_space(space_name, resolution=32)
    module = build(space, space.original).eval()
    rng = np.random.default_rng(0)
    shape = (1, *space.stem_input)
    noise = [rng.standard_normal(shape, dtype=np.float32) for _ in range(4)]
    fp32 = export_onnx(module, space.stem_input, tmp_path / "fp32.onnx")
    made = quantize(fp32, "int8", noise, tmp_path / "int8.onnx")
    assert snr_db(torch_outputs(module, noise), outputs(made.path, noise)) > 10
    # Weights take a quarter; biases stay, and their and the weights' scales and zeros come on top.
    assert constant_bytes(made.path) < 0.35 * constant_bytes(fp32.path)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_sample_that_is_not_finite_is_refused(artifact, samples, tmp_path, bad):
    broken = samples[1].copy()
    broken[0, 0, 3, 3] = bad
    with pytest.raises(InputError, match="sample 1 holds NaN or infinity"):
        quantize(artifact, "int8", [samples[0], broken], tmp_path / "made.onnx")
    assert not list(tmp_path.iterdir())


def test_samples_of_another_shape_or_none_are_refused(artifact, samples, tmp_path):
    with pytest.raises(InputError, match=r"shape \(1, 1, 8, 8\), the model takes \(1, 1, 16, 16\)"):
        quantize(artifact, "int8", [samples[0][:, :, :8, :8]], tmp_path / "made.onnx")
    with pytest.raises(InputError, match="none were given"):
        quantize(artifact, "int8", [], tmp_path / "made.onnx")


def test_wrong_names_are_told_with_the_known_ones(artifact, samples, tmp_path):
    with pytest.raises(InputError, match=r"unknown precision 'int4'.*fp16, fp32, int16, int8"):
        quantize(artifact, "int4", samples, tmp_path / "made.onnx")
    with pytest.raises(InputError, match="unknown calibration 'minmx'; did you mean 'minmax'"):
        quantize(artifact, "int8", samples, tmp_path / "made.onnx", method="minmx")


def test_a_quantised_model_is_not_quantised_again(artifact, samples, tmp_path):
    made = quantize(artifact, "int8", samples, tmp_path / "made.onnx")
    with pytest.raises(InputError, match="only an fp32 model can be quantised"):
        quantize(made, "int16", samples, tmp_path / "again.onnx")


@pytest.mark.parametrize("kept", [0, 100, 20_000])
def test_a_truncated_model_is_refused(artifact, samples, tmp_path, kept):
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(artifact.path.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"damaged\.onnx is damaged"):
        quantize(Artifact(damaged, "fp32", (1, 1, 16, 16)), "int8", samples, tmp_path / "q.onnx")
    assert not (tmp_path / "q.onnx").exists()


def test_a_missing_model_is_refused(samples, tmp_path):
    absent = Artifact(tmp_path / "no.onnx", "fp32", (1, 1, 16, 16))
    with pytest.raises(InputError, match=r"no model at .*no\.onnx"):
        quantize(absent, "int8", samples, tmp_path / "q.onnx")


def test_a_model_the_runtime_cannot_run_is_a_deploy_error(samples, tmp_path):
    node = onnx.helper.make_node("Unheard", ["input"], ["output"], domain="nowhere")
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [node],
        "g",
        [info("input", onnx.TensorProto.FLOAT, (1, 1, 16, 16))],
        [info("output", onnx.TensorProto.FLOAT, (1, 1, 16, 16))],
    )
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("nowhere", 1)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets), tmp_path / "odd.onnx")
    odd = Artifact(tmp_path / "odd.onnx", "fp32", (1, 1, 16, 16))
    with pytest.raises(DeployError, match=r"cannot quantise .*odd\.onnx to int8"):
        quantize(odd, "int8", samples, tmp_path / "q.onnx")


def test_a_file_where_the_folder_should_be_is_a_storage_error(artifact, samples, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        quantize(artifact, "fp16", samples, tmp_path / "file" / "made.onnx")
