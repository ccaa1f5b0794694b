import runpy
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from hot.devices import make_device
from hot.export import export_onnx
from hot.nn import build
from hot.records import Artifact
from hot.space import load_space


@pytest.fixture(scope="session")
def network(tmp_path_factory):
    """The original network of the digits space."""
    torch.manual_seed(0)
    space = load_space("digits")
    path = tmp_path_factory.mktemp("artifact") / "digits.onnx"
    return export_onnx(build(space, space.original), space.stem_input, path)


@pytest.fixture
def one_convolution(tmp_path):
    """A 3x3 convolution of 8 to 16 channels on a 10x10 map, padded: 115,200 MACs by hand."""
    weight = np.zeros((16, 8, 3, 3), np.float32)
    bias = np.zeros(16, np.float32)
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], name="/stem/conv", pads=[1, 1, 1, 1])
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8, 10, 10])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 16, 10, 10])],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(bias, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "one.onnx"
    onnx.save(model, path)
    return Artifact(path, "fp32", (1, 8, 10, 10))


@pytest.fixture
def small_server():
    """A function that starts a `SmallServer` (see small_server.py); all end with the test."""
    kind = runpy.run_path(str(Path(__file__).with_name("small_server.py")))["SmallServer"]
    started = []

    def start(device=None, **settings):
        started.append(kind(device or make_device("reference"), **settings))
        return started[-1]

    yield start
    for server in started:
        if server.is_alive:
            server.die()


@pytest.fixture
def artifacts(network, tmp_path):
    """A function that makes `n` models of different content."""

    def make(n):
        model = onnx.load(network.path)
        made = []
        for index in range(n):
            model.doc_string = f"number {index}"
            path = tmp_path / f"{index}.onnx"
            onnx.save(model, path)
            made.append(Artifact(path, network.precision, network.input_shape))
        return made

    return make
