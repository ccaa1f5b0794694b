"""Operators: what a slot of a network may become, described without torch.

An operator turns the place of a layer (input shape, output channels, stride) into a `Block`.
Counts and the torch body are both derived from that block, so they cannot disagree.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points

from hot.errors import SpaceError, unknown_name
from hot.space.shapes import Block, Conv, Shape, make_divisible


@dataclass(frozen=True)
class Rules:
    """What all blocks of a space share: the activation and the divisor of channel counts."""

    activation: str = "relu6"
    round_to: int = 8


@dataclass(frozen=True)
class Layer:
    """The place of one block: what comes in and what must come out."""

    input: Shape
    out_channels: int
    stride: int = 1

    @property
    def is_same_shape(self) -> bool:
        """Whether input and output shape agree, so that an identity shortcut fits."""
        return self.stride == 1 and self.input.channels == self.out_channels

    def __str__(self) -> str:
        return f"{self.input}>{self.out_channels}s{self.stride}"


@dataclass(frozen=True)
class Choice:
    """An operator with its parameters; `key` is its stable name, for example `ir-e6-k3`."""

    operator: str
    expansion: float = 1.0
    kernel: int = 1

    @property
    def key(self) -> str:
        """The stable name, which `parse_choice` reads back."""
        shown = find_operator(self.operator).parameters
        values = {"expansion": f"-e{self.expansion:g}", "kernel": f"-k{self.kernel}"}
        return self.operator + "".join(values[name] for name in shown)

    def block(self, layer: Layer, rules: Rules) -> Block:
        """The block of this choice at `layer`."""
        return find_operator(self.operator).body(layer, self, rules)

    def work_key(self, layer: Layer) -> str:
        """The key of a LUT entry: this choice at the shapes of `layer`; equal keys, equal work."""
        return f"{self.key}@{layer}"

    def is_legal(self, layer: Layer) -> bool:
        """Whether this choice can stand at `layer`."""
        return find_operator(self.operator).is_legal(layer)


def _anywhere(layer: Layer) -> bool:
    return True


@dataclass(frozen=True)
class Operator:
    """A row of `OPERATORS`.

    Attributes:
        body: the block for a layer and the parameters of a choice.
        meaning: what `expansion` is for this operator, and the reference.
        parameters: which of `expansion` and `kernel` it has.
        is_legal: where it may stand.
    """

    body: Callable[[Layer, Choice, Rules], Block]
    meaning: str
    parameters: tuple[str, ...] = ("expansion", "kernel")
    is_legal: Callable[[Layer], bool] = _anywhere


def _identity_if_same(layer: Layer) -> tuple[Conv, ...] | None:
    return () if layer.is_same_shape else None


def _projection(layer: Layer) -> tuple[Conv, ...]:
    if layer.is_same_shape:
        return ()
    c_in, c_out = layer.input.channels, layer.out_channels
    return (Conv(c_in, c_out, 1, layer.stride, has_activation=False),)


def inverted_residual(layer: Layer, choice: Choice, rules: Rules) -> Block:
    """Pointwise up, depthwise, linear pointwise down (Sandler et al. 2018, MobileNetV2)."""
    c_in, c_out = layer.input.channels, layer.out_channels
    inside = make_divisible(c_in * choice.expansion, rules.round_to)
    up = () if inside == c_in else (Conv(c_in, inside),)
    depthwise = Conv(inside, inside, choice.kernel, layer.stride, groups=inside)
    down = Conv(inside, c_out, has_activation=False)
    return Block((*up, depthwise, down), _identity_if_same(layer))


def fused_inverted_residual(layer: Layer, choice: Choice, rules: Rules) -> Block:
    """One standard convolution for pointwise and depthwise (Gupta and Akin 2020)."""
    c_in, c_out = layer.input.channels, layer.out_channels
    inside = make_divisible(c_in * choice.expansion, rules.round_to)
    convs = (
        Conv(c_in, inside, choice.kernel, layer.stride),
        Conv(inside, c_out, has_activation=False),
    )
    return Block(convs, _identity_if_same(layer))


def sandglass(layer: Layer, choice: Choice, rules: Rules) -> Block:
    """Depthwise, linear pointwise down, pointwise up, linear depthwise (Zhou et al. 2020).

    `expansion` is the reduction ratio; the shortcut joins the wide ends.
    """
    c_in, c_out = layer.input.channels, layer.out_channels
    inside = make_divisible(c_in / choice.expansion, rules.round_to)
    convs = (
        Conv(c_in, c_in, choice.kernel, groups=c_in),
        Conv(c_in, inside, has_activation=False),
        Conv(inside, c_out),
        Conv(c_out, c_out, choice.kernel, layer.stride, groups=c_out, has_activation=False),
    )
    return Block(convs, _identity_if_same(layer))


def basic(layer: Layer, choice: Choice, rules: Rules) -> Block:
    """Two standard convolutions with a shortcut (He et al. 2016)."""
    inside = make_divisible(layer.out_channels * choice.expansion, rules.round_to)
    convs = (
        Conv(layer.input.channels, inside, choice.kernel, layer.stride),
        Conv(inside, layer.out_channels, choice.kernel, has_activation=False),
    )
    return Block(convs, _projection(layer), has_final_activation=True)


def bottleneck(layer: Layer, choice: Choice, rules: Rules) -> Block:
    """Pointwise down, standard convolution, pointwise up with a shortcut (He et al. 2016)."""
    inside = make_divisible(layer.out_channels * choice.expansion, rules.round_to)
    convs = (
        Conv(layer.input.channels, inside),
        Conv(inside, inside, choice.kernel, layer.stride),
        Conv(inside, layer.out_channels, has_activation=False),
    )
    return Block(convs, _projection(layer), has_final_activation=True)


def plain(layer: Layer, choice: Choice, rules: Rules) -> Block:
    """One standard convolution, no shortcut."""
    return Block((Conv(layer.input.channels, layer.out_channels, choice.kernel, layer.stride),))


def skip(layer: Layer, choice: Choice, rules: Rules) -> Block:
    """Nothing: the input is the output."""
    return Block(())


OPERATORS: dict[str, Operator] = {
    "ir": Operator(inverted_residual, "inside channels / input channels; Sandler et al. 2018"),
    "fused": Operator(
        fused_inverted_residual, "inside channels / input channels; Gupta and Akin 2020"
    ),
    "sandglass": Operator(sandglass, "reduction: input / inside channels; Zhou et al. 2020"),
    "basic": Operator(basic, "inside channels / output channels; He et al. 2016"),
    "bottleneck": Operator(bottleneck, "inside channels / output channels; He et al. 2016"),
    "plain": Operator(plain, "one standard convolution", ("kernel",)),
    "skip": Operator(skip, "the identity", (), lambda layer: layer.is_same_shape),
}


@cache
def known_operators() -> dict[str, Operator]:
    """`OPERATORS` and those that installed packages add through the group `hot.operators`."""
    added = {point.name: point.load() for point in entry_points(group="hot.operators")}
    return {**added, **OPERATORS}


def find_operator(name: str) -> Operator:
    """The operator called `name`.

    Raises:
        SpaceError: there is none; names the near match and all known ones.
    """
    operators = known_operators()
    if name not in operators:
        raise SpaceError(unknown_name("operator", name, operators))
    return operators[name]


def parse_choice(text: str) -> Choice:
    """The choice whose `key` is `text`.

    Raises:
        SpaceError: not of the form `name[-eE][-kK]`, or the operator has other parameters.

    >>> parse_choice("ir-e6-k3")
    Choice(operator='ir', expansion=6.0, kernel=3)
    """
    name, *rest = text.strip().split("-")
    values: dict[str, float] = {}
    for part in rest:
        letter, number = part[:1], part[1:]
        if letter not in ("e", "k") or letter in values or not number.replace(".", "", 1).isdigit():
            raise SpaceError(f"cannot read the choice {text!r}; write it as for example ir-e6-k3")
        values[letter] = float(number)
    choice = Choice(name, values.get("e", 1.0), int(values.get("k", 1)))
    if choice.key != text.strip():
        raise SpaceError(
            f"the choice {text!r} does not fit the operator {name!r}, which has the parameters "
            f"{', '.join(find_operator(name).parameters) or 'none'}"
        )
    return choice
