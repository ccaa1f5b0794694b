"""ONNX artifacts whose nodes are named by the part of the network they belong to."""

import contextlib
import io
import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import onnx
import torch
from torch import nn
from torch.jit._trace import TracerWarning

from hot.errors import DeployError
from hot.files import atomic_path
from hot.nn import Part, fix_pools, fold_norms
from hot.records import STEM, Artifact
from hot.space import Shape

OPSET = 17
INPUT, OUTPUT = "input", "output"


def export_onnx(module: nn.Module, shape: Shape, path: str | os.PathLike[str]) -> Artifact:
    """Write `module` as fp32 ONNX with batch size 1 and norms folded; nodes carry module paths.

    The module is not changed. TorchScript's exporter is used: it takes 0.02 s for a block where
    the one on torch.export takes 0.8 s, and a LUT exports hundreds. In a network grafted onto a
    backbone, nodes outside of the parts are named as those of a stem.

    Args:
        shape: (C, H, W) of the input.

    Raises:
        StorageError: the file cannot be written.
        DeployError: the module uses what ONNX cannot say.
    """
    folded = fold_norms(module).to(device="cpu", dtype=torch.float32)
    folded = fix_pools(folded.to(memory_format=torch.contiguous_format), shape)
    sample = torch.zeros(1, *shape)
    with (
        atomic_path(path) as temporary,
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),  # the exporter prints the graph where it fails
    ):
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings("ignore", "Constant folding", UserWarning)  # it goes on without
        warnings.filterwarnings("ignore", category=TracerWarning)
        warnings.filterwarnings("ignore", message="ONNX export mode is set to TrainingMode.EVAL")
        try:
            torch.onnx.export(
                folded,
                (sample,),
                str(temporary),
                input_names=[INPUT],
                output_names=[OUTPUT],
                opset_version=OPSET,
                dynamo=False,
            )
        except RuntimeError as error:  # the exporter's errors are its children
            reason = str(error).strip().splitlines()[0].partition("  [")[0]
            raise DeployError(
                f"{type(module).__name__} cannot be written as ONNX: {reason}"
            ) from error
        _tidy(temporary, any(isinstance(part, Part) for part in module.modules()))
    return Artifact(Path(path), "fp32", (1, *shape))


def export_onnx_all(
    modules: Sequence[nn.Module], shapes: Sequence[Shape], paths: Sequence[Path]
) -> list[Artifact]:
    """As `export_onnx` writes each of the modules."""
    return [
        export_onnx(module, shape, path)
        for module, shape, path in zip(modules, shapes, paths, strict=True)
    ]


_PLACE = re.compile(r"/part-(\w+)-(\d+)/")


def _tidy(path: Path, is_grafted: bool) -> None:
    """Make what the exporter wrote fit for measuring; see the functions called."""
    model = onnx.load(path)
    _inline_equal_constants(model)
    if is_grafted:
        _name_by_part(model)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _inline_equal_constants(model: onnx.ModelProto) -> None:
    """Give every node its own constant again; the exporter shares equal ones by Identity nodes."""
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


def _name_by_part(model: onnx.ModelProto) -> None:
    """Begin all names in a grafted network with the part they are in, or with the stem.

    Maps are renamed with their nodes: runtimes name what they fuse after either.
    """
    graph = model.graph
    for node in graph.node:
        node.name = in_part(node.name)
        for names in (node.input, node.output):
            names[:] = [in_part(name) if name.startswith("/") else name for name in names]
    for value in (*graph.initializer, *graph.value_info):
        value.name = in_part(value.name) if value.name.startswith("/") else value.name


def in_part(name: str) -> str:
    """A name of a grafted network that begins with the part it is in, or with the stem."""
    place = _PLACE.search(name)
    if place is None:
        return f"/{STEM}/{name.lstrip('/')}"
    slot, index = place.groups()
    return f"/{slot}/{slot}.{index}/{name[place.end() :]}"
