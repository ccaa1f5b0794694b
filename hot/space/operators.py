"""Operators: what a slot of a network may become, described without torch.

An operator turns the place of a layer (input shape, output channels, stride) into a `Block`.
Counts and the torch body are both derived from that block, so they cannot disagree.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points

from hot.errors import SpaceError, unknown_name
from hot.space.foreign import Foreign
from hot.space.shapes import Block, Conv, Shape, make_divisible


@dataclass(frozen=True)
class Rules:
    """What all blocks of a space share: the activation and the divisor of channel counts."""

    activation: str = "relu6"
    round_to: int = 8


@dataclass(frozen=True)
class Layer:
    """The place of one block: what comes in and what must come out.

    Attributes:
        original: the block that stands there in the network the space was made from; None where
            the space is written down as YAML.
    """

    input: Shape
    out_channels: int
    stride: int = 1
    original: Foreign | None = field(default=None, repr=False)  # no part of a space's key

    @property
    def output(self) -> Shape:
        """The map that must come out."""
        s = self.stride
        return Shape(self.out_channels, -(-self.input.height // s), -(-self.input.width // s))

    @property
    def is_same_shape(self) -> bool:
        """Whether input and output shape agree, so that an identity shortcut fits."""
        return self.stride == 1 and self.input.channels == self.out_channels

    def __str__(self) -> str:
        return f"{self.input}>{self.out_channels}s{self.stride}"


@dataclass(frozen=True)
class Choice:
    """An operator with its parameters; `key` is its stable name, for example `ir-e6-k3`.

    Attributes:
        group: input channels of each group of the spatial convolution; 0 for one group of all.
    """

    operator: str
    expansion: float = 1.0
    kernel: int = 1
    group: int = 0

    @property
    def key(self) -> str:
        """The stable name, which `parse_choice` reads back."""
        shown = find_operator(self.operator).parameters
        values = {
            "expansion": f"-e{self.expansion:g}",
            "kernel": f"-k{self.kernel}",
            "group": f"-g{self.group}" if self.group else "",
        }
        return self.operator + "".join(values[name] for name in shown)

    def block(self, layer: Layer, rules: Rules) -> Block | Foreign:
        """The block of this choice at `layer`."""
        return find_operator(self.operator).body(layer, self, rules)

    def work_key(self, layer: Layer) -> str:
        """The key of a LUT entry: this choice at the shapes of `layer`; equal keys, equal work."""
        return f"{self.key}{find_operator(self.operator).mark(layer)}@{layer}"

    def is_legal(self, layer: Layer) -> bool:
        """Whether this choice can stand at `layer`."""
        operator = find_operator(self.operator)
        return operator.is_legal(layer) and (self.group == 0 or operator.is_grouped(layer, self))


def _anywhere(layer: Layer) -> bool:
    return True


def _ungrouped(layer: Layer, choice: Choice) -> bool:
    return False


def _unmarked(layer: Layer) -> str:
    return ""


@dataclass(frozen=True)
class Operator:
    """A row of `OPERATORS`.

    Attributes:
        body: the block for a layer and the parameters of a choice.
        meaning: what `expansion` is for this operator, and the reference.
        parameters: which of `expansion`, `kernel` and `group` it has.
        is_legal: where it may stand.
        is_grouped: where the group width of a choice divides its channels.
        mark: what the key of its work says beside the choice and the shapes.
    """

    body: Callable[[Layer, Choice, Rules], Block | Foreign]
    meaning: str
    parameters: tuple[str, ...] = ("expansion", "kernel")
    is_legal: Callable[[Layer], bool] = _anywhere
    is_grouped: Callable[[Layer, Choice], bool] = _ungrouped
    mark: Callable[[Layer], str] = _unmarked


def _identity_if_same(layer: Layer) -> tuple[Conv, ...] | None:
    return () if layer.is_same_shape else None


def _n_groups(channels: int, choice: Choice) -> int:
    """Groups of a convolution that reads `channels`."""
    return channels // choice.group if choice.group else 1


def _groups_input(layer: Layer, choice: Choice) -> bool:
    """Whether the group width divides the input; more than one group, or it changes nothing."""
    c_in = layer.input.channels
    return c_in % choice.group == 0 and c_in > choice.group


def _groups_both(layer: Layer, choice: Choice) -> bool:
    n_groups = layer.input.channels // choice.group
    return _groups_input(layer, choice) and layer.out_channels % n_groups == 0


def _groups_inside(layer: Layer, choice: Choice) -> bool:
    return choice.group < layer.out_channels * choice.expansion


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
    n_groups = _n_groups(c_in, choice)
    inside = make_divisible(c_in * choice.expansion, math.lcm(rules.round_to, n_groups))
    convs = (
        Conv(c_in, inside, choice.kernel, layer.stride, n_groups),
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
    c_in, c_out = layer.input.channels, layer.out_channels
    n_groups = _n_groups(c_in, choice)
    inside = make_divisible(c_out * choice.expansion, math.lcm(rules.round_to, n_groups))
    convs = (
        Conv(c_in, inside, choice.kernel, layer.stride, n_groups),
        Conv(inside, c_out, choice.kernel, groups=n_groups, has_activation=False),
    )
    return Block(convs, _projection(layer), has_final_activation=True)


def bottleneck(layer: Layer, choice: Choice, rules: Rules) -> Block:
    """Pointwise down, standard convolution, pointwise up with a shortcut (He et al. 2016).

    With a group width, the convolution is split as in ResNeXt (Xie et al. 2017).
    """
    divisor = math.lcm(rules.round_to, choice.group or 1)
    inside = make_divisible(layer.out_channels * choice.expansion, divisor)
    convs = (
        Conv(layer.input.channels, inside),
        Conv(inside, inside, choice.kernel, layer.stride, _n_groups(inside, choice)),
        Conv(inside, layer.out_channels, has_activation=False),
    )
    return Block(convs, _projection(layer), has_final_activation=True)


def plain(layer: Layer, choice: Choice, rules: Rules) -> Block:
    """One standard convolution, no shortcut."""
    c_in = layer.input.channels
    n_groups = _n_groups(c_in, choice)
    return Block((Conv(c_in, layer.out_channels, choice.kernel, layer.stride, n_groups),))


def skip(layer: Layer, choice: Choice, rules: Rules) -> Block:
    """Nothing: the input is the output."""
    return Block(())


def original(layer: Layer, choice: Choice, rules: Rules) -> Foreign:
    """The block that stood there in the network the space was made from, with its weights."""
    if layer.original is None:
        raise ValueError(f"no original block is known at {layer}")
    return layer.original


def _has_original(layer: Layer) -> bool:
    return layer.original is not None


def _digest(layer: Layer) -> str:
    return "" if layer.original is None else f"-{layer.original.digest}"


_ALL = ("expansion", "kernel", "group")

OPERATORS: dict[str, Operator] = {
    "ir": Operator(inverted_residual, "inside channels / input channels; Sandler et al. 2018"),
    "fused": Operator(
        fused_inverted_residual,
        "inside channels / input channels; Gupta and Akin 2020",
        _ALL,
        is_grouped=_groups_input,
    ),
    "sandglass": Operator(sandglass, "reduction: input / inside channels; Zhou et al. 2020"),
    "basic": Operator(
        basic, "inside channels / output channels; He et al. 2016", _ALL, is_grouped=_groups_both
    ),
    "bottleneck": Operator(
        bottleneck,
        "inside channels / output channels; He et al. 2016, in groups Xie et al. 2017",
        _ALL,
        is_grouped=_groups_inside,
    ),
    "plain": Operator(
        plain, "one standard convolution", ("kernel", "group"), is_grouped=_groups_both
    ),
    "skip": Operator(skip, "the identity", (), lambda layer: layer.is_same_shape),
    "original": Operator(
        original, "the block the network came with", (), _has_original, mark=_digest
    ),
}

_registered: dict[str, Operator] = {}


def register_operator(name: str, operator: Operator) -> None:
    """Add an operator under `name`, for menus, keys and architectures of this process.

    Registered again, the later one counts. Processes that hot starts (workers of a training) know
    it only where importing brings it: put such operators into an installed package, by an entry
    point of the group `hot.operators`.

    Raises:
        SpaceError: the name is one of `OPERATORS`, or not made of small letters, digits and `_`.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise SpaceError(
            f"an operator's name is small letters, digits and '_', and begins with a letter: "
            f"{name!r} cannot be one"
        )
    if name in OPERATORS:
        raise SpaceError(f"the operator {name!r} is built in; choose another name for yours")
    _registered[name] = operator


