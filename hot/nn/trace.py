"""One forward pass, recorded: calls of modules by hooks, operations and maps by torch's dispatcher.

Nothing is traced symbolically, so any network that runs can be recorded. Multiply-accumulates are
half of the FLOPs that torch's own counter finds (convolutions, matrix products, attention). Peak
activations assume that operations run in the recorded order, that a map dies after its last use,
and that what keeps a map's size (activations, norms, additions, dropout) works in place; pooling at
stride 1 is taken to do so too.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from hot.errors import SpaceError
from hot.nn.seeded import seeded
from hot.space import Counts, Shape

_ACTIVATIONS = {
    "relu": "relu",
    "hardtanh": "relu6",
    "hardswish": "hardswish",
    "silu": "silu",
    "gelu": "gelu",
}


@dataclass(frozen=True)
class Op:
    """One operation: its multiply-accumulates, and the maps it reads and writes, by number."""

    name: str
    macs: int
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    is_spatial: bool

    @property
    def activation(self) -> str | None:
        """The activation that it is, by hot's name; None for another operation."""
        return _ACTIVATIONS.get(self.name.rstrip("_"))


@dataclass
class Call:
    """The calls of one module; what is said of tensors holds for the last call.

    Attributes:
        start, end: the operations of the module in the recording.
        n_others: arguments that are no tensors, such as lists of tensors.
        has_written: whether it wrote its input in place.
        is_image: whether it read the network's input.
    """

    n_calls: int = 0
    start: int = 0
    end: int = 0
    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    out_versions: list[int] = field(default_factory=list)
    n_others: int = 0
    is_tensor_out: bool = False
    has_written: bool = False
    is_image: bool = False

    @property
    def shapes(self) -> tuple[Any, ...]:
        """What must not depend on the values of the input."""
        return (
            self.n_calls,
            [tuple(x.shape) for x in self.inputs],
            [tuple(x.shape) for x in self.outputs],
        )

    @property
    def is_written_later(self) -> bool:
        """Whether its input or output was written in place after it ran."""
        now = [x._version for x in (*self.inputs, *self.outputs)]
        return now != [*self.versions, *self.out_versions]


class _Log(TorchDispatchMode):
    """Keeps the operations of a pass; every map stays in memory until the recording is dropped."""

    def __init__(self, weights: set[int], counter: FlopCounterMode) -> None:
        super().__init__()
        self.weights = weights
        self.counter = counter
        self.ops: list[Op] = []
        self.sizes: dict[int, int] = {}
        self.roots: dict[int, int] = {}
        self.kept: list[Tensor] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        before = self.counter.get_total_flops()
        out = func(*args, **(kwargs or {}))
        flops = self.counter.get_total_flops() - before
        given = [x for x in tree_leaves((args, kwargs or {})) if isinstance(x, Tensor)]
        made = [x for x in tree_leaves(out) if isinstance(x, Tensor)]
        self.kept += made
        read = [x for x in given if storage(x) not in self.weights and is_map(x)]
        if given and all(storage(x) in self.weights for x in given):  # the exporter folds it
            self.weights.update(storage(x) for x in made)
            return out
        name = func.overloadpacket.__name__
        self._add_maps(
            read, [x for x in made if is_map(x)], is_new=func.overloadpacket in flop_registry
        )
        weight = next((x for x in given if x.dim() == 4 and storage(x) in self.weights), None)
        is_spatial = name == "convolution" and weight is not None and max(weight.shape[2:]) > 1
        self.ops.append(
            Op(
                name,
                flops // 2,
                tuple(self.roots[storage(x)] for x in read),
                tuple(self.roots[storage(x)] for x in made if is_map(x)),
                is_spatial,
            )
        )
        return out

    def _add_maps(self, read: list[Tensor], made: list[Tensor], is_new: bool) -> None:
        for x in (*read, *made):
            place = storage(x)
            if place in self.roots:
                continue
            first = read[0] if read and x is not read[0] else None
            in_place = first is not None and not is_new and first.numel() == x.numel()
            if in_place and first is not None and storage(first) in self.roots:
                self.roots[place] = self.roots[storage(first)]
            else:
                self.roots[place] = place
                self.sizes[place] = x.numel()


def is_map(x: Tensor) -> bool:
    """Whether a tensor holds features; indices, as of pooling, are gone in a deployed network."""
    return x.is_floating_point()


def storage(x: Tensor) -> int:
    """A number that tensors share which share memory, while one of them is alive."""
    return int(x.untyped_storage()._cdata)


