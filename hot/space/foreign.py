"""Parts of networks that only torch can build: a block, and the network around the slots; no torch.

What floors without torch need of them (names, shapes, counts, digests) was recorded once, by
`hot.nn`; the modules themselves are behind `make`, which is called where torch is at hand.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hot.space.counts import Counts, count_block
from hot.space.shapes import Block, Shape


@dataclass(frozen=True)
class Foreign:
    """A block whose body only torch knows; equal digests are equal work at equal input shapes.

    Attributes:
        name: the class of the module.
        digest: of the module's structure, not of its weights.
        shape: of the output.
        counts: for one sample at the input it was recorded with.
        make: gives a new `nn.Module` with its weights, if it has any of its own.
    """

    name: str
    digest: str
    shape: Shape
    counts: Counts
    make: Callable[[], Any] = field(repr=False, compare=False)

    def output(self, shape: Shape) -> Shape:
        """Shape of the output; `shape` is the one it was recorded with."""
        return self.shape


def count_body(body: Block | Foreign, shape: Shape) -> Counts:
    """Counts of either kind of block for an input of `shape`."""
    return body.counts if isinstance(body, Foreign) else count_block(body, shape)


@dataclass(frozen=True)
class Backbone:
    """The network whose blocks became slots: all that stands outside of them, and where they stood.

    Attributes:
        name: how the user called the model.
        digest: of the structure of the whole network, not of its weights.
        weights: digest of the weights.
        n_classes: outputs of the network.
        counts: of what stands outside the slots, for one sample.
        places: the name of every part, `<slot>.<layer>`, with the modules that it stands for, in
            order of execution: one block, or the members of a chain in one `nn.Sequential`.
        classifier: the last linear layer outside the slots, before which dropout acts; None where
            there is none.
        refused: modules that could be blocks but are not replaced, each with the reason.
        make: gives a new copy of the network, with its weights and the original blocks.
    """

    name: str
    digest: str
    weights: str
    n_classes: int
    counts: Counts
    places: tuple[tuple[str, tuple[str, ...]], ...]
    classifier: str | None
    refused: tuple[tuple[str, str], ...] = field(repr=False, compare=False)
    make: Callable[[], Any] = field(repr=False, compare=False)
