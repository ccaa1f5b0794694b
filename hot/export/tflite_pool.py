"""Pooling that reads a module's input: the converter would pool the wrong axis of it."""

import torch
from torch import Tensor, nn

from hot.space import Shape


def pool_input(module: nn.Module, shape: Shape) -> nn.Module:
    """The module, its first layer made average pooling of a fixed size where it pools globally.

    A mean over a map that no layer has written stays in torch's order of axes in a TFLite file,
    where no NPU runs it; after a convolution it does not. The module itself is changed.

    Args:
        shape: (C, H, W) of the module's input.
    """
    first = _first_layer(module, shape)
    if isinstance(first, nn.AdaptiveAvgPool2d) and first.output_size in (1, (1, 1)):
        fixed = nn.AvgPool2d((shape.height, shape.width))
        if first is module:
            return fixed
        for parent in module.modules():
            for name, child in parent.named_children():
                if child is first:
                    setattr(parent, name, fixed)
    return module


def _first_layer(module: nn.Module, shape: Shape) -> nn.Module | None:
    """The layer without layers of its own that runs first and does something."""
    seen: list[nn.Module] = []

    def note(layer: nn.Module, _: object) -> None:
        seen.append(layer)

    layers = [m for m in module.modules() if not list(m.children())]
    handles = [m.register_forward_pre_hook(note) for m in layers if not _does_nothing(m)]
    try:
        with torch.no_grad():
            x: Tensor = torch.zeros(1, *shape)
            module.eval()(x)
    finally:
        for handle in handles:
            handle.remove()
    return seen[0] if seen else None


def _does_nothing(layer: nn.Module) -> bool:
    return isinstance(layer, (nn.Identity, nn.Dropout))
