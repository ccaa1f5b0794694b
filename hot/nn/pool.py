"""Adaptive average pooling at a known size, as a product with constants that every runtime has."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from hot.space import Shape


class FixedPool(nn.Module):
    """Average pooling of (B, C, H, W) to (B, C, H', W') for one H and W: P_h x P_w^T."""

    rows: Tensor
    columns: Tensor

    def __init__(self, sides: tuple[int, int], out: tuple[int, int]) -> None:
        super().__init__()
        self.register_buffer("rows", averages(sides[0], out[0]))
        self.register_buffer("columns", averages(sides[1], out[1]).T.contiguous())

    def forward(self, x: Tensor) -> Tensor:
        """The averages."""
        out: Tensor = torch.matmul(torch.matmul(self.rows, x), self.columns)
        return out


def averages(n: int, n_out: int) -> Tensor:
    """(n_out, n): row i averages the places from floor(i n / n_out) to ceil((i + 1) n / n_out)."""
    matrix = torch.zeros(n_out, n)
    for i in range(n_out):
        start, end = i * n // n_out, -(-(i + 1) * n // n_out)
        matrix[i, start:end] = 1 / (end - start)
    return matrix


def fix_pools(module: nn.Module, shape: Shape) -> nn.Module:
    """The module, with pooling to sizes that do not divide the map's replaced by `FixedPool`.

    ONNX has no adaptive pooling, so only what divides can be written otherwise. The module itself
    is changed.

    Args:
        shape: (C, H, W) of the module's input, which it has from then on.
    """
    pools = {name: m for name, m in module.named_modules() if isinstance(m, nn.AdaptiveAvgPool2d)}
    pools = {name: m for name, m in pools.items() if m.output_size not in (1, (1, 1))}
    if not pools:
        return module
    sides: dict[str, tuple[int, int]] = {}
    with _sides(pools, sides), torch.no_grad():
        module(torch.zeros(1, *shape))
    for name, given in sides.items():
        size: Any = pools[name].output_size
        out = tuple(given[k] if n is None else n for k, n in enumerate(_pair(size)))
        if given[0] % out[0] or given[1] % out[1]:
            parent, _, child = name.rpartition(".")
            module.get_submodule(parent)._modules[child] = FixedPool(given, (out[0], out[1]))
    return module


def _pair(size: Any) -> tuple[int | None, int | None]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


@contextmanager
def _sides(
    pools: dict[str, nn.AdaptiveAvgPool2d], sides: dict[str, tuple[int, int]]
) -> Iterator[None]:
    """Inside, note the sides of the maps that the pools see."""

    def note(name: str, x: Tensor) -> None:
        sides[name] = (int(x.shape[-2]), int(x.shape[-1]))

    handles = [
        pool.register_forward_pre_hook(lambda m, inputs, name=name: note(name, inputs[0]))
        for name, pool in pools.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
