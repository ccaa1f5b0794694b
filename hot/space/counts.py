"""Analytic counts: MACs, parameters, bytes of weights, peak bytes of activations; no torch.

MACs are multiply-accumulates of convolutions and linear layers (1 MAC = 2 FLOPs); additions of
shortcuts, pooling and activations are not counted. Parameters are those of the module in training
(with batch normalisation); weight bytes are those of the deployed network, whose normalisation is
folded into a bias. Peak activation bytes are the largest sum of maps alive at one time when the
layers run in order: input and output of the layer, and the map that a shortcut holds; activation
functions and additions work in place.
"""

from dataclasses import dataclass

from hot.space.shapes import Block, Conv, Shape


@dataclass(frozen=True)
class Precision:
    """Bytes an element takes in a deployed network."""

    weight: int
    bias: int
    activation: int


PRECISIONS: dict[str, Precision] = {
    "fp32": Precision(4, 4, 4),
    "fp16": Precision(2, 2, 2),
    "int16": Precision(1, 4, 2),  # 16-bit activations, 8-bit weights
    "int8": Precision(1, 4, 1),
}


@dataclass(frozen=True)
class Counts:
    """Counts of a block or a network; adding two puts one after the other.

    Attributes:
        macs: multiply-accumulates for one sample.
        params: parameters in training.
        weights: weight elements after folding.
        biases: bias elements after folding.
        peak_activations: most activation elements alive at one time.
    """

    macs: int = 0
    params: int = 0
    weights: int = 0
    biases: int = 0
    peak_activations: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.macs + other.macs,
            self.params + other.params,
            self.weights + other.weights,
            self.biases + other.biases,
            max(self.peak_activations, other.peak_activations),
        )

    def weight_bytes(self, precision: str) -> int:
        """Bytes of weights and biases at a precision of `PRECISIONS`."""
        bytes_of = PRECISIONS[precision]
        return self.weights * bytes_of.weight + self.biases * bytes_of.bias

    def activation_bytes(self, precision: str) -> int:
        """Peak bytes of activations at a precision of `PRECISIONS`."""
        return self.peak_activations * PRECISIONS[precision].activation


def _count_conv(conv: Conv, shape: Shape) -> Counts:
    out = conv.output(shape)
    weights = conv.out_channels * (conv.in_channels // conv.groups) * conv.kernel**2
    return Counts(
        macs=weights * out.height * out.width,
        params=weights + 2 * conv.out_channels,
        weights=weights,
        biases=conv.out_channels,
    )


def count_block(block: Block, shape: Shape) -> Counts:
    """Counts of a block for an input of `shape`."""
    total, here = Counts(peak_activations=shape.volume), shape
    for index, conv in enumerate(block.convs):
        out = conv.output(here)
        held = shape.volume if block.shortcut is not None and index > 0 else 0
        alive = here.volume + out.volume + held
        total, here = total + _count_conv(conv, here) + Counts(peak_activations=alive), out
    for conv in block.shortcut or ():
        alive = shape.volume + 2 * here.volume
        total = total + _count_conv(conv, shape) + Counts(peak_activations=alive)
    if block.pool_stride > 1:
        alive = here.volume + block.output(shape).volume
        total = total + Counts(peak_activations=alive)
    return total


def count_linear(n_inputs: int, n_outputs: int) -> Counts:
    """Counts of a linear layer with bias."""
    weights = n_inputs * n_outputs
    return Counts(weights, weights + n_outputs, weights, n_outputs, n_inputs + n_outputs)
