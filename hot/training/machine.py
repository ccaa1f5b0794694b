"""Where networks are trained and scored: the device, and the processor cores that may be used."""

import os

import torch

from hot.errors import InputError


def find_device(name: str | None) -> torch.device:
    """The device of that name; without one a GPU where there is one, else the processor.

    Raises:
        InputError: neither `cpu` nor a usable `cuda`.
    """
    if name not in (None, "cpu", "cuda"):
        raise InputError(f"networks are computed on 'cpu' or 'cuda', not on {name!r}")
    has_gpu = torch.cuda.is_available()
    if name == "cuda" and not has_gpu:
        raise InputError("torch finds no usable GPU here; compute on 'cpu'")
    return torch.device("cuda" if has_gpu and name != "cpu" else "cpu")


def count_cores() -> int:
    """The processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