@cache
def _of_packages() -> dict[str, Operator]:
    return {point.name: point.load() for point in entry_points(group="hot.operators")}


def known_operators() -> dict[str, Operator]:
    """`OPERATORS`, what `register_operator` added, and what packages add (`hot.operators`)."""
    return {**_of_packages(), **_registered, **OPERATORS}


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
        SpaceError: not of the form `name[-eE][-kK][-gG]`, or the operator has other parameters.

    >>> parse_choice("ir-e6-k3")
    Choice(operator='ir', expansion=6.0, kernel=3, group=0)
    """
    name, *rest = text.strip().split("-")
    values: dict[str, float] = {}
    for part in rest:
        letter, number = part[:1], part[1:]
        is_number = re.fullmatch(r"[0-9]+(\.[0-9]+)?", number)
        if letter not in ("e", "k", "g") or letter in values or not is_number:
            raise SpaceError(f"cannot read the choice {text!r}; write it as for example ir-e6-k3")
        values[letter] = float(number)
    choice = Choice(name, values.get("e", 1.0), int(values.get("k", 1)), int(values.get("g", 0)))
    if choice.key != text.strip():
        raise SpaceError(
            f"the choice {text!r} does not fit the operator {name!r}, which has the parameters "
            f"{', '.join(find_operator(name).parameters) or 'none'}"
        )
    return choice
