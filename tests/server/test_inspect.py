import struct

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from hot.server.inspect import ModelRefused, inspect_model


def changed(model, change):
    document = onnx.load_from_string(model)
    change(document)
    return document.SerializeToString()


def test_a_good_model_is_known_by_its_format_and_shape(make_model):
    facts = inspect_model(make_model())
    assert (facts.format, facts.input_shape) == ("onnx", (1, 3, 8, 8))


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"x" * 1000, b"PK\x03\x04zip", b"\x08\x08", b"{}", b"\x1c\0\0\0TFL3"]
)
def test_what_is_no_model_is_refused(data):
    with pytest.raises(ModelRefused):
        inspect_model(data)


def test_every_truncation_is_refused(make_model):
    model = make_model()
    for length in range(0, len(model), 7):
        with pytest.raises(ModelRefused):
            inspect_model(model[:length])


def external(document):
    tensor = document.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def external_constant(document):
    value = TensorProto(name="c", data_type=TensorProto.FLOAT, dims=[1])
    value.data_location = TensorProto.EXTERNAL
    value.external_data.add(key="location", value="/etc/passwd")
    document.graph.node.append(helper.make_node("Constant", [], ["c"], value=value))


def dynamic(document):
    document.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"


def nan(document):
    weights = np.full((4, 3, 3, 3), np.nan, np.float32)
    document.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "w"))


def unknown(document):
    document.graph.node[0].op_type = "Convoluted"


def foreign(document):
    document.graph.node[0].domain = "com.evil"
    document.opset_import.append(helper.make_opsetid("com.evil", 1))


def opens_files(document):
    document.graph.node[0].op_type, document.graph.node[0].domain = "EPContext", "com.microsoft"
    document.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def two_inputs(document):
    document.graph.input.append(helper.make_tensor_value_info("i2", TensorProto.FLOAT, [1]))


def huge_input(document):
    for side in document.graph.input[0].type.tensor_type.shape.dim:
        side.dim_value = 65536


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (external, "another file"),
        (external_constant, "another file"),
        (dynamic, "no fixed shape"),
        (nan, "NaN"),
        (unknown, "Convoluted"),
        (foreign, "unknown operator"),
        (opens_files, "unknown operator"),
        (two_inputs, "2 inputs"),
        (huge_input, "too large"),
    ],
)
def test_models_that_are_not_run_are_refused_with_the_reason(make_model, change, reason):
    with pytest.raises(ModelRefused, match=reason):
        inspect_model(changed(make_model(), change))


@given(places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_mutated_models_are_accepted_or_refused_and_nothing_else(make_model, places):
    data = bytearray(make_model())
    for place, value in places:
        data[int(place * (len(data) - 1))] = value
    try:
        inspect_model(bytes(data))
    except ModelRefused as refused:
        assert str(refused)


# TFLite: built by hand, as the official library is no part of the server ------------------------


def build_tflite(shape=(1, 8, 8, 3), weights=(1.0, 2.0), builtin=3, custom=None, signature=None):
    """A TFLite model of one operator, one input and one weight."""
    import flatbuffers

    b = flatbuffers.Builder(0)

    def vector(values, form):
        b.StartVector(struct.calcsize(form), len(values), 4)
        for value in reversed(values):
            {"i": b.PrependInt32, "O": b.PrependUOffsetTRelative}[form.replace("P", "O")](value)
        return b.EndVector()

    def offsets(values):
        b.StartVector(4, len(values), 4)
        for value in reversed(values):
            b.PrependUOffsetTRelative(value)
        return b.EndVector()

    def tensor(buffer, shape, signature=None):
        sides = vector(shape, "i")
        signed = vector(signature, "i") if signature else None
        b.StartObject(8)
        b.PrependUOffsetTRelativeSlot(0, sides, 0)
        b.PrependUint32Slot(2, buffer, 0)
        if signed is not None:
            b.PrependUOffsetTRelativeSlot(7, signed, 0)
        return b.EndObject()

    name = b.CreateString(custom) if custom else None
    b.StartObject(4)
    b.PrependInt8Slot(0, min(builtin, 127), 0)
    if name is not None:
        b.PrependUOffsetTRelativeSlot(1, name, 0)
    b.PrependInt32Slot(3, builtin, 0)
    codes = offsets([b.EndObject()])
    content = b.CreateByteVector(np.asarray(weights, "<f4").tobytes())
    b.StartObject(3)
    empty = b.EndObject()
    b.StartObject(3)
    b.PrependUOffsetTRelativeSlot(0, content, 0)
    buffers = offsets([empty, b.EndObject()])
    tensors = offsets([tensor(0, shape, signature), tensor(1, (2,)), tensor(0, shape)])
    inputs, outputs = vector([0], "i"), vector([2], "i")
    b.StartObject(4)
    operators = offsets([b.EndObject()])
    b.StartObject(5)
    for slot, part in enumerate((tensors, inputs, outputs, operators)):
        b.PrependUOffsetTRelativeSlot(slot, part, 0)
    graphs = offsets([b.EndObject()])
    b.StartObject(5)
    b.PrependUint32Slot(0, 3, 0)
    b.PrependUOffsetTRelativeSlot(1, codes, 0)
    b.PrependUOffsetTRelativeSlot(2, graphs, 0)
    b.PrependUOffsetTRelativeSlot(4, buffers, 0)
    b.Finish(b.EndObject(), b"TFL3")
    return bytes(b.Output())


@pytest.fixture(scope="module")
def tflite():
    pytest.importorskip("flatbuffers")
    return build_tflite


def test_a_good_tflite_model_is_known_by_its_format_and_shape(tflite):
    facts = inspect_model(tflite())
    assert (facts.format, facts.input_shape) == ("tflite", (1, 8, 8, 3))


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"weights": (1.0, float("nan"))}, "NaN"),
        ({"custom": "ethos-u"}, "custom"),
        ({"builtin": 32}, "custom"),
        ({"builtin": 1000}, "unknown operator"),
        ({"signature": (-1, 8, 8, 3)}, "fixed"),
        ({"shape": (0, 8, 8, 3)}, "shape"),
        ({"shape": (65536, 65536, 8, 3)}, "shape"),
    ],
)
def test_tflite_models_that_are_not_run_are_refused_with_the_reason(tflite, settings, reason):
    with pytest.raises(ModelRefused, match=reason):
        inspect_model(tflite(**settings))


def test_truncated_and_mutated_tflite_models_are_accepted_or_refused_and_nothing_else(tflite):
    data = tflite()
    rng = np.random.default_rng(0)
    for _ in range(2000):
        mutated = bytearray(data)
        for place in rng.integers(0, len(data), rng.integers(1, 6)):
            mutated[place] = rng.integers(0, 256)
        for candidate in (bytes(mutated), bytes(mutated[: rng.integers(0, len(data))])):
            try:
                inspect_model(candidate)
            except ModelRefused as refused:
                assert str(refused)


def test_what_the_converters_write_is_accepted(tmp_path):
    """The models that hot itself makes pass the check."""
    from torch import nn

    from hot.export import export_onnx
    from hot.space import Shape

    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU6()).eval()
    path = export_onnx(module, Shape(3, 8, 8), tmp_path / "m.onnx").path
    assert inspect_model(path.read_bytes()).input_shape == (1, 3, 8, 8)
