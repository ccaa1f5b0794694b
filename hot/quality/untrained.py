"""First-order tables of scores that look at a whole untrained network."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hot.errors import InputError
from hot.nn import build, build_block, initialise, seeded
from hot.progress import progress
from hot.quality.contract import Evidence, check_left_out
from hot.quality.plug import Images, plugged
from hot.quality.settings import cores, find_processes
from hot.records import LeftOut, QualityTable
from hot.space import Architecture, Choice, Slot, Space
from hot.tasks import Task
from hot.training.machine import find_device

N_SEEDS = 3  # initialisations that every score is averaged over
BATCH = 32  # images of a batch; scores that need more take several
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Untrained:
    """A score of whole untrained networks.

    Attributes:
        probe: the score of a freshly initialised network, in training mode, from batches of images
            and their targets.
        n_batches: batches of `BATCH` training images that it takes; 0 for none.
        images: it costs as much as training steps on so many images.
    """

    name: str
    probe: Callable[[nn.Module, list[Tensor], list[Tensor], Task], float]
    n_batches: int
    images: float


def score_untrained(method: Untrained, space: Space, evidence: Evidence) -> QualityTable:
    """The first-order table of a score S of networks: S(original with one choice) - S(original).

    `fixed` is S(original), so that the original predicts its own score. All differences of one seed
    share the weights of the blocks that do not change.

    Assumption: choices act independently on S. `score_network` gives S of a network itself.

    Raises:
        InputError: the original network cannot be scored, or no choice of a slot.
    """
    start = time.perf_counter()
    work = [(slot, choice) for slot in space.slots for choice in slot.choices]
    found: dict[tuple[str, str], list[float]] = {(s.name, c.key): [] for s, c in work}
    reasons: dict[tuple[str, str], str] = {}
    bases = []
    with cores(find_processes(evidence)), progress(method.name, N_SEEDS * len(work)) as advance:
        for seed in range(evidence.seed, evidence.seed + N_SEEDS):
            network = make_untrained(space, space.original, evidence, seed)
            batches = draw_batches(space, evidence, method.n_batches, seed)
            base = method.probe(network, *batches, evidence.task)
            if not math.isfinite(base):
                raise InputError(f"{method.name} of the original network is {base}; use another")
            bases.append(base)
            for slot, choice in work:
                key = (slot.name, choice.key)
                if choice == slot.original:
                    found[key].append(0.0)
                elif key not in reasons:
                    value = _try(method, network, batches, space, slot, choice, evidence, seed)
                    if isinstance(value, str):
                        reasons[key] = value
                        log.warning("%s of %s is left out: %s", choice.key, slot.name, value)
                    else:
                        found[key].append(value - base)
                advance()
    left_out = tuple(LeftOut(*key, reason) for key, reason in reasons.items())
    check_left_out(space, left_out)
    n_images = round(N_SEEDS * method.images * (len(work) - len(space.slots) + 1))
    seconds = time.perf_counter() - start
    log.info("%s of %d choices: %.0f s, %d images", method.name, len(work), seconds, n_images)
    return QualityTable(
        space.key,
        method.name,
        tuple(
            tuple(
                None if (slot.name, key) in reasons else float(np.mean(found[slot.name, key]))
                for key in slot.keys
            )
            for slot in space.slots
        ),
        float(np.mean(bases)),
        seconds,
        n_images,
        left_out=left_out,
    )


def score_one(
    method: Untrained, space: Space, architecture: Architecture, evidence: Evidence
) -> float:
    """The score of one whole network, the mean over its initialisations."""
    values = []
    for seed in range(evidence.seed, evidence.seed + N_SEEDS):
        network = make_untrained(space, architecture, evidence, seed)
        batches = draw_batches(space, evidence, method.n_batches, seed)
        values.append(method.probe(network, *batches, evidence.task))
    return float(np.mean(values))


def _try(
    method: Untrained,
    network: nn.Module,
    batches: tuple[list[Tensor], list[Tensor]],
    space: Space,
    slot: Slot,
    choice: Choice,
    evidence: Evidence,
    seed: int,
) -> float | str:
    """The score with one choice plugged in, or why there is none."""
    try:
        blocks = _fresh_blocks(space, slot, choice, evidence, seed)
        with plugged(network, dict(zip(slot.parts, blocks, strict=True))):
            value = method.probe(network, *batches, evidence.task)
    except Exception as error:  # a choice may come from anywhere; the others go on
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return value if math.isfinite(value) else f"its score is {value}"


def _fresh_blocks(
    space: Space, slot: Slot, choice: Choice, evidence: Evidence, seed: int
) -> list[nn.Module]:
    blocks = []
    with seeded(seed):
        for layer in slot.layers:
            block = build_block(choice.block(layer, space.rules), space.rules)
            reset(block)
            blocks.append(block.to(find_device(evidence.device)))
    return blocks


def make_untrained(
    space: Space, architecture: Architecture, evidence: Evidence, seed: int
) -> nn.Module:
    """An architecture with weights drawn from a seed, those of a given backbone too."""
    with seeded(seed):
        network: Any = build(space, architecture)
        reset(network)
    out: nn.Module = network.to(find_device(evidence.device)).train()
    return out


def reset(module: nn.Module) -> None:
    """Draw all weights anew, as torch does for the kind of layer, then as `hot.nn` does."""
    for part in module.modules():
        draw = getattr(part, "reset_parameters", None)  # torch's layers have it, containers do not
        if draw is not None:
            draw()
    initialise(module)


def draw_batches(
    space: Space, evidence: Evidence, n_batches: int, seed: int
) -> tuple[list[Tensor], list[Tensor]]:
    """Batches of normalised training images (BATCH, C, H, W), and their targets.

    A score without data gets one image of ones.
    """
    data, device = evidence.data, find_device(evidence.device)
    if not n_batches:
        return [torch.ones(1, *space.stem_input, device=device)], []
    if data is None:
        raise ValueError("this score needs data")
    wanted = min(n_batches * BATCH, len(data.train))
    order = np.random.default_rng(seed).permutation(len(data.train))[:wanted]
    images, targets = [], []
    for indices in np.array_split(order, n_batches):
        used = Images(data.train, indices, data, evidence.task, device)
        images.append(used.batch(np.arange(len(indices))))
        targets.append(used.targets())
    return images, targets
