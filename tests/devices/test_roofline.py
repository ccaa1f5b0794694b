import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hot.devices.roofline import count_nodes
from hot.export import export_onnx, quantize
from hot.nn import build
from hot.space import load_space


def test_a_convolution_is_counted_as_by_hand(one_convolution):
    (node,) = count_nodes(one_convolution.path, "fp32")
    assert node.macs == 10 * 10 * 16 * 8 * 3 * 3
    assert node.weight_bytes == 4 * (16 * 8 * 3 * 3 + 16)
    assert node.map_bytes == 4 * (8 * 10 * 10 + 16 * 10 * 10)


@pytest.mark.parametrize("name", ["digits", "mobilenetv2_32"])
def test_the_graph_holds_the_macs_and_weights_that_the_space_counts(name, tmp_path):
    space = load_space(name)
    rng = np.random.default_rng(3)
    for index in range(3):
        architecture = space.sample(rng)
        module = build(space, architecture)
        artifact = export_onnx(module, space.stem_input, tmp_path / f"{index}.onnx")
        nodes = count_nodes(artifact.path, "fp32")
        counts = space.counts(architecture)
        assert sum(node.macs for node in nodes) == counts.macs
        assert sum(node.weight_bytes for node in nodes) == counts.weight_bytes("fp32")


def test_a_quantised_graph_is_counted_like_the_network_it_came_from(network, tmp_path):
    rng = np.random.default_rng(0)
    samples = [rng.standard_normal(network.input_shape).astype(np.float32) for _ in range(2)]
    int8 = quantize(network, "int8", samples, tmp_path / "int8.onnx")
    space = load_space("digits")
    counts = space.counts(space.original)
    nodes = count_nodes(int8.path, "int8")
    assert sum(node.macs for node in nodes) == counts.macs
    assert sum(node.weight_bytes for node in nodes) == counts.weight_bytes("int8")


def test_a_file_that_is_no_model_is_refused_by_name(tmp_path):
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"this is no model")
    with pytest.raises(ValueError, match=r"broken\.onnx is no valid ONNX model"):
        count_nodes(path, "fp32")


def save_graph(path, nodes, inputs, output, weights=()):
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "graph",
        [value(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [value("y", TensorProto.FLOAT, output)],
        [numpy_helper.from_array(np.zeros(shape, np.float32), name) for name, shape in weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def test_a_product_of_two_maps_is_counted(tmp_path):
    node = helper.make_node("MatMul", ["q", "k"], ["y"])
    inputs = {"q": [1, 4, 10, 16], "k": [1, 4, 16, 12]}
    path = save_graph(tmp_path / "attention.onnx", [node], inputs, [1, 4, 10, 12])
    (counts,) = count_nodes(path, "fp32")
    assert counts.macs == 4 * 10 * 12 * 16
    assert counts.weight_bytes == 0


@pytest.mark.parametrize(("transposed", "shape"), [(0, [3, 20]), (1, [20, 3])])
def test_a_product_by_a_weight_is_counted_either_way_round(tmp_path, transposed, shape):
    node = helper.make_node("Gemm", ["x", "w"], ["y"], transA=transposed)
    path = save_graph(tmp_path / "g.onnx", [node], {"x": shape}, [3, 7], [("w", (20, 7))])
    assert count_nodes(path, "fp32")[0].macs == 3 * 20 * 7


def test_a_transposed_convolution_is_counted_as_by_hand(tmp_path):
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2], group=2)
    path = save_graph(
        tmp_path / "up.onnx", [node], {"x": [1, 8, 5, 5]}, [1, 12, 10, 10], [("w", (8, 6, 2, 2))]
    )
    # Each of the 12 x 10 x 10 outputs is a sum over the 4 inputs of its group.
    assert count_nodes(path, "fp32")[0].macs == 12 * 10 * 10 * 4


def test_an_operator_of_unknown_arithmetic_is_refused_by_name(tmp_path):
    node = helper.make_node("Einsum", ["x", "w"], ["y"], name="mix", equation="ij,jk->ik")
    path = save_graph(tmp_path / "e.onnx", [node], {"x": [3, 4]}, [3, 5], [("w", (4, 5))])
    with pytest.raises(ValueError, match=r"operator 'Einsum' \(mix\) is not counted"):
        count_nodes(path, "fp32")
