"""Names for the tensors of a TFLite file that tell the part of the network they belong to.

The converter names a tensor by the classes and names of the modules around it
(`hot.nn.build.Network_inner/torch.nn.modules.container.Sequential_b3/...`), by several such paths
where operators were fused, and by none where it folded constants. Here every tensor that an
operator writes gets the path an ONNX node would have (`/b3/b3.1/convs/convs.0/CONV_2D`), and a
constant the name of its first reader.
"""

import re
from typing import Any

from torch import nn

from hot.export.onnx import in_part
from hot.export.tflite_file import operator_names, pack, unpack
from hot.nn import Part
from hot.records import part_of

_SEPARATOR = re.compile(r";+\d*")


def name_by_part(content: bytes, module: nn.Module) -> bytes:
    """The TFLite file with its tensors renamed by their places in `module`, which it was made of.

    In a network grafted onto a backbone, what stands outside of the parts is the stem's.
    """
    model = unpack(content)
    places = _Places(module)
    kinds = operator_names()
    taken: set[str] = set()
    for graph in model.subgraphs:
        paths = _paths(graph, places)
        named = set(graph.inputs)
        for order, index in enumerate(graph.inputs):
            graph.tensors[index].name = _unique("input" if order == 0 else f"input{order}", taken)
        for operator, path in zip(graph.operators, paths, strict=True):
            kind = kinds[model.operatorCodes[operator.opcodeIndex].builtinCode]
            for index in operator.outputs:
                graph.tensors[index].name = _unique(f"{path}/{kind}", taken)
                named.add(index)
            first = f"{path}/{kind}"
            for position, index in enumerate(operator.inputs):
                if index >= 0 and index not in named and _is_constant(model, graph, index):
                    graph.tensors[index].name = _unique(f"{first}/constant{position}", taken)
                    named.add(index)
    return pack(model)


class _Places:
    """Reads the converter's names: which classes there are, and whether there are parts."""

    def __init__(self, module: nn.Module) -> None:
        classes = {f"{type(m).__module__}.{type(m).__qualname__}_" for m in module.modules()}
        self._classes = sorted(classes, key=len, reverse=True)
        self._is_grafted = any(isinstance(m, Part) for m in module.modules())

    def paths(self, name: str) -> list[str]:
        """The places in a tensor's name as ONNX paths, the operator's own first."""
        found = []
        for text in _SEPARATOR.split(name):
            steps = [step for piece in text.split("/") if (step := self._step(piece)) is not None]
            if steps and steps[0] == "inner":
                path = "/" + "/".join(_dotted(steps[1:]))
                found.append(in_part(path + "/").rstrip("/") if self._is_grafted else path)
        return found

    def _step(self, piece: str) -> str | None:
        """The module's name in `class_name`."""
        start = next((name for name in self._classes if piece.startswith(name)), None)
        return None if start is None else piece[len(start) :]


def _dotted(steps: list[str]) -> list[str]:
    """Steps with the container before a number, as ONNX names them: `convs`, `convs.0`.

    >>> _dotted(["b3", "1", "convs", "0", "2"])
    ['b3', 'b3.1', 'convs', 'convs.0', 'convs.0.2']
    """
    found: list[str] = []
    for step in steps:
        found.append(f"{found[-1]}.{step}" if step.isdigit() and found else step)
    return found


def _paths(graph: Any, places: _Places) -> list[str]:
    """The path of every operator: by its output, else its constants, else the operator before."""
    maker = {index: o for o, operator in enumerate(graph.operators) for index in operator.outputs}
    paths: list[str] = []
    for operator in graph.operators:
        constants = [i for i in operator.inputs if i >= 0 and i not in maker]
        names = [graph.tensors[i].name.decode() for i in (*operator.outputs, *constants)]
        known = [path for name in names for path in places.paths(name)]
        known += [paths[maker[i]] for i in operator.inputs if maker.get(i, len(paths)) < len(paths)]
        with_part = [path for path in known if part_of(path + "/") is not None]
        paths.append(next(iter(with_part or known), ""))
    return paths


def _is_constant(model: Any, graph: Any, index: int) -> bool:
    data = model.buffers[graph.tensors[index].buffer].data
    return data is not None and len(data) > 0


def _unique(name: str, taken: set[str]) -> str:
    fresh, count = name, 1
    while fresh in taken:
        fresh, count = f"{name}.{count}", count + 1
    taken.add(fresh)
    return fresh
