"""Torch modules of blocks, built from the same layers that are counted."""

import torch
from torch import Tensor, nn

from hot.space import Block, Conv, Foreign, Head, Rules, Shape

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "hardswish": nn.Hardswish,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
}


class Depthwise(nn.Conv2d):
    """A depthwise convolution that stays in float32 under bfloat16 autocast on a CPU.

    There its backward pass takes four to ten times as long in bfloat16 as in float32, while all
    that stands around it is faster (torch 2.15, AVX512-BF16 and AMX).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve, in float32 where autocast would slow it down."""
        if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float()).to(torch.get_autocast_dtype("cpu"))


class ConvNorm(nn.Sequential):
    """Convolution without bias, batch normalisation, and at option an activation."""

    def __init__(self, conv: Conv, activation: str) -> None:
        kind = Depthwise if conv.groups > 1 else nn.Conv2d
        layers: list[nn.Module] = [
            kind(
                conv.in_channels,
                conv.out_channels,
                conv.kernel,
                conv.stride,
                padding=conv.kernel // 2,
                groups=conv.groups,
                bias=False,
            ),
            nn.BatchNorm2d(conv.out_channels),
        ]
        if conv.has_activation:
            layers.append(ACTIVATIONS[activation]())
        super().__init__(*layers)


class BlockModule(nn.Module):
    """A `Block`: (B, C, H, W) to (B, C', H', W')."""

    def __init__(self, block: Block, activation: str) -> None:
        super().__init__()
        self.convs = nn.Sequential(*(ConvNorm(conv, activation) for conv in block.convs))
        self.has_shortcut = block.shortcut is not None
        self.shortcut = nn.Sequential(
            *(ConvNorm(conv, activation) for conv in block.shortcut or ())
        )
        tail: list[nn.Module] = []
        if block.has_final_activation:
            tail.append(ACTIVATIONS[activation]())
        if block.pool_stride > 1:
            tail.append(nn.MaxPool2d(3, block.pool_stride, padding=1))
        self.tail = nn.Sequential(*tail)

    def forward(self, x: Tensor) -> Tensor:
        """Run the main path, add the shortcut, then the tail."""
        y = self.convs(x)
        if self.has_shortcut:
            y = y + self.shortcut(x)
        out: Tensor = self.tail(y)
        return out


class HeadModule(nn.Module):
    """A `Head`: (B, C, H, W) to class scores (B, n_classes)."""

    def __init__(self, head: Head, activation: str, dropout: float) -> None:
        super().__init__()
        self.conv = ConvNorm(head.conv, activation) if head.conv else nn.Identity()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(head.n_features, head.n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Pool what the convolution gives and classify it."""
        x = self.pool(self.conv(x)).flatten(1)
        out: Tensor = self.linear(self.dropout(x))
        return out


def make_body(block: Block | Foreign, rules: Rules) -> nn.Module:
    """The torch module of one block, before `initialise`; a foreign one comes with its weights."""
    if isinstance(block, Foreign):
        made: nn.Module = block.make()
        return made
    return BlockModule(block, rules.activation)


def build_block(block: Block | Foreign, rules: Rules) -> nn.Module:
    """The torch module of one block: freshly initialised, or a foreign one with its weights."""
    module = make_body(block, rules)
    if isinstance(module, BlockModule):
        initialise(module)
    return module


def build_head(head: Head, rules: Rules) -> HeadModule:
    """The torch module of a head, freshly initialised."""
    module = HeadModule(head, rules.activation, dropout=0.0)
    initialise(module)
    return module


def initialise(module: nn.Module) -> None:
    """He-initialise convolutions, N(0, 0.01) linear layers, as torchvision's MobileNetV2 does."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out")
        elif isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, 0.0, 0.01)
            nn.init.zeros_(part.bias)


def example(shape: Shape, batch: int = 1) -> Tensor:
    """A batch of standard normal noise, (batch, C, H, W) float32."""
    return torch.randn(batch, *shape)