@dataclass(frozen=True)
class Recording:
    """What one pass of a network in evaluation mode did, at batch size 1.

    Attributes:
        calls: by module path; a module that stands at several paths is under the first.
        ops: in order.
        output: what the network gave.
        folded: paths of batch norms that follow a convolution directly, and whether that has a
            bias of its own.
    """

    calls: dict[str, Call]
    ops: list[Op]
    sizes: dict[int, int]
    output: Any
    folded: dict[str, bool]
    kept: list[Tensor] = field(repr=False, default_factory=list)

    def macs(self, start: int, end: int) -> int:
        """Multiply-accumulates of a range of operations."""
        return sum(op.macs for op in self.ops[start:end])

    def peak(self, start: int, end: int, without: list[tuple[int, int]] | None = None) -> int:
        """Most elements alive at one operation of a range, for a map that is made or used in it.

        Args:
            without: ranges inside whose operations are not looked at.
        """
        first: dict[int, int] = {}
        last: dict[int, int] = {}
        made: set[int] = set()
        for index in range(start, end):
            op = self.ops[index]
            for root in (*op.reads, *op.writes):
                is_born_here = root in made or root not in op.reads
                first.setdefault(root, index if is_born_here else start)
                last[root] = index
            made.update(op.writes)
        skipped = {i for begin, stop in without or [] for i in range(begin, stop)}
        change = [0] * (end - start + 1)
        for root, begin in first.items():
            change[begin - start] += self.sizes[root]
            change[last[root] + 1 - start] -= self.sizes[root]
        most, alive = 0, 0
        for index in range(start, end):
            alive += change[index - start]
            if index not in skipped:
                most = max(most, alive)
        return most

    def depth(self, start: int, end: int) -> int:
        """Most spatial convolutions that follow each other in a range of operations."""
        depth: dict[int, int] = {}
        for op in self.ops[start:end]:
            here = max((depth.get(root, 0) for root in op.reads), default=0) + op.is_spatial
            for root in op.writes:
                depth[root] = max(here, depth.get(root, 0))
        return max(depth.values(), default=0)


def record(network: nn.Module, shape: Shape, seed: int = 0) -> Recording:
    """One pass of normal noise (1, C, H, W) through a network in evaluation mode.

    Raises:
        SpaceError: the network cannot run on such an input.
    """
    with seeded(seed):
        image = torch.randn(1, *shape)
    calls: dict[str, Call] = {}
    folded: dict[str, bool] = {}
    tensors = (*network.parameters(), *network.buffers())
    counter = FlopCounterMode(display=False)
    log = _Log({storage(x) for x in tensors}, counter)
    with _hooks(network, image, calls, folded, log), torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        try:
            with counter, log:
                output = network(image)
        except Exception as error:  # the user's code may raise anything
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise SpaceError(
                f"{type(network).__name__} cannot run on an input of shape (1, {shape.channels}, "
                f"{shape.height}, {shape.width}): {reason[0]}; give another example or resolution"
            ) from error
    return Recording(calls, log.ops, log.sizes, output, folded, [image, *log.kept])


@contextmanager
def _hooks(
    network: nn.Module, image: Tensor, calls: dict[str, Call], folded: dict[str, bool], log: _Log
) -> Iterator[None]:
    convs: dict[int, nn.Module] = {}

    def before(path: str, args: Any, kwargs: Any) -> None:
        call = calls.setdefault(path, Call())
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        call.n_calls += 1
        call.start = len(log.ops)
        call.inputs = given
        call.n_others = sum(not isinstance(x, Tensor) for x in (*args, *kwargs.values()))
        call.versions = [x._version for x in given]
        call.is_image = any(storage(x) == storage(image) for x in given)

    def after(path: str, module: nn.Module, out: Any) -> None:
        call = calls[path]
        call.end = len(log.ops)
        call.outputs = [x for x in tree_leaves(out) if isinstance(x, Tensor)]
        call.is_tensor_out = isinstance(out, Tensor)
        call.out_versions = [x._version for x in call.outputs]
        call.has_written = call.versions != [x._version for x in call.inputs]
        if isinstance(module, nn.Conv2d) and call.is_tensor_out:
            convs[id(out)] = module
        if isinstance(module, nn.BatchNorm2d) and len(call.inputs) == 1:
            conv = convs.get(id(call.inputs[0]))
            if conv is not None:
                folded[path] = getattr(conv, "bias", None) is not None

    handles = []
    for path, module in network.named_modules():
        handles.append(
            module.register_forward_pre_hook(
                lambda m, a, k, path=path: before(path, a, k), with_kwargs=True
            )
        )
        handles.append(
            module.register_forward_hook(lambda m, a, out, path=path: after(path, m, out))
        )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def count_modules(recording: Recording, modules: dict[str, nn.Module]) -> Counts:
    """Parameters of modules (by path, without those inside them), and their deployed elements.

    A batch norm that follows a convolution is folded into it and leaves one bias a channel.
    """
    params: dict[int, Tensor] = {}
    weights = biases = 0
    for path, module in modules.items():
        own = [p for p in module.parameters(recurse=False) if id(p) not in params]
        params |= {id(p): p for p in own}
        if path in recording.folded and isinstance(module, nn.BatchNorm2d):
            biases += 0 if recording.folded[path] else module.num_features
            continue
        weights += sum(p.numel() for p in own if p.dim() > 1)
        biases += sum(p.numel() for p in own if p.dim() <= 1)
    return Counts(params=sum(p.numel() for p in params.values()), weights=weights, biases=biases)
