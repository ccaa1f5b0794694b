"""Which modules look like blocks: by class name where the name tells, else by structure.

The structural rule takes the smallest custom module that holds a spatial convolution and is more
than one convolution with its norm and activation, and climbs to its parent while the parent holds
just this one and no class like the parent's holds more (that would be a stage). Where no such
module is, single convolutions with norm and activation are taken: custom modules, and chains that
stand flat in an `nn.Sequential`.
"""

import fnmatch
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from torch import nn

from hot.errors import SpaceError, unknown_name

# Where structure alone does not tell: blocks of several blocks' like, and blocks that hold one
# convolution only. Patterns over class names of timm 1.0 and torchvision 0.29.
KNOWN_BLOCKS = (
    "InvertedResidual", "DepthwiseSeparableConv", "DepthwiseSeparable", "EdgeResidual",
    "CondConvResidual", "UniversalInvertedResidual", "MobileAttention",
    "MBConv", "MBConvBlock", "MbConvBlock", "FusedMBConv", "ResidualBlock",
    "BasicBlock", "Bottleneck", "PreActBasic", "PreActBottleneck", "PreBottleneck",
    "ResBottleneckBlock", "Bottle2neck", "ResNestBottleneck", "SelectiveKernelBasic",
    "SelectiveKernelBottleneck", "DlaBasic", "DlaBottleneck", "DlaBottle2neck",
    "BottleneckBlock", "DarkBlock", "EdgeBlock", "NormFreeBlock",
    "ConvNeXtBlock", "CNBlock", "MetaNeXtBlock", "RepVggBlock", "RepVGGBlock", "MobileOneBlock",
    "GhostBottleneck", "GhostBottleneckV3", "ShuffleUnit", "RepMixerBlock", "RepViTBlock",
    "RepVitBlock", "LayerBlock", "_LayerBlock",
)  # fmt: skip

_NORMS = (nn.BatchNorm2d, nn.GroupNorm, nn.InstanceNorm2d, nn.LocalResponseNorm)
_ACTS = (
    nn.ReLU, nn.ReLU6, nn.Hardswish, nn.SiLU, nn.GELU, nn.LeakyReLU, nn.ELU, nn.PReLU, nn.Mish,
    nn.Sigmoid, nn.Tanh, nn.Hardtanh, nn.CELU, nn.SELU, nn.Softplus,
)  # fmt: skip
_MOST_CHAINED = 3  # convolutions of a Sequential that is one block

Predicate = Callable[[str, nn.Module], bool]


