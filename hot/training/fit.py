"""The one training loop: an architecture, data and a recipe in, the best weights out."""

import contextlib
import copy
import dataclasses
import hashlib
import json
import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from hot.errors import InputError, TrainingError
from hot.files import atomic_path
from hot.nn import build
from hot.records import EpochRow, Recipe, TrainResult, load_record, save_record
from hot.space import Architecture, Space
from hot.tasks import TASKS, ImageData, Task
from hot.training.augment import augment, mixup
from hot.training.checkpoint import (
    Checkpoint,
    load_checkpoint,
    remove_checkpoints,
    save_checkpoint,
)
from hot.training.evaluate import Normalise, evaluate, evaluate_loss
from hot.training.precision import autocast, choose_precision
from hot.training.recipe import check_recipe
from hot.training.schedule import learning_rate, make_optimizer

BEST, RESULT = "best.pt", "result.json"
log = logging.getLogger(__name__)

Report = Callable[[int, float], bool]


def fit(
    space: Space,
    architecture: Architecture,
    data: ImageData,
    recipe: Recipe,
    folder: Path,
    *,
    candidate: str = "",
    trial: int = 0,
    n_threads: int | None = None,
    device: str | None = None,
    report: Report | None = None,
    root: Path | None = None,
    task: Task = TASKS["classification"],
) -> TrainResult:
    """Train an architecture and leave `best.pt` (weights) and `result.json` in `folder`.

    A checkpoint is written after every epoch; called again after a kill at any moment, this goes
    on and ends with the same weights, bit for bit on the same machine with the same threads. A
    finished training is not repeated: its result is returned. The same seed gives the same weights
    where the precision is fixed; `auto` probes it once a training, and its choice may change with
    the machine's load.

    Args:
        space: its class count and input shape must be the data's.
        architecture: a point of `space`.
        data: the splits; the weights of the best validation epoch are kept and tested.
        recipe: every number of the training.
        folder: of this training alone; made where missing.
        candidate: a name for the result.
        trial: a number for the result.
        n_threads: torch's threads on the CPU; None leaves them as they are.
        device: `cpu`, `cuda` or None for a GPU where there is one.
        report: called with (epoch, validation metric) after every epoch, and after a resume once
            more with the earlier ones; True ends the training as `pruned`.
        root: what the result's `checkpoint` is relative to; the folder itself by default.
        task: gives the loss and the metric.

    Raises:
        DataError: the data do not fit the space.
        InputError: a number or name of the recipe is not allowed.
        TrainingError: the loss is not finite, or the folder holds another or a damaged training.
        StorageError: the folder cannot be written.
    """
    check_recipe(recipe)
    task.check_head(space, data)
    where = _find_device(device)
    fingerprint = _fingerprint(space, architecture, data, recipe, where, candidate)
    finished = _load_finished(folder, fingerprint)
    if finished is not None:
        return finished
    with _torch_settings(where, n_threads):
        state = _start(space, architecture, data, recipe, where, task)
        stored = load_checkpoint(folder, fingerprint)
        if stored is None:
            state.precision = _probe(state, data, recipe, task)
        else:
            state.restore(stored)
        outcome = _run_epochs(state, data, recipe, folder, fingerprint, report, task)
        state.module.load_state_dict(state.best)
        test_metric = evaluate(state.module, data.test, data, task)
        result = TrainResult(
            candidate=candidate,
            architecture=architecture.key,
            recipe=recipe,
            metric=task.metric,
            val_metric=state.history[state.best_epoch].val_metric,
            test_metric=test_metric,
            best_epoch=state.best_epoch,
            history=tuple(state.history),
            checkpoint=str((folder / BEST).relative_to(root or folder)),
            seconds=sum(row.seconds for row in state.history),
            n_images=len(data.train),
            precision=state.precision,
            trial=trial,
            state=outcome,
            fingerprint=fingerprint,
            device=where.type,
            n_threads=torch.get_num_threads(),
        )
    with atomic_path(folder / BEST) as temporary:
        torch.save(state.best, temporary)
    save_record(folder / RESULT, result)
    remove_checkpoints(folder)
    return result


@dataclass
class _State:
    """What changes while a network is trained."""

    module: nn.Module
    ema: ModelEmaV3 | None
    optimizer: torch.optim.Optimizer
    precision: str
    history: list[EpochRow]
    best_epoch: int
    best: dict[str, Tensor]

    @property
    def evaluated(self) -> nn.Module:
        """The network that is evaluated and kept: the averaged one where there is one."""
        return self.module if self.ema is None else self.ema.module

    def snapshot(self, fingerprint: str) -> Checkpoint:
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
        self.module.load_state_dict(stored.model)
        if self.ema is not None and stored.ema is not None:
            self.ema.module.load_state_dict(stored.ema)
        self.optimizer.load_state_dict(stored.optimizer)
        self.precision = stored.precision
        self.history = list(stored.history)
        self.best_epoch, self.best = stored.best_epoch, stored.best


