"""Whether uploaded bytes are a usable model; runs in a worker, for they may be hostile."""

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, numpy_helper

from hot.server.facts import ModelFacts
from hot.server.tflite import inspect_tflite, is_tflite

_MAX_INPUT_ELEMENTS = 2**28
_DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
_MICROSOFT = frozenset(  # of ONNX Runtime's own domain, those that quantised models are made of
    {
        "QuantizeLinear", "DequantizeLinear", "QLinearAdd", "QLinearMul", "QLinearAveragePool",
        "QLinearGlobalAveragePool", "QLinearConcat", "QLinearSigmoid", "QLinearLeakyRelu",
        "QLinearSoftmax", "QLinearWhere", "QGemm", "FusedConv", "FusedGemm", "Gelu", "FastGelu",
        "BiasGelu", "NhwcMaxPool", "DynamicQuantizeLSTM", "MatMulIntegerToFloat",
        "DynamicQuantizeMatMul",
    }
)  # fmt: skip
_FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)


class ModelRefused(ValueError):
    """The bytes are no model, or one that this server does not run; the message says why."""


def inspect_model(data: bytes) -> ModelFacts:
    """The format and the input shape of a model; no other file is opened.

    Raises:
        ModelRefused: empty, damaged, no model, external data, dynamic shapes, NaN weights or
            unknown operators.
    """
    if not data:
        raise ModelRefused("the file is empty")
    if is_tflite(data):
        try:
            return ModelFacts("tflite", inspect_tflite(data))
        except ValueError as error:
            raise ModelRefused(f"not a usable TFLite model: {error}") from error
    return ModelFacts("onnx", _inspect_onnx(data))


def _inspect_onnx(data: bytes) -> tuple[int, ...]:
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as error:  # protobuf's DecodeError, whose home differs between versions
        raise ModelRefused(
            "neither an ONNX nor a TFLite model: the bytes are damaged or something else"
        ) from error
    if not model.graph.node:
        raise ModelRefused("neither an ONNX nor a TFLite model: it holds no graph of nodes")
    _refuse_external(model)
    _refuse_unknown(model)
    try:
        onnx.checker.check_model(model)
    except Exception as error:  # the checker's own error and what its parser raises
        reason = " ".join(str(error).split())[:300]
        raise ModelRefused(f"not a valid ONNX model: {reason}") from error
    _refuse_nan(model)
    return _input_shape(model)


def _refuse_external(model: ModelProto) -> None:
    for tensor in _tensors(model):
        if tensor.external_data or tensor.data_location == TensorProto.EXTERNAL:
            raise ModelRefused(
                f"the tensor {tensor.name!r} lies in another file; save the model with its "
                "weights inside"
            )


def _refuse_unknown(model: ModelProto) -> None:
    own = {(function.domain, function.name) for function in model.functions}
    for node in _nodes(model):
        is_known = node.domain in _DOMAINS or (node.domain, node.op_type) in own
        if not is_known and not (node.domain == "com.microsoft" and node.op_type in _MICROSOFT):
            raise ModelRefused(
                f"the node {node.name!r} has the unknown operator {node.domain}.{node.op_type}"
            )


def _refuse_nan(model: ModelProto) -> None:
    for tensor in _tensors(model):
        if tensor.data_type not in _FLOATS:
            continue
        try:
            values = numpy_helper.to_array(tensor)
        except Exception as error:  # sizes that do not agree raise many kinds
            raise ModelRefused(f"the tensor {tensor.name!r} is damaged") from error
        if np.isnan(values.astype(np.float32)).any():
            raise ModelRefused(f"the tensor {tensor.name!r} holds NaN")


def _input_shape(model: ModelProto) -> tuple[int, ...]:
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    if len(inputs) != 1:
        raise ModelRefused(f"the model has {len(inputs)} inputs; one is measured, with one input")
    for value in (*inputs, *graph.output):
        shape = _shape(value)
        if value.type.WhichOneof("value") != "tensor_type" or min(shape, default=0) < 1:
            raise ModelRefused(
                f"{value.name!r} has no fixed shape; export the model with fixed sizes"
            )
    shape = _shape(inputs[0])
    if prod(shape) > _MAX_INPUT_ELEMENTS:
        raise ModelRefused(f"the input of shape {shape} is too large")
    return shape


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(side.dim_value for side in value.type.tensor_type.shape.dim)


def _tensors(message: Any) -> Iterator[TensorProto]:
    """All tensors below a message: weights, constants, those of inner graphs and functions."""
    if isinstance(message, TensorProto):
        yield message
        return
    for part in _parts(message):
        yield from _tensors(part)


def _nodes(message: Any) -> Iterator[onnx.NodeProto]:
    if isinstance(message, onnx.NodeProto):
        yield message
    for part in _parts(message):
        yield from _nodes(part)


def _parts(message: Any) -> Iterator[Any]:
    """The messages right below a message."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if isinstance(value, type(message)) or hasattr(value, "ListFields"):
            yield value
        else:
            yield from value
