"""Architectures grafted onto a backbone: its blocks replaced, all else kept with its weights."""

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import dropout as drop

from hot.nn.blocks import build_block
from hot.space import Architecture, Backbone, Space


class Part(nn.Module):
    """The place of one part; the block in it is a child whose name tells the part.

    The exporter puts that name into the names of the block's nodes; see `hot.export`.
    """

    def __init__(self, name: str, block: nn.Module) -> None:
        super().__init__()
        slot, index = name.rsplit(".", 1)
        self.child = f"part-{slot}-{index}"
        self.add_module(self.child, block)

    @property
    def block(self) -> nn.Module:
        """The block that stands here."""
        return self.get_submodule(self.child)

    def replace(self, block: nn.Module) -> None:
        """Put another block here."""
        self.add_module(self.child, block)

    def forward(self, x: Tensor) -> Tensor:
        """What the block makes of (B, C, H, W)."""
        out: Tensor = self.block(x)
        return out


class InputDropout:
    """A hook that drops inputs of a module in training, as `nn.Dropout` before it would."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """The module's inputs, the first one dropped at the rate."""
        first, *rest = inputs
        return (drop(first, self.rate, module.training), *rest)


class Grafted(nn.Module):
    """An architecture of a space with a backbone.

    Images (B, C, H, W), normalised float32, to what the backbone gives, (B, n_classes).
    """

    def __init__(self, space: Space, architecture: Architecture, dropout: float = 0.0) -> None:
        super().__init__()
        space.check(architecture)
        backbone = space.backbone
        if backbone is None:
            raise ValueError(f"the space {space.key} has no backbone")
        self.network: nn.Module = backbone.make()
        self.network.train()
        self._paths: dict[str, str] = {}
        places = dict(backbone.places)
        for name, (_, _, block) in zip(space.parts, space.blocks(architecture), strict=True):
            self._paths[name] = put(
                self.network, places[name], Part(name, build_block(block, space.rules))
            )
        _drop_before_classifier(self.network, backbone, dropout)

    def part(self, name: str) -> nn.Module:
        """The block called `<slot>.<layer>`, for example `layer2_0.0`."""
        return self._place(name).block

    def set_part(self, name: str, block: nn.Module) -> None:
        """Put another block, of the same input and output shape, in the place of `part(name)`."""
        self._place(name).replace(block)

    def _place(self, name: str) -> Part:
        place = self.network.get_submodule(self._paths[name])
        if not isinstance(place, Part):
            raise ValueError(f"no part stands at {self._paths[name]}")
        return place

    def forward(self, x: Tensor) -> Tensor:
        """What the backbone gives for a batch of images."""
        out: Tensor = self.network(x)
        return out


def put(network: nn.Module, paths: tuple[str, ...], module: nn.Module) -> str:
    """Put `module` in the place of the modules at `paths`, of which the later ones become nothing.

    Returns the path at which it stands.
    """
    for path in paths[1:]:
        _set(network, path, nn.Identity())
    _set(network, paths[0], module)
    return paths[0]


def _set(network: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, child = path.rpartition(".")
    network.get_submodule(parent)._modules[child] = module


def _drop_before_classifier(network: nn.Module, backbone: Backbone, rate: float) -> None:
    if rate and backbone.classifier is not None:
        network.get_submodule(backbone.classifier).register_forward_pre_hook(InputDropout(rate))
