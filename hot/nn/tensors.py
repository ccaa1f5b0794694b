"""Files of tensors as `torch.save` writes them: whole or absent, and read without running code."""

import io
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hot.errors import HotError, InputError


def write_tensors(path: Path, content: dict[str, Any]) -> None:
    """Write `content` as `torch.save` does; a full disk is an `OSError`, as with any other file."""
    buffer = io.BytesIO()  # torch's own writer turns a failed write into a RuntimeError
    torch.save(content, buffer)
    path.write_bytes(buffer.getbuffer())


def read_tensors(path: Path, error: type[HotError] = InputError) -> dict[str, Any]:
    """What `write_tensors` wrote, on the processor; code in a foreign file is never run.

    Raises:
        HotError: of the class `error`, where the file is damaged or no such file.
    """
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("not a file of torch.save")
        content = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(content, dict):
            raise ValueError(f"it holds a {type(content).__name__}")
    except Exception as problem:  # reading a damaged pickle may raise anything
        raise error(
            f"{path} is damaged ({problem}); remove it, and the command that made it makes it anew"
        ) from problem
    return content


def load_state(
    module: nn.Module,
    state: dict[str, Tensor],
    path: Path,
    advice: str,
    error: type[HotError] = InputError,
) -> None:
    """Load a state that came from `path` into `module`.

    Args:
        advice: what the user should know or do where it does not fit.

    Raises:
        HotError: of the class `error`, where it does not fit.
    """
    try:
        module.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as problem:
        raise error(
            f"the weights {path} do not fit the network: {str(problem).splitlines()[0]}; {advice}"
        ) from problem


def copy_state(module: nn.Module) -> dict[str, Tensor]:
    """The module's state on the processor, every tensor with memory of its own."""
    return {
        name: value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, value in module.state_dict().items()
    }
