"""Many small modules as TFLite files by one conversion: each costs a second of its own."""

import copy
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hot.export.tflite import ChannelsLast, converted, prepared
from hot.export.tflite_file import pack, schema, unpack
from hot.export.tflite_names import name_by_part
from hot.files import atomic_path
from hot.records import Artifact
from hot.space import Shape


class SideBySide(nn.Module):
    """Modules that have nothing to do with each other: as many inputs and outputs as modules."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.all = nn.ModuleList(modules)

    def forward(self, *xs: Tensor) -> tuple[Tensor, ...]:
        """The output of every module for its input."""
        return tuple(one(x) for one, x in zip(self.all, xs, strict=True))


def export_tflite_all(
    modules: Sequence[nn.Module], shapes: Sequence[Shape], paths: Sequence[str | os.PathLike[str]]
) -> list[Artifact]:
    """As `export_tflite` writes each of the modules, in a fraction of the time.

    Raises:
        StorageError: a file cannot be written.
        DeployError: a module uses what TFLite cannot say, or the converter is not installed.
    """
    wrapped = [
        ChannelsLast(prepared(module, shape)) for module, shape in zip(modules, shapes, strict=True)
    ]
    samples = tuple(torch.zeros(1, s.height, s.width, s.channels) for s in shapes)
    names = ", ".join(sorted({type(module).__name__ for module in modules}))
    whole = unpack(converted(SideBySide(wrapped).eval(), samples, names))
    order = _inputs(whole)
    made = []
    for index, (one, shape, path) in enumerate(zip(wrapped, shapes, paths, strict=True)):
        content = name_by_part(pack(_piece(whole, order[index], index)), one)
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)
        made.append(Artifact(Path(path), "fp32", (1, *shape)))
    return made


def _inputs(model: Any) -> list[int]:
    """The tensors of the inputs in the order of the arguments, by the signature's names."""
    (signature,) = model.signatureDefs
    by_name = {entry.name.decode(): entry.tensorIndex for entry in signature.inputs}
    return [by_name[f"args_{index}"] for index in range(len(by_name))]


def _piece(model: Any, source: int, index: int) -> Any:
    """The model of one module: what leads to its output, in the order it was in."""
    (signature,) = model.signatureDefs
    target = {entry.name.decode(): entry.tensorIndex for entry in signature.outputs}[
        f"output_{index}"
    ]
    graph = model.subgraphs[0]
    needed, operators = {target}, []
    for operator in reversed(graph.operators):
        if needed.intersection(operator.outputs):
            operators.append(operator)
            needed.update(tensor for tensor in operator.inputs if tensor >= 0)
    kept = sorted(needed | {source} | {t for o in operators for t in o.outputs})
    place = {tensor: position for position, tensor in enumerate(kept)}
    classes = schema()
    piece = copy.copy(model)
    piece.buffers = [classes.BufferT()]
    piece.metadata, piece.metadataBuffer = [], []
    part = copy.copy(graph)
    part.tensors = [_moved(model, graph.tensors[tensor], piece) for tensor in kept]
    part.inputs, part.outputs = [place[source]], [place[target]]
    part.operators = [_renumbered(operator, place) for operator in reversed(operators)]
    piece.subgraphs = [part]
    piece.signatureDefs = [_signature(signature, place[source], place[target])]
    return piece


def _moved(model: Any, tensor: Any, piece: Any) -> Any:
    """The tensor, its constant moved to the piece."""
    moved = copy.copy(tensor)
    buffer = model.buffers[tensor.buffer]
    moved.buffer = 0
    if buffer.data is not None and len(buffer.data):
        moved.buffer = len(piece.buffers)
        piece.buffers.append(buffer)
    return moved


def _renumbered(operator: Any, place: dict[int, int]) -> Any:
    made = copy.copy(operator)
    made.inputs = [place.get(tensor, -1) for tensor in operator.inputs]
    made.outputs = [place[tensor] for tensor in operator.outputs]
    return made


def _signature(signature: Any, source: int, target: int) -> Any:
    made = copy.copy(signature)
    made.inputs, made.outputs = [copy.copy(signature.inputs[0])], [copy.copy(signature.outputs[0])]
    made.inputs[0].name, made.inputs[0].tensorIndex = b"args_0", source
    made.outputs[0].name, made.outputs[0].tensorIndex = b"output_0", target
    return made
