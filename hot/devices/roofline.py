"""Counts of every node of an ONNX graph: multiply-accumulates and bytes moved; no torch."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path

import onnx

from hot.space import PRECISIONS

Shape = tuple[int, ...]
Shapes = dict[str, Shape]

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


# No products of sums: elementwise, comparisons, reductions, pooling, normalisation, moving data.
_WITHOUT_MACS = {
    "Abs", "Add", "And", "ArgMax", "ArgMin", "AveragePool", "BatchNormalization", "Ceil", "Celu",
    "ConstantOfShape", "Cos", "CumSum", "DepthToSpace", "Div", "Elu", "Equal", "Erf", "Exp",
    "Expand", "Floor", "GatherElements", "GatherND", "Gelu", "GlobalAveragePool", "GlobalLpPool",
    "GlobalMaxPool", "Greater", "GreaterOrEqual", "GroupNormalization", "Hardmax",
    "InstanceNormalization", "LRN", "LayerNormalization", "LeakyRelu", "Less", "LessOrEqual", "Log",
    "LogSoftmax", "LpNormalization", "LpPool", "Max", "MaxPool", "Mean",
    "MeanVarianceNormalization", "Min", "Mish", "Mod", "Mul", "Neg", "Not", "OneHot", "Or", "PRelu",
    "Pad", "Pow", "RMSNormalization", "Range", "Reciprocal", "ReduceL1", "ReduceL2", "ReduceLogSum",
    "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum",
    "ReduceSumSquare", "Resize", "Round", "ScatterElements", "ScatterND", "Selu", "Sign", "Sin",
    "Size", "Slice", "Softmax", "Softplus", "Softsign", "SpaceToDepth", "Split", "Sqrt", "Sub",
    "Sum", "Swish", "Tan", "Tanh", "ThresholdedRelu", "Tile", "TopK", "Transpose", "Trilu",
    "Upsample", "Where", "Xor",
}  # fmt: skip


def _conv_macs(node: onnx.NodeProto, data: Shape, weight: Shape, out: Shape) -> int:
    """Weight (M, C/g, kH, kW), output (N, M, H, W)."""
    return prod(out) * prod(weight[1:])


def _conv_transpose_macs(node: onnx.NodeProto, data: Shape, weight: Shape, out: Shape) -> int:
    """Input (N, C, H, W), weight (C, M/g, kH, kW); products that are cropped away count, too."""
    return prod(data) * prod(weight[1:])


def _gemm_macs(node: onnx.NodeProto, data: Shape, weight: Shape, out: Shape) -> int:
    """Input (N, K), or (K, N) where it is transposed; output (N, M)."""
    is_transposed = any(entry.name == "transA" and entry.i for entry in node.attribute)
    return prod(out) * data[0 if is_transposed else 1]


def _matmul_macs(node: onnx.NodeProto, data: Shape, weight: Shape, out: Shape) -> int:
    """First input (..., N, K), second (..., K, M), either of them a map; output (..., N, M)."""
    return prod(out) * data[-1]


_MACS: dict[str, Callable[[onnx.NodeProto, Shape, Shape, Shape], int]] = {
    "Conv": _conv_macs,
    "ConvTranspose": _conv_transpose_macs,
    "Gemm": _gemm_macs,
    "MatMul": _matmul_macs,
}


def count_nodes(path: Path, precision: str) -> list[NodeCounts]:
    """The nodes of the model in `path` that cost time, in order.

    Raises:
        ValueError: the file is no ONNX model, the shape of a map is not known, or it is not known
            how many multiply-accumulates an operator takes.
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
        weight_bytes = sum(
            prod(weights[name]) * (sizes.weight if len(weights[name]) > 1 else sizes.bias)
            for name in own
        )
        elements = prod(out) + sum(prod(_shape_of(maps, name, path)) for name in moved)
        found.append(
            NodeCounts(
                node.name or node.output[0],
                node.op_type,
                _count_macs(node, inputs, {**maps, **weights}, out, path),
                weight_bytes,
                elements * sizes.activation,
            )
        )
    if not found:
        raise ValueError(f"{path} holds no node that computes anything")
    return found


def _count_macs(
    node: onnx.NodeProto, inputs: list[str], shapes: Shapes, out: Shape, path: Path
) -> int:
    """The multiply-accumulates of the node, whose inputs stand in `shapes`."""
    if node.op_type in _WITHOUT_MACS:
        return 0
    if node.op_type not in _MACS or node.domain not in ("", "ai.onnx"):
        name = node.name or node.output[0]
        raise ValueError(
            f"{path}: the arithmetic of the operator {node.op_type!r} ({name}) is not counted; "
            f"a roofline counts {', '.join(_MACS)}"
        )
    data, weight = (_shape_of(shapes, name, path) for name in inputs[:2])
    return _MACS[node.op_type](node, data, weight, out)


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
