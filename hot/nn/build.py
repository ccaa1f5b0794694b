"""Architectures as torch modules: of a space written down as YAML, or grafted onto a backbone."""

from typing import cast

from torch import Tensor, nn

from hot.nn.blocks import BlockModule, HeadModule, initialise, make_body
from hot.nn.graft import Grafted
from hot.space import Architecture, Space


class Network(nn.Module):
    """An architecture as stem, slots (by name, each a sequence of blocks) and head.

    Images (B, C, H, W), normalised float32, to class scores (B, n_classes).
    """

    def __init__(self, space: Space, architecture: Architecture, dropout: float = 0.0) -> None:
        super().__init__()
        space.check(architecture)
        activation = space.rules.activation
        blocks: dict[str, list[nn.Module]] = {}
        for slot, _, block in space.blocks(architecture):
            blocks.setdefault(slot.name, []).append(make_body(block, space.rules))
        self.stem = BlockModule(space.stem, activation)
        self.slots = nn.ModuleDict({name: nn.Sequential(*part) for name, part in blocks.items()})
        self.head = HeadModule(space.head, activation, dropout)
        own = [part for row in blocks.values() for part in row if isinstance(part, BlockModule)]
        for part in (self.stem, *own, self.head):
            initialise(part)

    def part(self, name: str) -> nn.Module:
        """The block called `<slot>.<layer>`, for example `b3.0`."""
        slot, index = self._place(name)
        return slot[index]

    def set_part(self, name: str, block: nn.Module) -> None:
        """Put another block, of the same input and output shape, in the place of `part(name)`."""
        slot, index = self._place(name)
        slot[index] = block

    def _place(self, name: str) -> tuple[nn.Sequential, int]:
        slot, index = name.rsplit(".", 1)
        return cast(nn.Sequential, self.slots[slot]), int(index)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores of a batch of images."""
        x = self.stem(x)
        for slot in self.slots.values():
            x = slot(x)
        out: Tensor = self.head(x)
        return out


def build(space: Space, architecture: Architecture, dropout: float = 0.0) -> Network | Grafted:
    """The torch module of an architecture; `part` and `set_part` reach its replaceable blocks.

    New blocks are freshly initialised from torch's global generator. With a backbone, all that was
    not replaced has the backbone's weights, and state-dict keys outside of the parts are equal for
    all architectures of the space.

    Args:
        dropout: rate before the classifier, in training.

    Raises:
        SpaceError: the architecture is no point of the space.
    """
    if space.backbone is not None:
        return Grafted(space, architecture, dropout)
    return Network(space, architecture, dropout)
