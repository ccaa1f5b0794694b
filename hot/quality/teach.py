"""Blocks that learn the output of the original network's block from its input."""

import contextlib
import itertools
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hot.quality.plug import EVAL_BATCH, Images, features
from hot.records import DistillSettings
from hot.training.precision import autocast

N_CALIBRATION = 8  # batches that batch normalisation takes its statistics from after the last step
_LEAST_BATCHES = 4  # a cache of fewer would teach from too few images: features are then streamed
log = logging.getLogger(__name__)


@dataclass
class Pupil:
    """A block that is taught; what went wrong with it, if anything did, is in `failure`.

    Attributes:
        error: its squared error over the variance of the target, at the last steps.
    """

    name: str
    module: nn.Module
    error: float = math.nan
    failure: str = ""
    losses: list[Tensor] = field(default_factory=list)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What is trained."""
        return [p for p in self.module.parameters() if p.requires_grad]


@contextlib.contextmanager
def guarded(pupil: Pupil) -> Iterator[None]:
    """Whatever fails inside ends with its reason in the pupil.

    A block may come from anywhere and fail in any way; that must not end the work on the others.
    """
    try:
        yield
    except Exception as error:
        pupil.failure = f"{type(error).__name__}: {error}".splitlines()[0]


class Features:
    """Inputs and outputs of the original block for batches of images.

    They are cached where they fit into the memory limit, otherwise computed for every batch.

    Attributes:
        n_passes: images that ran through the original network up to the block.
        n_images: images that are used at all.
    """

    def __init__(
        self, network: Any, part: str, images: Images, settings: DistillSettings, precision: str
    ) -> None:
        self.network, self.part, self.images, self.precision = network, part, images, precision
        self.batch_size = min(settings.batch, len(images))
        x, y = self._compute(np.arange(self.batch_size))
        fitting = int(settings.feature_mib * 2**20 * self.batch_size / (x.nbytes + y.nbytes))
        wanted = min(len(images), settings.steps * self.batch_size)
        least = min(wanted, _LEAST_BATCHES * self.batch_size)
        self.is_cached = fitting >= least
        self.n_images = min(wanted, fitting) if self.is_cached else wanted
        self.n_passes = self.batch_size
        self.cache: tuple[Tensor, Tensor] | None = None
        if self.is_cached:
            self.cache = self._fill(x, y)

    def _fill(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        channels_last = {"memory_format": torch.channels_last} if x.ndim == 4 else {}
        inputs = x.new_empty((self.n_images, *x.shape[1:])).contiguous(**channels_last)
        outputs = y.new_empty((self.n_images, *y.shape[1:])).contiguous(**channels_last)
        for start in range(0, self.n_images, EVAL_BATCH):
            indices = np.arange(start, min(start + EVAL_BATCH, self.n_images))
            inputs[start : start + len(indices)], outputs[start : start + len(indices)] = (
                self._compute(indices)
            )
        self.n_passes += self.n_images
        return inputs, outputs

    def _compute(self, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        with autocast(self.precision, self.images.device):
            return features(self.network, self.part, self.images.batch(indices))

    def get(self, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        """Input and output of the original block for these images."""
        if self.cache is None:
            self.n_passes += len(indices)
            return self._compute(indices)
        where = torch.from_numpy(indices).to(self.images.device)
        return self.cache[0][where], self.cache[1][where]

    def batches(self, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches without end, every image once in a round, each round in a new order."""
        while True:
            order = rng.permutation(self.n_images)
            for start in range(0, self.n_images - self.batch_size + 1, self.batch_size):
                yield self.get(order[start : start + self.batch_size])


def teach(
    pupils: list[Pupil], source: Features, settings: DistillSettings, rng: np.random.Generator
) -> None:
    """Train all pupils side by side on the same batches, each against the original's output.

    Normalised feature error of a pupil f at input x and target y: E[(f(x) - y)²] / Var[y], the
    variance about the mean of each channel: 1 is what a constant reaches.
    """
    batches = source.batches(rng)
    x, y = next(batches)
    scale = 1.0 / max(float((y.float() - _channel_mean(y)).square().mean()), 1e-12)
    for pupil in pupils:
        pupil.module.train()
    learners = [p for p in pupils if not p.failure and p.parameters]
    if learners:
        optimizer = OPTIMIZERS[settings.optimizer](
            [w for pupil in learners for w in pupil.parameters], settings.learning_rate
        )
        for step, (x, y) in enumerate(itertools.islice(batches, settings.steps)):
            rate = 0.5 * (1 + math.cos(math.pi * step / settings.steps)) * settings.learning_rate
            for group in optimizer.param_groups:
                group["lr"] = rate
            for pupil in learners:
                if not pupil.failure:
                    with guarded(pupil):
                        _backward(pupil, x, y, scale, source.precision)
                if pupil.failure:
                    pupil.module.zero_grad(set_to_none=True)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    held = list(itertools.islice(batches, N_CALIBRATION))
    for pupil in pupils:
        if not pupil.failure:
            with guarded(pupil):
                _finish(pupil, held, scale, source.precision)


def _channel_mean(y: Tensor) -> Tensor:
    axes = [axis for axis in range(y.ndim) if axis != 1]
    return y.float().mean(axes, keepdim=True)


def _error(pupil: Pupil, x: Tensor, y: Tensor, scale: float, precision: str) -> Tensor:
    with autocast(precision, x.device):
        found = pupil.module(x.clone())  # a block may change its input in place
    if found.shape != y.shape:
        raise ValueError(f"its output is {tuple(found.shape)}, the original's {tuple(y.shape)}")
    error: Tensor = (found.float() - y.float()).square().mean() * scale
    return error


def _backward(pupil: Pupil, x: Tensor, y: Tensor, scale: float, precision: str) -> None:
    error = _error(pupil, x, y, scale, precision)
    error.backward()  # type: ignore[no-untyped-call]
    pupil.losses.append(error.detach())


def _finish(pupil: Pupil, held: list[tuple[Tensor, Tensor]], scale: float, precision: str) -> None:
    """Batch-norm statistics of the final weights, and the error with them."""
    with torch.no_grad():
        with calibrating(pupil.module):
            for x, y in held:
                _error(pupil, x, y, scale, precision)
        pupil.module.eval()
        errors = [float(_error(pupil, x, y, scale, precision)) for x, y in held]
    pupil.error = float(np.mean(errors))
    if not math.isfinite(pupil.error):
        raise FloatingPointError(f"its feature error is {pupil.error}; lower the learning rate")


class calibrating:
    """Inside, running a module sets its batch-norm statistics to the mean over the batches run.

    Everything else of the module is as in evaluation.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.norms = [
            part
            for part in module.modules()
            if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.track_running_stats
        ]

    def __enter__(self) -> None:
        self.module.eval()
        self.momenta = [norm.momentum for norm in self.norms]
        for norm in self.norms:
            norm.train()
            norm.reset_running_stats()
            norm.momentum = None  # the plain mean of all batches

    def __exit__(self, *reason: object) -> None:
        for norm, momentum in zip(self.norms, self.momenta, strict=True):
            norm.momentum = momentum
        self.module.eval()


def _adam(weights: list[nn.Parameter], rate: float) -> torch.optim.Optimizer:
    return torch.optim.Adam(weights, lr=rate, foreach=True)


def _sgd(weights: list[nn.Parameter], rate: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(weights, lr=rate, momentum=0.9, nesterov=True, foreach=True)


OPTIMIZERS: dict[str, Callable[[list[nn.Parameter], float], torch.optim.Optimizer]] = {
    "adam": _adam,
    "sgd": _sgd,
}