def _start(
    space: Space,
    architecture: Architecture,
    data: ImageData,
    recipe: Recipe,
    device: torch.device,
    task: Task,
) -> _State:
    torch.manual_seed(recipe.seed)
    module = build(space, architecture, recipe.dropout)
    module = module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    ema = None
    if recipe.ema_decay:
        ema = ModelEmaV3(module, decay=recipe.ema_decay, use_warmup=True)
    return _State(module, ema, make_optimizer(module, recipe), "", [], -1, {})


def _probe(state: _State, data: ImageData, recipe: Recipe, task: Task) -> str:
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


def _run_epochs(
    state: _State,
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


def _weights(state: _State) -> dict[str, Tensor]:
    return state.evaluated.state_dict()


def _run_epoch(state: _State, data: ImageData, recipe: Recipe, epoch: int, task: Task) -> EpochRow:
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


def _train_epoch(state: _State, data: ImageData, recipe: Recipe, epoch: int, task: Task) -> float:
    """One pass over the training split; the mean loss.

    All random numbers of the epoch follow from the seed and the epoch alone. A last batch that is
    not full is left out (the order changes every epoch), so that all statistics weigh the same.
    """
    device = next(state.module.parameters()).device
    rng = np.random.default_rng([recipe.seed, epoch])
    torch.manual_seed(int(rng.integers(2**63)))  # dropout
    order = rng.permutation(len(data.train))
    batch = min(recipe.batch_size, len(data.train))
    n_steps = len(data.train) // batch
    normalise = Normalise(data, device)
    state.module.train()
    total = torch.zeros((), device=device)
    for step in range(n_steps):
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


def _loss(
    state: _State,
    images: Tensor,
    targets: Tensor,
    recipe: Recipe,
    rng: np.random.Generator,
    task: Task,
) -> Tensor:
    smoothing = recipe.label_smoothing
    if not recipe.mixup:
        with autocast(state.precision, images.device):
            return task.loss(state.module(images), targets, smoothing)
    images, order, weight = mixup(images, recipe.mixup, rng)
    with autocast(state.precision, images.device):
        outputs = state.module(images)
        return weight * task.loss(outputs, targets, smoothing) + (1 - weight) * task.loss(
            outputs, targets[order], smoothing
        )


def _find_device(name: str | None) -> torch.device:
    has_gpu = torch.cuda.is_available()
    if name not in (None, "cpu", "cuda"):
        raise InputError(f"a network is trained on 'cpu' or 'cuda', not on {name!r}")
    if name == "cuda" and not has_gpu:
        raise InputError("torch finds no usable GPU here; train on 'cpu'")
    return torch.device("cuda" if has_gpu and name != "cpu" else "cpu")


def _fingerprint(
    space: Space,
    architecture: Architecture,
    data: ImageData,
    recipe: Recipe,
    device: torch.device,
    candidate: str,
) -> str:
    """What identifies a training: everything that decides its weights, and whose they are."""
    numbers = json.dumps(dataclasses.asdict(recipe), sort_keys=True)
    parts = (space.key, architecture.key, data.digest, numbers, device.type, candidate)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _load_finished(folder: Path, fingerprint: str) -> TrainResult | None:
    if not (folder / RESULT).is_file():
        return None
    result = load_record(folder / RESULT, TrainResult)
    if result.fingerprint != fingerprint:
        raise TrainingError(
            f"{folder} holds another training ({result.fingerprint[:12]}, this one is "
            f"{fingerprint[:12]}): its recipe, architecture or data differ; choose another folder"
        )
    if not (folder / BEST).is_file():
        raise TrainingError(f"{folder / BEST} is missing; remove {folder / RESULT} to train anew")
    return result


@contextlib.contextmanager
def _torch_settings(device: torch.device, n_threads: int | None) -> Iterator[None]:
    """Torch's settings for a repeatable and fast training; what was set before comes back."""
    before = torch.get_num_threads()
    gpus = [torch.cuda.current_device()] if device.type == "cuda" else []
    with (
        torch.random.fork_rng(devices=gpus),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
    ):
        if n_threads is not None:
            torch.set_num_threads(n_threads)
        torch.set_flush_denormal(True)
        try:
            yield
        finally:
            torch.set_flush_denormal(False)
            torch.set_num_threads(before)
