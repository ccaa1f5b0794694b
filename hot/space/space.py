"""A search space: slots, the choices of each, and the fixed parts before and after them."""

import hashlib
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from hot.errors import SpaceError
from hot.space.counts import Counts, count_block, count_linear
from hot.space.foreign import Backbone, Foreign, count_body
from hot.space.operators import Choice, Layer, Rules, parse_choice
from hot.space.shapes import Block, Conv, Shape
from hot.space.spec import SpaceSpec


@dataclass(frozen=True)
class Slot:
    """A position of the network that takes one choice for all of its repeated layers."""

    name: str
    layers: tuple[Layer, ...]
    choices: tuple[Choice, ...]
    original: Choice

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of the choices, in order."""
        return tuple(choice.key for choice in self.choices)

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of its blocks in a network, `<slot>.<layer>`, in order of execution."""
        return tuple(f"{self.name}.{index}" for index in range(len(self.layers)))


@dataclass(frozen=True)
class Head:
    """The classifier: an optional pointwise convolution, global average pooling, a linear layer."""

    input: Shape
    conv: Conv | None
    n_classes: int

    @property
    def n_features(self) -> int:
        """Inputs of the linear layer."""
        return self.conv.out_channels if self.conv else self.input.channels

    @property
    def counts(self) -> Counts:
        """Counts of the head."""
        before = Block((self.conv,) if self.conv else ())
        pooled = before.output(self.input).volume + self.n_features
        return (
            count_block(before, self.input)
            + Counts(peak_activations=pooled)
            + count_linear(self.n_features, self.n_classes)
        )


@dataclass(frozen=True)
class Architecture:
    """One point of a space: a choice for every slot."""

    choices: tuple[Choice, ...]

    @property
    def key(self) -> str:
        """The stable name, which `Space.parse` reads back: the choices' keys joined by commas."""
        return ",".join(choice.key for choice in self.choices)

    @property
    def short(self) -> str:
        """Eight hexadecimal digits of the key, for file names and tables."""
        return hashlib.sha256(self.key.encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Space:
    """A search space at one width, resolution, class count and granularity.

    Attributes:
        stem: the fixed block before the slots, at `stem_input`; empty with a backbone.
        head: the fixed part after them; with a backbone it says only how many classes there are.
        spec: how this space was loaded; None for one made in Python.
        backbone: the network that the slots are places of, where the space was made from one; all
            that stands outside of the slots then counts as the stem.
    """

    name: str
    width: float
    granularity: str
    rules: Rules
    stem_input: Shape
    stem: Block
    slots: tuple[Slot, ...]
    head: Head
    spec: SpaceSpec | None = field(default=None, compare=False)
    backbone: Backbone | None = None

    @property
    def resolution(self) -> int:
        """Height and width of the input in pixels."""
        return self.stem_input.height

    @property
    def n_classes(self) -> int:
        """Outputs of the head."""
        return self.head.n_classes

    @property
    def size(self) -> int:
        """Number of architectures."""
        return math.prod(len(slot.choices) for slot in self.slots)

    @cached_property
    def key(self) -> str:
        """Stable name: what a LUT belongs to; two spaces with equal keys have equal slots."""
        slots = ";".join(f"{slot.layers}{slot.keys}" for slot in self.slots)
        text = f"{self.rules}{self.stem_input}{self.stem}{slots}{self.head}"
        if self.backbone is not None:
            text += self.backbone.digest
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        return f"{self.name}-w{self.width:g}-r{self.resolution}-{self.granularity}-{digest}"

    @property
    def original(self) -> Architecture:
        """The space's original network, the baseline of every search."""
        return Architecture(tuple(slot.original for slot in self.slots))

    def architecture(self, indices: tuple[int, ...]) -> Architecture:
        """The architecture that takes choice `indices[i]` at slot i."""
        if len(indices) != len(self.slots):
            raise ValueError(f"{len(indices)} indices for {len(self.slots)} slots")
        return Architecture(
            tuple(slot.choices[i] for slot, i in zip(self.slots, indices, strict=True))
        )

    def indices(self, architecture: Architecture) -> tuple[int, ...]:
        """The index of the architecture's choice at every slot; inverse of `architecture`."""
        self.check(architecture)
        pairs = zip(self.slots, architecture.choices, strict=True)
        return tuple(slot.choices.index(choice) for slot, choice in pairs)

    def parse(self, text: str) -> Architecture:
        """The architecture whose key is `text`.

        Raises:
            SpaceError: malformed, of another length, or with a choice its slot does not have.
        """
        architecture = Architecture(tuple(parse_choice(part) for part in text.split(",")))
        self.check(architecture)
        return architecture

    def check(self, architecture: Architecture) -> None:
        """Raise `SpaceError` unless the architecture is a point of this space."""
        if len(architecture.choices) != len(self.slots):
            raise SpaceError(
                f"the space {self.name!r} has {len(self.slots)} slots, "
                f"the architecture has {len(architecture.choices)} choices: {architecture.key}"
            )
        for slot, choice in zip(self.slots, architecture.choices, strict=True):
            if choice not in slot.choices:
                raise SpaceError(
                    f"slot {slot.name!r} of {self.name!r} has no choice {choice.key!r}; "
                    f"it has {', '.join(slot.keys)}"
                )

    def sample(self, rng: np.random.Generator) -> Architecture:
        """A uniformly random architecture."""
        return self.architecture(tuple(int(rng.integers(len(s.choices))) for s in self.slots))

    def enumerate(self) -> Iterator[Architecture]:
        """All architectures, in lexicographic order of choice indices."""
        for choices in itertools.product(*(slot.choices for slot in self.slots)):
            yield Architecture(choices)

    def blocks(self, architecture: Architecture) -> Iterator[tuple[Slot, Layer, Block | Foreign]]:
        """Every block of the architecture in order, with its slot and its layer."""
        for slot, choice in zip(self.slots, architecture.choices, strict=True):
            for layer in slot.layers:
                yield slot, layer, choice.block(layer, self.rules)

    def count_choice(self, slot: Slot, choice: Choice) -> Counts:
        """Counts of a choice over all layers of its slot."""
        total = Counts()
        for layer in slot.layers:
            total = total + count_body(choice.block(layer, self.rules), layer.input)
        return total

    def count_choices(self, read: Callable[[Counts], float]) -> tuple[tuple[float, ...], ...]:
        """What `read` takes from the counts of every choice: one row a slot, one value a choice."""
        return tuple(
            tuple(float(read(self.count_choice(slot, choice))) for choice in slot.choices)
            for slot in self.slots
        )

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of all blocks in a network, in order of execution."""
        return tuple(name for slot in self.slots for name in slot.parts)

    @property
    def fixed_counts(self) -> Counts:
        """Counts of stem and head, or of the backbone outside the slots."""
        if self.backbone is not None:
            return self.backbone.counts
        return count_block(self.stem, self.stem_input) + self.head.counts

    def counts(self, architecture: Architecture) -> Counts:
        """Counts of a whole architecture, fixed parts included."""
        total = self.fixed_counts
        for slot, choice in zip(self.slots, architecture.choices, strict=True):
            total = total + self.count_choice(slot, choice)
        return total

    def macs_range(self) -> tuple[int, int]:
        """The least and the most MACs of any architecture."""
        per_slot = [[self.count_choice(s, c).macs for c in s.choices] for s in self.slots]
        fixed = self.fixed_counts.macs
        return fixed + sum(map(min, per_slot)), fixed + sum(map(max, per_slot))
