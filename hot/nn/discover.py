"""The replaceable blocks of any network, found from recorded passes; and why others are none."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from hot.errors import SpaceError
from hot.nn.recognise import Predicate, Recogniser
from hot.nn.trace import Call, Recording, count_modules, record, storage
from hot.space import Counts, Shape

_STRIDES = (1, 2, 4)
_MOST_DEPTH = 4  # spatial convolutions in a row; found by structure alone, more is a stage


@dataclass(frozen=True)
class Found:
    """A replaceable block: (C, H, W) to (C', H', W'), H' = H / stride rounded up.

    Attributes:
        paths: the module, or the members of a chain in one `nn.Sequential`, in order.
        name: the class of the module, or those of the chain's members.
        digest: of the structure and the shapes.
        has_skip: whether nothing at all may stand there: equal shapes, and no neighbour writes into
            its maps.
    """

    paths: tuple[str, ...]
    name: str
    digest: str
    input: Shape
    output: Shape
    stride: int
    counts: Counts
    has_skip: bool


@dataclass(frozen=True)
class Discovery:
    """What a network's recorded passes say of its blocks.

    Attributes:
        blocks: in order of execution.
        refused: modules that look like blocks but cannot be replaced, each with the reason.
        counts: of all that stands outside of the blocks.
        n_outputs: size of the network's output along its second axis.
        classifier: path of the last linear layer outside of the blocks.
        activation: the commonest activation, by hot's name.
        digest: of the structure of the network.
    """

    blocks: tuple[Found, ...]
    refused: tuple[tuple[str, str], ...]
    counts: Counts
    n_outputs: int
    classifier: str | None
    activation: str
    digest: str


def discover(
    network: nn.Module,
    shape: Shape,
    blocks: Sequence[str] = (),
    predicate: Predicate | None = None,
) -> Discovery:
    """The replaceable blocks of a network in evaluation mode.

    A block is called once, turns one map into one map (NCHW, its sides divided by 1, 2 or 4), does
    not read the image, shares nothing with the rest, and has shapes that do not depend on values.

    Args:
        shape: of the image, (C, H, W).
        blocks: class names of blocks, dotted or not, with wildcards, besides the known ones.
        predicate: of (path, module): whether it is a block; decides alone.

    Raises:
        SpaceError: the network cannot run on `shape`, or gives no scores.
    """
    recording = record(network, shape, seed=0)
    judge = _Judge(network, recording, record(network, shape, seed=1).calls)
    recogniser = Recogniser(network, tuple(blocks), predicate, judge.refuse)
    recogniser.run()
    judge.leave_stem(recogniser)
    found = sorted(
        (judge.describe(paths) for paths in recogniser.taken), key=lambda b: judge.start(b.paths)
    )
    inside = {p for block in found for path in block.paths for p in judge.below(path)}
    is_in_block = [False] * len(recording.ops)
    for block in found:
        for index in range(*judge.span(block.paths)):
            is_in_block[index] = True
    acts = Counter(op.activation for op, own in zip(recording.ops, is_in_block, strict=True) if own)
    del acts[None]
    refused = ((path, why) for path, why in recogniser.refused.items() if path not in inside)
    return Discovery(
        tuple(found),
        tuple(refused),
        _fixed_counts(judge, found),
        _n_outputs(network, recording),
        _classifier(network, recording, inside),
        acts.most_common(1)[0][0] if acts else "relu",  # type: ignore[arg-type]
        digest_of(network, str(shape), str([op.macs for op in recording.ops])),
    )


@dataclass
class _Judge:
    """Answers whether modules can be replaced, from two recordings of one network."""

    network: nn.Module
    recording: Recording
    again: dict[str, Call]
    modules: dict[str, nn.Module] = field(init=False)
    owners: dict[int, set[str]] = field(init=False)

    def __post_init__(self) -> None:
        self.modules = dict(self.network.named_modules())
        every = dict(self.network.named_modules(remove_duplicate=False))
        self.places = Counter(id(module) for module in every.values())
        self.owners = {}
        for path, module in self.modules.items():
            for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
                self.owners.setdefault(id(tensor), set()).add(path)

    def below(self, path: str) -> list[str]:
        """The path and all below it."""
        return [p for p in self.modules if p == path or p.startswith(f"{path}.")]

    def start(self, paths: tuple[str, ...]) -> int:
        """The first operation of a chain."""
        return self.span(paths)[0]

    def span(self, paths: tuple[str, ...]) -> tuple[int, int]:
        """The operations of a chain."""
        calls = self.recording.calls
        return calls[paths[0]].start, calls[paths[-1]].end

    def refuse(self, paths: tuple[str, ...], is_structural: bool) -> str | None:
        """Why the modules cannot be replaced as one block; None where they can."""
        for path in paths:
            reason = self._refuse_module(path)
            if reason is not None:
                return reason
        first, last = self.recording.calls[paths[0]], self.recording.calls[paths[-1]]
        source, target = Shape(*first.inputs[0].shape[1:]), Shape(*last.outputs[0].shape[1:])
        if first.has_written:
            return "it writes into its input in place"
        if first.is_image:
            return "it reads the image: the stem stays as it is"
        if _stride(source, target) is None:
            return f"it turns {source} into {target}, which no stride of 1, 2 or 4 does"
        if not self._is_nchw(paths, source, target):
            return f"its maps {source} are not laid out as channels, height, width"
        start, end = self.span(paths)
        depth = self.recording.depth(start, end)
        if is_structural and depth > _MOST_DEPTH:
            return f"{depth} spatial convolutions follow each other in it: a stage, not a block"
        return None

    def _refuse_module(self, path: str) -> str | None:
        call = self.recording.calls.get(path)
        if call is None or call.n_calls == 0:
            return "it is not called"
        if call.n_calls > 1:
            return f"it is called {call.n_calls} times"
        if len(call.inputs) != 1:
            return f"it takes {len(call.inputs)} tensors, not one"
        if call.n_others:
            return "it takes arguments that are not tensors, or its input in a list"
        if len(call.outputs) != 1 or not call.is_tensor_out:
            return f"it gives {len(call.outputs)} tensors or a structure, not one tensor"
        source, target = call.inputs[0], call.outputs[0]
        if source.dim() != 4 or target.dim() != 4:
            return f"it turns {source.dim()} axes into {target.dim()}, not a map into a map"
        if source.dtype != torch.float32 or target.dtype != torch.float32:
            return f"its maps are {source.dtype} and {target.dtype}, not float32"
        again = self.again.get(path)
        if again is None or again.shapes != call.shapes:
            return "its shapes depend on the values of the input"
        return self._refuse_shared(path)

    def _refuse_shared(self, path: str) -> str | None:
        below = set(self.below(path))
        if any(self.places[id(self.modules[p])] > 1 for p in below):
            return "it, or a module in it, stands at two places of the network"
        for p in below:
            module = self.modules[p]
            for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
                others = self.owners[id(tensor)] - below
                if others:
                    return f"it shares weights with {min(others)!r}"
        return None

    def _is_nchw(self, paths: tuple[str, ...], source: Shape, target: Shape) -> bool:
        """Whether what works on axes of known meaning finds channels first.

        A convolution must see maps of the sides that go in or come out; a linear layer or a layer
        norm, which work on the last axis, must not see the block's input as it is.
        """
        calls = self.recording.calls
        block_input = calls[paths[0]].inputs[0]
        sides = []
        for p in (p for path in paths for p in self.below(path) if p in calls and calls[p].inputs):
            given = calls[p].inputs[0]
            if isinstance(self.modules[p], nn.Conv2d):
                sides.append(tuple(given.shape[-2:]))
            is_last_axis = type(self.modules[p]) in (nn.Linear, nn.LayerNorm)
            is_as_it_came = given.shape == block_input.shape and given.is_contiguous()
            if is_last_axis and is_as_it_came and storage(given) == storage(block_input):
                return False
        return not sides or any(found in (source[1:], target[1:]) for found in sides)

    def leave_stem(self, recogniser: Recogniser) -> None:
        """Give back what stands in a module that reads the image and holds few of the blocks."""
        taken = list(recogniser.taken)
        for stem, call in self.recording.calls.items():
            if not stem or not call.is_image:
                continue
            inside = [paths for paths in taken if paths[0].startswith(f"{stem}.")]
            if len(inside) > len(taken) / 2:
                continue
            for paths in inside:
                if paths in recogniser.taken:
                    recogniser.taken.remove(paths)
                    recogniser.refused[paths[0]] = f"it is part of the stem {stem!r}, which stays"

    def describe(self, paths: tuple[str, ...]) -> Found:
        """A chain that is not refused."""
        calls = [self.recording.calls[path] for path in paths]
        source = Shape(*calls[0].inputs[0].shape[1:])
        target = Shape(*calls[-1].outputs[0].shape[1:])
        stride = _stride(source, target)
        if stride is None:
            raise ValueError(f"{paths} turn {source} into {target}")
        start, end = self.span(paths)
        modules = [self.modules[path] for path in paths]
        own = {p: self.modules[p] for path in paths for p in self.below(path)}
        macs = self.recording.macs(start, end)
        counts = count_modules(self.recording, own) + Counts(
            macs, peak_activations=max(source.volume, self.recording.peak(start, end))
        )
        return Found(
            paths,
            " ".join(type(module).__name__ for module in modules),
            digest_of(nn.ModuleList(modules), str(source), str(target), str(macs)),
            source,
            target,
            stride,
            counts,
            source == target and not calls[0].is_written_later and not calls[-1].is_written_later,
        )


def _stride(source: Shape, target: Shape) -> int | None:
    for stride in _STRIDES:
        if (-(-source.height // stride), -(-source.width // stride)) == target[1:]:
            return stride
    return None


def _fixed_counts(judge: _Judge, found: list[Found]) -> Counts:
    recording = judge.recording
    total = count_modules(recording, judge.modules)
    parts = sum((block.counts for block in found), Counts())
    spans = [judge.span(block.paths) for block in found]
    end = len(recording.ops)
    return Counts(
        recording.macs(0, end) - parts.macs,
        total.params - parts.params,
        total.weights - parts.weights,
        total.biases - parts.biases,
        recording.peak(0, end, spans),
    )


def _n_outputs(network: nn.Module, recording: Recording) -> int:
    out = recording.output
    if not isinstance(out, Tensor) or out.dim() < 2:
        what = f"axes {tuple(out.shape)}" if isinstance(out, Tensor) else type(out).__name__
        raise SpaceError(
            f"{type(network).__name__} gives {what}, not a tensor of scores (B, n_classes); "
            "wrap it in a module that gives one"
        )
    return int(out.shape[1])


def _classifier(network: nn.Module, recording: Recording, inside: set[str]) -> str | None:
    linear = [
        (recording.calls[path].start, path)
        for path, module in network.named_modules()
        if isinstance(module, nn.Linear) and path in recording.calls and path not in inside
    ]
    return max(linear)[1] if linear else None


def digest_of(module: nn.Module, *facts: str) -> str:
    """Eight hexadecimal digits of a module's structure: classes, settings, shapes of weights."""
    kinds = [f"{type(m).__module__}.{type(m).__qualname__}" for m in module.modules()]
    shapes = [f"{tuple(value.shape)}{value.dtype}" for value in module.state_dict().values()]
    text = "\n".join((repr(module), *kinds, *shapes, *facts))
    return hashlib.sha256(text.encode()).hexdigest()[:8]
