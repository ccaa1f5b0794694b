"""The epochs of a training: its state, one pass over the data, and when it ends."""

import copy
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from hot.errors import TrainingError
from hot.interrupt import check_interrupt
from hot.nn import Library, build
from hot.records import EpochRow, Recipe
from hot.space import Architecture, Space
from hot.tasks import ImageData, Task
from hot.training.augment import augment, mixup
from hot.training.checkpoint import Checkpoint, save_checkpoint
from hot.training.distill import Teacher, make_teacher
from hot.training.evaluate import Normalise, evaluate_loss
from hot.training.precision import autocast, choose_precision
from hot.training.schedule import learning_rate, make_optimizer

if TYPE_CHECKING:
    from timm.utils import ModelEmaV3

log = logging.getLogger(__name__)

Report = Callable[[int, float], bool]


@dataclass
class State:
    """What changes while a network is trained."""

    module: nn.Module
    ema: "ModelEmaV3 | None"
    optimizer: torch.optim.Optimizer
    precision: str
    history: list[EpochRow]
    best_epoch: int
    best: dict[str, Tensor]
    teacher: Teacher | None = None

    @property
    def evaluated(self) -> nn.Module:
        """The network that is evaluated and kept: the averaged one where there is one."""
        return self.module if self.ema is None else self.ema.module

    def snapshot(self, fingerprint: str) -> Checkpoint:
        """The state as a checkpoint of the training called `fingerprint`."""
        return Checkpoint(
            fingerprint=fingerprint,
            precision=self.precision,
            history=tuple(self.history),
            best_epoch=self.best_epoch,
            best=self.best,
            model=self.module.state_dict(),
            ema=None if self.ema is None else self.ema.module.state_dict(),
            optimizer=self.optimizer.state_dict(),
        )

    def restore(self, stored: Checkpoint) -> None:
        """Go back to a checkpoint."""
        self.module.load_state_dict(stored.model)
        if self.ema is not None and stored.ema is not None:
            self.ema.module.load_state_dict(stored.ema)
        self.optimizer.load_state_dict(stored.optimizer)
        self.precision = stored.precision
        self.history = list(stored.history)
        self.best_epoch, self.best = stored.best_epoch, stored.best


def start(
    space: Space,
    architecture: Architecture,
    recipe: Recipe,
    device: torch.device,
    library: Library | None,
) -> State:
    """The state before the first epoch: weights from the library, the rest from the seed."""
    torch.manual_seed(recipe.seed)
    module: nn.Module
    if recipe.inherit and library is not None:
        module = library.assemble(architecture, recipe.dropout)
    else:
        module = build(space, architecture, recipe.dropout)
    module = module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    ema = None
    if recipe.ema_decay:
        from timm.utils import ModelEmaV3  # here, because it takes seconds to import

        ema = ModelEmaV3(module, decay=recipe.ema_decay, use_warmup=True)
    teacher = None
    if recipe.has_teacher and library is not None:
        teacher = make_teacher(library, recipe, device)
    return State(module, ema, make_optimizer(module, recipe), "", [], -1, {}, teacher)


def probe(state: State, data: ImageData, recipe: Recipe, task: Task) -> str:
    """The precision to train in; see `choose_precision`."""
    indices = np.arange(min(recipe.batch_size, len(data.train)))
    images, targets = task.collate(data.train, indices)
    device = next(state.module.parameters()).device
    return choose_precision(
        recipe.precision,
        lambda: copy.deepcopy(state.module).train(),
        Normalise(data, device)(images),
        targets.to(device),
        lambda outputs, wanted: task.loss(outputs, wanted, recipe.label_smoothing),
    )


