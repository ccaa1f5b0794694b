import numpy as np
import pytest

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
