"""ONNX artifacts whose nodes are named by the part of the network they belong to."""

import os
import re
import warnings
from pathlib import Path

import onnx
import torch
from torch import nn

from hot.files import atomic_path
from hot.nn import fold_norms
from hot.records import Artifact
from hot.space import Shape

OPSET = 17
INPUT, OUTPUT = "input", "output"


def export_onnx(module: nn.Module, shape: Shape, path: str | os.PathLike[str]) -> Artifact:
    """Write `module` as fp32 ONNX with batch size 1 and norms folded; nodes carry module paths.

    The module is not changed. TorchScript's exporter is used: it takes 0.02 s for a block where
    the one on torch.export takes 0.8 s, and a LUT exports hundreds.

    Args:
        shape: (C, H, W) of the input.

    Raises:
        StorageError: the file cannot be written.
    """
    folded = fold_norms(module).to(device="cpu", dtype=torch.float32)
    folded = folded.to(memory_format=torch.contiguous_format)
    sample = torch.zeros(1, *shape)
    with atomic_path(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        torch.onnx.export(
            folded,
            (sample,),
            str(temporary),
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset_version=OPSET,
            dynamo=False,
        )
        _inline_equal_constants(temporary)
    return Artifact(Path(path), "fp32", (1, *shape))


_PART = re.compile(r"/(?:(stem|head)/|(\w+)/\2\.(\d+)/)")


def part_of(node_name: str) -> str | None:
    """The part of the network a node belongs to, or None for a node of no part.

    Parts are `stem`, `head` and `<slot>.<layer>`.

    >>> part_of("/b3/b3.1/convs/convs.0/convs.0.2/Clip"), part_of("/stem/convs/Conv"), part_of("x")
    ('b3.1', 'stem', None)
    """
    match = _PART.match(node_name)
    if match is None:
        return None
    return match[1] or f"{match[2]}.{match[3]}"


def _inline_equal_constants(path: Path) -> None:
    """Give every node its own constant again; the exporter shares equal ones by Identity nodes."""
    model = onnx.load(path)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    kept = []
    for node in model.graph.node:
        if node.op_type == "Identity" and node.input[0] in constants:
            copy = model.graph.initializer.add()
            copy.CopyFrom(constants[node.input[0]])
            copy.name = node.output[0]
        else:
            kept.append(node)
    del model.graph.node[:]
    model.graph.node.extend(kept)
    onnx.checker.check_model(model)
    onnx.save(model, path)
