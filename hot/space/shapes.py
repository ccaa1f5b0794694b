"""Shapes of feature maps and the layers a block is made of, without torch."""

from dataclasses import dataclass
from typing import NamedTuple


class Shape(NamedTuple):
    """A feature map of one sample: (C, H, W)."""

    channels: int
    height: int
    width: int

    @property
    def volume(self) -> int:
        """Elements of the map."""
        return self.channels * self.height * self.width

    def __str__(self) -> str:
        return f"{self.channels}x{self.height}x{self.width}"


@dataclass(frozen=True)
class Conv:
    """A convolution without bias, its batch normalisation, and its activation.

    Padding is `kernel // 2`; kernels are odd, so that a stride s divides the map by s, rounded up.
    """

    in_channels: int
    out_channels: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    has_activation: bool = True

    def output(self, shape: Shape) -> Shape:
        """Shape of the output for an input of `shape`."""
        if shape.channels != self.in_channels:
            raise ValueError(f"convolution of {self.in_channels} channels got a map {shape}")
        return Shape(
            self.out_channels, -(-shape.height // self.stride), -(-shape.width // self.stride)
        )


@dataclass(frozen=True)
class Block:
    """A chain of convolutions, at option with a shortcut from its input to its output.

    Attributes:
        convs: the main path.
        shortcut: None for no shortcut, () for the identity, or the convolution of a projection.
        has_final_activation: an activation after the addition (ResNet).
        pool_stride: stride of a 3x3 max-pooling at the end; 1 for none.
    """

    convs: tuple[Conv, ...]
    shortcut: tuple[Conv, ...] | None = None
    has_final_activation: bool = False
    pool_stride: int = 1

    def output(self, shape: Shape) -> Shape:
        """Shape of the output for an input of `shape`."""
        for conv in self.convs:
            shape = conv.output(shape)
        s = self.pool_stride
        return Shape(shape.channels, -(-shape.height // s), -(-shape.width // s))


def make_divisible(value: float, divisor: int = 8) -> int:
    """The multiple of `divisor` nearest to `value`, never 10 % below it (Howard et al. 2017).

    >>> make_divisible(32 * 0.7), make_divisible(16 / 9)
    (24, 8)
    """
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded
