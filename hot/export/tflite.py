"""TFLite artifacts whose tensors are named by the part of the network they belong to."""

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from hot.errors import DeployError
from hot.export.tflite_names import name_by_part
from hot.export.tflite_pool import pool_input
from hot.files import atomic_path
from hot.nn import fix_pools, fold_norms
from hot.records import Artifact
from hot.space import Shape

_MAP = 4  # dimensions of a map


class ChannelsLast(nn.Module):
    """A module that takes, and where it gives a map gives, (1, H, W, C): TFLite's own layout.

    Without it the file begins and ends with transposes, which no NPU runs.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.inner = module

    def forward(self, x: Tensor) -> Tensor:
        """What the module makes of (1, H, W, C)."""
        out: Tensor = self.inner(x.permute(0, 3, 1, 2))
        return out.permute(0, 2, 3, 1) if out.ndim == _MAP else out


def export_tflite(module: nn.Module, shape: Shape, path: str | os.PathLike[str]) -> Artifact:
    """Write `module` as fp32 TFLite with batch size 1, norms folded and all constants inside.

    The module is not changed. The file takes (1, H, W, C), while the artifact's `input_shape` is
    (1, C, H, W) as of every artifact: `hot.export.TfliteModel` feeds it in that order. Tensors that
    operators write are named by their place in the module, as nodes of an ONNX file are.

    Args:
        shape: (C, H, W) of the input.

    Raises:
        StorageError: the file cannot be written.
        DeployError: the module uses what TFLite cannot say, or the converter is not installed.
    """
    wrapped = ChannelsLast(prepared(module, shape)).eval()
    channels, height, width = shape
    sample = torch.zeros(1, height, width, channels)
    content = converted(wrapped, (sample,), type(module).__name__)
    with atomic_path(path) as temporary:
        temporary.write_bytes(name_by_part(content, wrapped))
    return Artifact(Path(path), "fp32", (1, *shape))


def prepared(module: nn.Module, shape: Shape) -> nn.Module:
    """A copy of the module as it is converted: norms folded, pools of a fixed size, float32."""
    folded = fold_norms(module).to(device="cpu", dtype=torch.float32)
    fixed = fix_pools(folded.to(memory_format=torch.contiguous_format), shape)
    return pool_input(fixed, shape)


def converted(module: nn.Module, samples: tuple[Tensor, ...], name: str) -> bytes:
    """The converter's file of a module that takes maps with channels last.

    Args:
        name: of what is converted, for the user.

    Raises:
        DeployError: the module uses what TFLite cannot say, or the converter is not installed.
    """
    with silent():
        convert = _converter()
        try:
            content: bytes = convert(module, samples).model_content()
        except Exception as error:  # torch.export, jax and MLIR each raise their own
            lines = str(error).strip().splitlines()
            reason = lines[0] if lines else type(error).__name__
            raise DeployError(f"{name} cannot be written as TFLite: {reason}") from error
    return content


def _converter():  # type: ignore[no-untyped-def]
    try:
        from litert_torch import convert
    except ImportError as error:
        raise DeployError(
            f"TFLite files need litert-torch ({error}): pip install 'hot[litert]'"
        ) from error
    return convert


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Inside, no line and no warning of the converter, whatever it writes them to."""
    before = logging.root.manager.disable
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), _no_native_log():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)


@contextlib.contextmanager
def _no_native_log() -> Iterator[None]:
    """Inside, what native code writes to the error stream goes nowhere."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
