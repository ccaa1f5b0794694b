"""Counts of every node of an ONNX graph: multiply-accumulates and bytes moved; no torch."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path

import onnx

from hot.space import PRECISIONS

Shapes = dict[str, tuple[int, ...]]

# Merged into the layer before by every runtime for small devices, or only another view of a map.
_FREE = {
    "Clip", "Relu", "HardSwish", "HardSigmoid", "Sigmoid", "Flatten", "Reshape", "Identity",
    "Squeeze", "Unsqueeze", "QuantizeLinear", "DequantizeLinear", "Cast", "Constant", "Shape",
    "Gather", "Concat", "Dropout",
}  # fmt: skip


@dataclass(frozen=True)
class NodeCounts:
    """Counts of one node that costs time.

    Attributes:
        macs: multiply-accumulates.
        weight_bytes: weights and biases.
        map_bytes: maps read and written, all alive while the node runs.
    """

    name: str
    operator: str
    macs: int
    weight_bytes: int
    map_bytes: int


def _conv_macs(weight: tuple[int, ...], out: tuple[int, ...]) -> int:
    """Weight (M, C/g, kH, kW), output (N, M, H, W)."""
    return prod(out) * prod(weight[1:])


def _gemm_macs(weight: tuple[int, ...], out: tuple[int, ...]) -> int:
    """Weight of two axes, either of them the inner one; output (N, M)."""
    return prod(out) * prod(weight) // out[-1]


_MACS: dict[str, Callable[[tuple[int, ...], tuple[int, ...]], int]] = {
    "Conv": _conv_macs,
    "Gemm": _gemm_macs,
    "MatMul": _gemm_macs,
}


def count_nodes(path: Path, precision: str) -> list[NodeCounts]:
    """The nodes of the model in `path` that cost time, in order.

    Raises:
        ValueError: the file is no ONNX model, or the shape of a map is not known.
    """
    try:
        model = onnx.shape_inference.infer_shapes(onnx.load(path), strict_mode=True)
    except Exception as error:  # protobuf's, onnx's and the shape inference's errors
        reason = str(error).strip().splitlines()
        raise ValueError(
            f"{path} is no valid ONNX model: {reason[0] if reason else type(error).__name__}"
        ) from error
    weights, maps = _shapes(model.graph)
    sizes = PRECISIONS[precision]
    found = []
    for node in model.graph.node:
        if node.op_type in _FREE:
            continue
        out = _shape_of(maps, node.output[0], path)
        inputs = [_behind(name, model.graph) for name in node.input if name]
        own = [name for name in inputs if name in weights]
        moved = [name for name in inputs if name not in weights]
        count = _MACS.get(node.op_type)
        weight_bytes = sum(
            prod(weights[name]) * (sizes.weight if len(weights[name]) > 1 else sizes.bias)
            for name in own
        )
        elements = prod(out) + sum(prod(_shape_of(maps, name, path)) for name in moved)
        macs = count(weights[own[0]], out) if count and own else 0
        found.append(
            NodeCounts(
                node.name or node.output[0],
                node.op_type,
                macs,
                weight_bytes,
                elements * sizes.activation,
            )
        )
    if not found:
        raise ValueError(f"{path} holds no node that computes anything")
    return found


def _shapes(graph: onnx.GraphProto) -> tuple[Shapes, Shapes]:
    """Shapes of the weights and of the maps."""
    weights = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    maps: Shapes = {}
    for info in (*graph.input, *graph.value_info, *graph.output):
        sides = info.type.tensor_type.shape.dim
        maps[info.name] = tuple(side.dim_value for side in sides)
    return weights, maps


def _shape_of(maps: Shapes, name: str, path: Path) -> tuple[int, ...]:
    shape = maps.get(name)
    if not shape or any(side <= 0 for side in shape):
        raise ValueError(f"{path}: the shape of {name!r} is {shape}, not fixed")
    return shape


def _behind(name: str, graph: onnx.GraphProto) -> str:
    """The tensor from which conversions made `name`: a weight stays a weight behind them."""
    makers = {node.output[0]: node for node in graph.node if node.op_type == "DequantizeLinear"}
    initial = {tensor.name for tensor in graph.initializer}
    source = name
    while source in makers:
        source = makers[source].input[0]
    return source if source in initial else name
