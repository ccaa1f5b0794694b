"""The arithmetic of training: float32, or bfloat16 where it is faster for this model here."""

import contextlib
import logging
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

FP32, BF16, AUTO = "fp32", "bf16", "auto"
PRECISIONS = (AUTO, FP32, BF16)
_ROUNDS = 3  # timed steps of each precision, after one to warm up
_MIN_GAIN = 1.1  # how much faster bfloat16 must be to be worth its rounding
log = logging.getLogger(__name__)


def autocast(precision: str, device: torch.device) -> contextlib.AbstractContextManager[object]:
    """The context in which a forward pass runs at `precision`."""
    if precision == BF16:
        return torch.autocast(device.type, torch.bfloat16)
    return contextlib.nullcontext()


def choose_precision(
    wanted: str,
    make_module: Callable[[], nn.Module],
    images: Tensor,
    targets: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
) -> str:
    """`wanted`, or for `auto` the one whose training steps of this model are faster on this device.

    Which one pays depends on the model: on a CPU with bfloat16 units, networks of standard
    convolutions train several times faster in it, those of depthwise convolutions slower.
    """
    if wanted != AUTO:
        return wanted
    best_s = {FP32: float("inf"), BF16: float("inf")}
    module = make_module()
    for turn in range(1 + _ROUNDS):
        for precision in best_s:
            seconds = _time_step(module, precision, images, targets, loss)
            if turn:
                best_s[precision] = min(best_s[precision], seconds)
    chosen = BF16 if best_s[BF16] * _MIN_GAIN < best_s[FP32] else FP32
    log.info(
        "a training step takes %.1f ms in fp32, %.1f ms in bf16: %s",
        1e3 * best_s[FP32],
        1e3 * best_s[BF16],
        chosen,
    )
    return chosen


def _time_step(
    module: nn.Module,
    precision: str,
    images: Tensor,
    targets: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
) -> float:
    _wait(images.device)
    start = time.perf_counter()
    with autocast(precision, images.device):
        value = loss(module(images), targets)
    value.backward()
    _wait(images.device)
    seconds = time.perf_counter() - start
    module.zero_grad(set_to_none=True)
    return seconds


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