def run_epochs(
    state: State,
    data: ImageData,
    recipe: Recipe,
    folder: Path,
    fingerprint: str,
    report: Report | None,
    task: Task,
) -> str:
    """Train until the recipe, the patience or the report ends it; returns which, as a state."""
    sign = 1 if task.higher_is_better else -1
    is_pruned = False
    for row in state.history:
        is_pruned = report is not None and report(row.epoch, row.val_metric)
    while len(state.history) < recipe.epochs:
        epoch = len(state.history)
        if is_pruned:
            return "pruned"
        if recipe.patience and epoch - 1 - state.best_epoch >= recipe.patience:
            return "stopped"
        row = _run_epoch(state, data, recipe, epoch, task)
        best = state.history[state.best_epoch] if state.history else None
        state.history.append(row)
        if best is None or _merit(row, sign) > _merit(best, sign):
            state.best_epoch = epoch
            state.best = {k: v.detach().cpu().clone() for k, v in _weights(state).items()}
        save_checkpoint(folder, state.snapshot(fingerprint))
        is_pruned = report is not None and report(epoch, row.val_metric)
    return "complete"


def _merit(row: EpochRow, sign: int) -> tuple[float, float]:
    """Better epochs have the better metric; among equals, the lower loss."""
    return sign * row.val_metric, -row.val_loss


def _weights(state: State) -> dict[str, Tensor]:
    return state.evaluated.state_dict()


def _run_epoch(state: State, data: ImageData, recipe: Recipe, epoch: int, task: Task) -> EpochRow:
    start = time.perf_counter()
    train_loss = _train_epoch(state, data, recipe, epoch, task)
    val_loss, val_metric = math.nan, math.nan
    if math.isfinite(train_loss):
        val_loss, val_metric = evaluate_loss(state.evaluated, data.val, data, task, state.precision)
    if not math.isfinite(val_loss):
        raise TrainingError(
            f"the loss is not finite in epoch {epoch} (training {train_loss}, validation "
            f"{val_loss}) at learning rate {recipe.learning_rate:g} with {recipe.optimizer}; "
            "lower the learning rate"
        )
    seconds = time.perf_counter() - start
    rate = float(state.optimizer.param_groups[0]["lr"])
    log.debug("epoch %d: loss %.4f, %s %.4f", epoch, train_loss, task.metric, val_metric)
    return EpochRow(epoch, train_loss, val_loss, val_metric, rate, seconds)


def _train_epoch(state: State, data: ImageData, recipe: Recipe, epoch: int, task: Task) -> float:
    """One pass over the training split; the mean loss.

    All random numbers of the epoch follow from the seed and the epoch alone. A last batch that is
    not full is left out (the order changes every epoch), so that all statistics weigh the same.
    """
    device = next(state.module.parameters()).device
    rng = np.random.default_rng([recipe.seed, epoch])
    torch.manual_seed(int(rng.integers(2**63)))  # dropout
    order = rng.permutation(len(data.train))
    batch, n_steps = count_steps(recipe, data)
    normalise = Normalise(data, device)
    state.module.train()
    total = torch.zeros((), device=device)
    for step in range(n_steps):
        check_interrupt()
        done = epoch * n_steps + step
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(recipe, done, n_steps)
        images, targets = task.collate(data.train, order[step * batch : (step + 1) * batch])
        images = normalise(augment(images.to(device), recipe, rng))
        loss = _loss(state, images, targets.to(device), recipe, rng, task)
        loss.backward()
        state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
        if state.ema is not None:
            state.ema.update(state.module, done + 1)
        total += loss.detach()
    return float(total) / n_steps


def count_steps(recipe: Recipe, data: ImageData) -> tuple[int, int]:
    """The images of a batch and the full batches of an epoch."""
    batch = min(recipe.batch_size, len(data.train))
    return batch, len(data.train) // batch


def _loss(
    state: State,
    images: Tensor,
    targets: Tensor,
    recipe: Recipe,
    rng: np.random.Generator,
    task: Task,
) -> Tensor:
    smoothing = recipe.label_smoothing
    order, weight = None, 1.0
    if recipe.mixup:
        images, order, weight = mixup(images, recipe.mixup, rng)

    def task_loss(outputs: Tensor) -> Tensor:
        if order is None:
            return task.loss(outputs, targets, smoothing)
        return weight * task.loss(outputs, targets, smoothing) + (1 - weight) * task.loss(
            outputs, targets[order], smoothing
        )

    with autocast(state.precision, images.device):
        if state.teacher is not None:
            return state.teacher.loss(state.module, images, task_loss)
        return task_loss(state.module(images))
