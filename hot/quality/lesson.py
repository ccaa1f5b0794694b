"""What all slots share in distillation: the original network, the images, what identifies it."""

import hashlib
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hot.errors import InputError
from hot.nn import Library, build, fold_norms, seeded
from hot.quality.contract import Evidence
from hot.quality.measures import MEASURES
from hot.quality.plug import Images, run
from hot.quality.settings import check_distill
from hot.records import DistillSettings
from hot.space import Space
from hot.training.machine import find_device
from hot.training.precision import choose_precision

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lesson:
    """What all slots share."""

    space: Space
    library: Library
    network: Any
    train: Images
    held_out: Images
    outputs: Tensor
    targets: Tensor
    precision: str
    settings: DistillSettings
    seed: int
    fingerprint: str

    def folder(self, parent: Path) -> Path:
        """Where unfinished work is kept: every set of numbers has a folder of its own."""
        return parent / f"distill-{self.fingerprint[:12]}"

    def scores(self, outputs: Tensor) -> dict[str, float]:
        """Every measure of some outputs for the held-out images."""
        task = self.held_out.task
        return {
            name: measure(outputs, self.outputs, self.targets, task)
            for name, measure in MEASURES.items()
        }


def prepare(space: Space, evidence: Evidence) -> Lesson:
    """The original network, the images and what identifies the work."""
    data, library, settings = evidence.data, evidence.library, evidence.distill
    if data is None or library is None:
        raise ValueError("distill needs data and a library")
    check_distill(settings)
    if not library.has_original():
        raise InputError(
            f"the library {library.folder} has no trained original network to learn from; train "
            "the space's original and keep it with Library.save_original"
        )
    evidence.task.check_head(space, data)
    device = find_device(evidence.device)
    with seeded(evidence.seed):
        network: Any = fold_norms(library.original())
    network = network.to(device, memory_format=torch.channels_last)
    network.requires_grad_(False).eval()
    rng = np.random.default_rng(evidence.seed)
    train = Images(data.train, rng.permutation(len(data.train)), data, evidence.task, device)
    held = np.arange(min(settings.n_measure, len(data.val)))
    held_out = Images(data.val, held, data, evidence.task, device)
    precision = _choose_precision(space, settings, train)
    outputs = run(network, held_out, precision)
    targets = held_out.targets()
    _warn_if_untrained(outputs, targets, held_out, rng)
    identity = {**asdict(settings), "measure": "", "seed": evidence.seed, "space": space.key}
    text = f"{identity} {data.digest} {library.digest_of(space.original)}"
    return Lesson(
        space,
        library,
        network,
        train,
        held_out,
        outputs,
        targets,
        precision,
        settings,
        evidence.seed,
        hashlib.sha256(text.encode()).hexdigest(),
    )


def _choose_precision(space: Space, settings: DistillSettings, images: Images) -> str:
    """The precision of all work, probed with training steps of the original network."""
    batch = images.batch(np.arange(min(settings.batch, len(images))))

    def make() -> nn.Module:
        with seeded(0):
            module: Any = build(space, space.original)
        out: nn.Module = module.to(images.device, memory_format=torch.channels_last)
        return out

    return choose_precision(settings.precision, make, batch, batch, lambda out, _: out.sum())


def _warn_if_untrained(
    outputs: Tensor, targets: Tensor, images: Images, rng: np.random.Generator
) -> None:
    """Warn where the metric is what the same outputs reach when dealt to the images at random."""
    task = images.task
    metric = task.score(outputs, targets)
    dealt = [task.score(outputs[rng.permutation(len(outputs))], targets) for _ in range(20)]
    sign = 1 if task.higher_is_better else -1
    if sign * (metric - float(np.mean(dealt))) < 5 * float(np.std(dealt)):
        log.warning(
            "the original network's %s is %.4f on %d images, no better than chance (%.4f): it has "
            "nothing to teach; train it first",
            task.metric,
            metric,
            len(images),
            float(np.mean(dealt)),
        )
