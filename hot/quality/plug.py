"""The original network with single parts in and out: features of a part, runs from a part on."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hot.errors import InputError
from hot.space import Slot, Space
from hot.tasks import ImageData, Split, Task
from hot.training.evaluate import Normalise
from hot.training.precision import autocast

EVAL_BATCH = 64  # small, so that maps stay in the cache


class _Reached(Exception):
    """The part whose features are wanted has run; nothing after it is needed."""


class _Silent(nn.Module):
    """Stands for a block whose output is not needed: zeros of its shape."""

    def __init__(self, out: Tensor) -> None:
        super().__init__()
        self.sample = out

    def forward(self, x: Tensor) -> Tensor:
        """Zeros (B, C, H, W)."""
        return self.sample.new_zeros(len(x), *self.sample.shape[1:])


class _Replay(nn.Module):
    """Runs `body` on the features that `feed` holds, whatever comes in."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.feed: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """The body's output for `feed`."""
        if self.feed is None:
            raise ValueError("no features to replay")
        out: Tensor = self.body(self.feed)
        return out


@dataclass(frozen=True)
class Images:
    """Images of a split, and how they are read: what a network is run on.

    Attributes:
        indices: of the images that are used, in order.
    """

    split: Split
    indices: np.ndarray
    data: ImageData
    task: Task
    device: torch.device

    def __len__(self) -> int:
        return len(self.indices)

    def batch(self, indices: np.ndarray) -> Tensor:
        """Normalised images (B, C, H, W) float32 by their number among the used ones."""
        images, _ = self.task.collate(self.split, self.indices[indices])
        return Normalise(self.data, self.device)(images)

    def targets(self) -> Tensor:
        """What the task wants of all used images."""
        return self.task.collate(self.split, self.indices)[1].to(self.device)

    def batches(self, size: int = EVAL_BATCH) -> Iterator[Tensor]:
        """All used images in order."""
        for start in range(0, len(self), size):
            yield self.batch(np.arange(start, min(start + size, len(self))))


@contextlib.contextmanager
def plugged(network: Any, parts: dict[str, nn.Module]) -> Iterator[Any]:
    """Inside, `network` has other blocks at these parts; after it, its own."""
    kept = {name: network.part(name) for name in parts}
    try:
        for name, module in parts.items():
            network.set_part(name, module)
        yield network
    finally:
        for name, module in kept.items():
            network.set_part(name, module)


def features(network: Any, part: str, images: Tensor) -> tuple[Tensor, Tensor]:
    """Input and output (B, C, H, W) of a part for `images`; what stands after it does not run.

    Raises:
        InputError: the network does not run this part, or gives it more than one input.
    """
    found: list[Tensor] = []

    def keep_input(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        if len(given) != 1 or named or not isinstance(given[0], Tensor):
            raise InputError(f"the block {part} takes more than one input; only one can be taught")
        found.append(given[0].detach().clone())  # a block may change its input in place

    def keep_output(module: nn.Module, given: tuple[Any, ...], out: Tensor) -> None:
        found.append(out.detach().clone())
        raise _Reached

    module = network.part(part)
    hooks = [
        module.register_forward_pre_hook(keep_input, with_kwargs=True),
        module.register_forward_hook(keep_output),
    ]
    try:
        with torch.no_grad(), contextlib.suppress(_Reached):
            network(images)
    finally:
        for hook in hooks:
            hook.remove()
    if len(found) != 2:
        raise InputError(f"the original network does not run the block {part}; leave its slot out")
    return found[0], found[1]


def run(network: nn.Module, images: Images, precision: str) -> Tensor:
    """Outputs (N, ...) float32 of a network in evaluation mode, for all images."""
    with torch.inference_mode(), autocast(precision, images.device):
        return torch.cat([network(batch).float() for batch in images.batches()])


class Suffix:
    """Runs the original network from a slot on, with other blocks in the slot.

    What stands before the slot does not run: its output for the images is held here, and the
    earlier blocks give zeros at no cost. That is right where nothing but the slot's input passes
    from before the slot to behind it; it is tried once, and where it is not, whole networks run.
    """

    def __init__(
        self,
        network: Any,
        space: Space,
        slot: Slot,
        images: Images,
        precision: str,
        whole: Tensor,
        limit_bytes: int,
    ) -> None:
        """Hold the slot's input.

        Args:
            whole: outputs of the original network for all images at this precision.
            limit_bytes: most memory for the slot's input; where it takes more, whole networks run.
        """
        self.network, self.images, self.precision = network, images, precision
        self.parts = slot.parts
        self.feeds: list[Tensor] | None = None
        names = space.parts
        before = names[: names.index(self.parts[0])]
        with autocast(precision, images.device):
            shapes = _outputs(network, before, images.batch(np.arange(1)))
            sample = features(network, self.parts[0], images.batch(np.arange(1)))[0]
            if len(images) * sample.nbytes > limit_bytes:
                return
            self.feeds = [features(network, self.parts[0], b)[0] for b in images.batches()]
        self.silent = {name: _Silent(out) for name, out in shapes.items()}
        again = self([network.part(name) for name in self.parts])
        if not torch.allclose(again, whole, rtol=1e-2, atol=1e-2 * float(whole.abs().max())):
            self.feeds = None

    def __call__(self, blocks: Sequence[nn.Module]) -> Tensor:
        """Outputs (N, ...) float32 with `blocks` in the slot."""
        if self.feeds is None:
            with plugged(self.network, dict(zip(self.parts, blocks, strict=True))):
                return run(self.network, self.images, self.precision)
        replay = _Replay(blocks[0])
        parts = {**self.silent, **dict(zip(self.parts, (replay, *blocks[1:]), strict=True))}
        outputs = []
        with (
            plugged(self.network, parts),
            torch.inference_mode(),
            autocast(self.precision, self.images.device),
        ):
            for batch, feed in zip(self.images.batches(), self.feeds, strict=True):
                replay.feed = feed.clone()  # a block may change its input in place
                outputs.append(self.network(batch).float())
        return torch.cat(outputs)


def _outputs(network: Any, names: Sequence[str], images: Tensor) -> dict[str, Tensor]:
    """The outputs of some parts."""
    found: dict[str, Tensor] = {}

    def keeper(name: str) -> Callable[..., None]:
        def keep(module: nn.Module, given: tuple[Any, ...], out: Tensor) -> None:
            found[name] = out.detach()

        return keep

    hooks = [network.part(name).register_forward_hook(keeper(name)) for name in names]
    try:
        with torch.no_grad():
            network(images)
    finally:
        for hook in hooks:
            hook.remove()
    return found
