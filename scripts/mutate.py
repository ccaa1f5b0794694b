"""Seeded damage to model files: of their bytes, and of what an ONNX file says."""

import random
from collections.abc import Callable

import onnx
from onnx import TensorProto, helper

_HUGE = (0, -1, 2**31 - 1, 2**31, 2**62, -(2**63))


def mutate(sources: list[bytes], rng: random.Random) -> tuple[str, bytes]:
    """The name of a kind of damage, and one of the sources with it."""
    name, change = rng.choice(list(MUTATIONS.items()))
    return name, change(sources, rng)


def _one(sources: list[bytes], rng: random.Random) -> bytearray:
    return bytearray(rng.choice(sources))


def _flip_bits(sources: list[bytes], rng: random.Random) -> bytes:
    data = _one(sources, rng)
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def _overwrite(sources: list[bytes], rng: random.Random) -> bytes:
    data = _one(sources, rng)
    at, n = rng.randrange(len(data)), rng.choice((1, 2, 4, 8, 256))
    fill = rng.choice((b"\0" * n, b"\xff" * n, b"\x7f" * n, rng.randbytes(n)))
    data[at : at + n] = fill
    return bytes(data)


def _truncate(sources: list[bytes], rng: random.Random) -> bytes:
    data = _one(sources, rng)
    return bytes(data[: rng.choice((0, 1, 8, rng.randrange(len(data))))])


def _insert(sources: list[bytes], rng: random.Random) -> bytes:
    data = _one(sources, rng)
    at = rng.randrange(len(data) + 1)
    data[at:at] = rng.randbytes(rng.choice((1, 4, 64, 4096)))
    return bytes(data)


def _repeat(sources: list[bytes], rng: random.Random) -> bytes:
    data = _one(sources, rng)
    start = rng.randrange(len(data))
    part = data[start : start + rng.choice((4, 64, 1024))]
    data[start:start] = part * rng.choice((1, 3, 50))
    return bytes(data)


def _splice(sources: list[bytes], rng: random.Random) -> bytes:
    one, other = _one(sources, rng), _one(sources, rng)
    return bytes(one[: rng.randrange(len(one))] + other[rng.randrange(len(other)) :])


def _garbage(sources: list[bytes], rng: random.Random) -> bytes:
    head = rng.choice((b"", b"\x08\x08", b"\x1c\0\0\0TFL3", b"PK\x03\x04", b"\x7fELF"))
    return head + rng.randbytes(rng.choice((0, 1, 100, 100_000)))


# What the file says -------------------------------------------------------------------------------


def _of_onnx(change: Callable[[onnx.ModelProto, random.Random], None]) -> Callable[..., bytes]:
    def damage(sources: list[bytes], rng: random.Random) -> bytes:
        model = onnx.ModelProto()
        model.ParseFromString(rng.choice([s for s in sources if b"TFL3" not in s[:8]]))
        change(model, rng)
        return model.SerializeToString()

    return damage


def _sizes(model: onnx.ModelProto, rng: random.Random) -> None:
    value = rng.choice([*model.graph.input, *model.graph.output])
    side = rng.choice(value.type.tensor_type.shape.dim)
    if rng.random() < 0.3:
        side.dim_param = "batch"
    else:
        side.dim_value = rng.choice((*_HUGE, rng.randrange(1, 4096)))


def _weights(model: onnx.ModelProto, rng: random.Random) -> None:
    tensor = rng.choice(model.graph.initializer)
    kind = rng.randrange(5)
    if kind == 0:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(_HUGE)
    elif kind == 1:
        tensor.data_type = rng.randrange(30)
    elif kind == 2:
        tensor.raw_data = tensor.raw_data[: rng.randrange(len(tensor.raw_data) + 1)]
    elif kind == 3:
        tensor.raw_data = b"\0\0\xc0\x7f" * (len(tensor.raw_data) // 4)  # NaN
    else:
        tensor.data_location = TensorProto.EXTERNAL
        place = rng.choice(("/etc/passwd", "../../server.db", "http://127.0.0.1/x", "/dev/zero"))
        tensor.external_data.add(key="location", value=place)


def _nodes(model: onnx.ModelProto, rng: random.Random) -> None:
    node = rng.choice(model.graph.node)
    kind = rng.randrange(6)
    if kind == 0:
        node.op_type = rng.choice(("Loop", "Einsum", "NonZero", "Softmax", "Conv", "Evil", "", "é"))
    elif kind == 1:
        node.domain = rng.choice(("com.microsoft", "evil", "ai.onnx.ml"))
    elif kind == 2:
        node.input[rng.randrange(len(node.input))] = rng.choice(("", "none", node.output[0]))
    elif kind == 3:
        node.attribute.add().CopyFrom(
            helper.make_attribute(
                rng.choice(("pads", "strides", "dilations", "group", "kernel_shape", "auto_pad")),
                rng.choice(([rng.choice(_HUGE)] * 4, rng.choice(_HUGE), [1], "SAME", 1.5)),
                attr_type=None,
            )
            if rng.random() < 0.8
            else onnx.AttributeProto(name="body", type=onnx.AttributeProto.GRAPH, g=model.graph)
        )
    elif kind == 4:
        node.name = rng.choice(("/" * 5000, "../../etc", "\x00", "<script>alert(1)</script>"))
    else:
        model.graph.node.extend([node] * rng.choice((1, 100)))


def _opset(model: onnx.ModelProto, rng: random.Random) -> None:
    if rng.random() < 0.5:
        model.opset_import[0].version = rng.choice(_HUGE)
    else:
        model.ir_version = rng.choice((0, 1, 3, 99, 2**62))


def _loop(model: onnx.ModelProto, rng: random.Random) -> None:
    """A valid network that computes for as long as it is let."""
    (entry,), (exit_,) = model.graph.input, model.graph.output
    model.graph.node[-1].output[0] = "before"
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["again"]),
            helper.make_node("Add", ["value", "value"], ["sum"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("again", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, None),
        ],
    )
    turns = rng.choice((1, 100, 1000, 10**5, 2**40))
    model.graph.initializer.append(helper.make_tensor("turns", TensorProto.INT64, [], [turns]))
    model.graph.initializer.append(helper.make_tensor("yes", TensorProto.BOOL, [], [True]))
    model.graph.node.append(
        helper.make_node("Loop", ["turns", "yes", "before"], [exit_.name], "/b0/loop", body=body)
    )
    assert entry.name


MUTATIONS: dict[str, Callable[[list[bytes], random.Random], bytes]] = {
    "bits": _flip_bits,
    "overwritten": _overwrite,
    "truncated": _truncate,
    "inserted": _insert,
    "repeated": _repeat,
    "spliced": _splice,
    "garbage": _garbage,
    "sizes": _of_onnx(_sizes),
    "weights": _of_onnx(_weights),
    "nodes": _of_onnx(_nodes),
    "opset": _of_onnx(_opset),
    "loop": _of_onnx(_loop),
}