@dataclass(frozen=True)
class Recogniser:
    """What is looked for, and what a module must fulfil to be taken.

    Attributes:
        network: where blocks are looked for.
        blocks: class names, dotted or not, with wildcards; known besides `KNOWN_BLOCKS`.
        predicate: decides alone where it is given.
        refuse: why the modules at some paths, which form one chain, cannot be replaced, or None.
            The second argument is whether it was found by structure alone.
    """

    network: nn.Module
    blocks: tuple[str, ...]
    predicate: Predicate | None
    refuse: Callable[[tuple[str, ...], bool], str | None]
    taken: list[tuple[str, ...]] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    def run(self) -> None:
        """Fill `taken` and `refused`.

        Raises:
            SpaceError: no module is of a class that `blocks` names.
        """
        every = {type(module) for module in self.network.modules()}
        kinds = {kind for kind in every if not kind.__module__.startswith("torch.nn.")}
        for pattern in self.blocks:
            if not any(_matches(kind, pattern) for kind in kinds):
                names = {kind.__name__ for kind in kinds}
                raise SpaceError(unknown_name("class of blocks in this network", pattern, names))
        self._by_name("", self.network)
        if self.predicate is not None:
            return
        units = self._count_units()
        for path in self._units("", self.network, units):
            self.taken.append((path,))
        for path, module in self._open_modules():
            if path and is_custom(module) and is_conv_norm_act(module) and is_spatial(module):
                self._try((path,), True)
        for path, module in self._open_modules():
            if type(module).forward is nn.Sequential.forward:
                self._chains(path, module)

    def _try(self, paths: tuple[str, ...], is_structural: bool) -> bool:
        """Take the modules, or note why not."""
        reason = self.refuse(paths, is_structural)
        if reason is None:
            self.taken.append(paths)
        else:
            self.refused.setdefault(paths[0], reason)
        return reason is None

    def _is_named(self, path: str, module: nn.Module) -> bool:
        if self.predicate is not None:
            return bool(self.predicate(path, module))
        kind = type(module)
        is_known = kind.__name__ in KNOWN_BLOCKS
        return is_known or any(_matches(kind, pattern) for pattern in self.blocks)

    def _by_name(self, path: str, module: nn.Module) -> None:
        if path and self._is_named(path, module) and self._try((path,), False):
            return
        for name, child in module.named_children():
            self._by_name(join(path, name), child)

    def _is_open(self, path: str) -> bool:
        """Whether nothing taken stands above, at or below a path."""
        return not any(
            one == path or one.startswith(f"{path}.") or path.startswith(f"{one}.")
            for paths in self.taken
            for one in paths
        )

    def _open_modules(self) -> Iterator[tuple[str, nn.Module]]:
        """Modules that hold and are held by nothing taken, and Sequentials that hold something."""
        for path, module in list(self.network.named_modules()):
            is_chain = type(module).forward is nn.Sequential.forward
            is_inside = any(path.startswith(f"{one}.") for paths in self.taken for one in paths)
            if not is_inside and (is_chain or self._is_open(path)):
                yield path, module

    def _count_units(self) -> dict[type[nn.Module], int]:
        """For every custom class the most units that one module of it holds."""
        most: dict[type[nn.Module], int] = {}

        def visit(path: str, module: nn.Module) -> int:
            if any(path == one for paths in self.taken for one in paths):
                return 1
            inside = sum(visit(join(path, n), child) for n, child in module.named_children())
            if is_custom(module):
                most[type(module)] = max(inside, most.get(type(module), 0))
                return max(inside, int(is_spatial(module) and not is_conv_norm_act(module)))
            return inside

        visit("", self.network)
        return most

    def _units(self, path: str, module: nn.Module, most: dict[type[nn.Module], int]) -> list[str]:
        """The paths that the structural rule finds at and below `path`."""
        if any(path == one for paths in self.taken for one in paths):
            return []
        inside = [
            unit
            for name, child in module.named_children()
            for unit in self._units(join(path, name), child, most)
        ]
        is_unit = is_custom(module) and is_spatial(module) and not is_conv_norm_act(module)
        if not path or not is_unit or len(inside) > 1 or not self._is_open(path):
            return inside
        if most[type(module)] > 1 or "Stage" in type(module).__name__:
            return inside
        reason = self.refuse((path,), True)
        if reason is None:
            return [path]
        self.refused.setdefault(path, reason)
        return inside

    def _chains(self, path: str, module: nn.Module) -> None:
        """Take conv, norm, activation chains of a Sequential, or all of it where it is a block."""
        rows = list(module.named_children())
        kinds = [kind_of(child) for _, child in rows]
        n_convs = kinds.count("conv")
        is_block = "other" not in kinds and 1 < n_convs <= _MOST_CHAINED and is_spatial(module)
        whole = tuple(join(path, name) for name, _ in rows)
        if path and is_block and self._is_open(path) and self._try(whole, True):
            return
        for start, kind in enumerate(kinds):
            if kind != "conv":
                continue
            end = start + 1
            while end < len(kinds) and kinds[end] in ("norm", "act"):
                end += 1
            parts = tuple(join(path, name) for name, _ in rows[start:end])
            is_free = all(self._is_open(part) for part in parts)
            if end > start + 1 and is_free and is_spatial(rows[start][1]):
                self._try(parts, True)


def _matches(kind: type[nn.Module], pattern: str) -> bool:
    """Whether a class has the name, dotted or not, that may hold wildcards."""
    names = (kind.__name__, f"{kind.__module__}.{kind.__qualname__}")
    return any(fnmatch.fnmatchcase(name, pattern) for name in names)


def join(path: str, name: str) -> str:
    """The path of a child."""
    return f"{path}.{name}" if path else name


def is_custom(module: nn.Module) -> bool:
    """Whether a module is more than one of torch's own layers, or one that stands in for it."""
    own = type(module).__module__.startswith("torch.nn.")
    leaf = isinstance(module, (nn.Conv2d, *_NORMS, nn.Linear, nn.Sequential, nn.ModuleList))
    return not own and not leaf and any(True for _ in module.children())


def convs(module: nn.Module) -> list[nn.Conv2d]:
    """All two-dimensional convolutions at and below a module."""
    return [part for part in module.modules() if isinstance(part, nn.Conv2d)]


def is_spatial(module: nn.Module) -> bool:
    """Whether it holds a convolution with a kernel over more than one place."""
    return any(max(conv.kernel_size) > 1 for conv in convs(module))


def is_conv_norm_act(module: nn.Module) -> bool:
    """Whether a module is one convolution with what belongs to it."""
    return len(convs(module)) == 1 and not any(
        isinstance(part, nn.Linear) for part in module.modules()
    )


def kind_of(module: nn.Module) -> str:
    """`conv`, `norm`, `act` or `other`, for a member of a chain."""
    if isinstance(module, nn.Conv2d):
        return "conv"
    if isinstance(module, _NORMS):
        return "norm"
    return "act" if isinstance(module, (*_ACTS, nn.Identity)) else "other"
