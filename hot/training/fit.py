"""One training: an architecture, data and a recipe in, the best weights out."""

import contextlib
import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import torch

from hot.errors import InputError, TrainingError
from hot.files import atomic_path
from hot.nn import Library, write_tensors
from hot.records import Recipe, TrainResult, load_record, save_record
from hot.space import Architecture, Space
from hot.tasks import TASKS, ImageData, Task
from hot.training.checkpoint import load_checkpoint, remove_checkpoints
from hot.training.distill import check_library
from hot.training.evaluate import evaluate
from hot.training.loop import Report, count_steps, probe, run_epochs, start
from hot.training.machine import find_device
from hot.training.recipe import check_recipe

BEST, RESULT = "best.pt", "result.json"
log = logging.getLogger(__name__)


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
    library: Library | None = None,
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
        library: the weights that the recipe starts from or is taught by, where it asks for them.

    Raises:
        DataError: the data do not fit the space.
        InputError: a number or name of the recipe is not allowed, or it asks for the weights of a
            library and there is none, or none that fits.
        TrainingError: the loss is not finite, or the folder holds another or a damaged training.
        StorageError: the folder cannot be written.
    """
    check_recipe(recipe)
    task.check_head(space, data)
    where = find_device(device)
    inherited = check_library(recipe, library, space, architecture)
    fingerprint = _fingerprint(space, architecture, data, recipe, where, candidate, inherited)
    finished = _load_finished(folder, fingerprint)
    if finished is not None:
        return finished
    batch, n_steps = count_steps(recipe, data)
    with _torch_settings(where, n_threads):
        state = start(space, architecture, recipe, where, library)
        stored = load_checkpoint(folder, fingerprint)
        if stored is None:
            state.precision = probe(state, data, recipe, task)
        else:
            state.restore(stored)
        outcome = run_epochs(state, data, recipe, folder, fingerprint, report, task)
        state.module.load_state_dict(state.best)
        test_metric = evaluate(state.module, data.test, data, task)
        n_seen = batch * n_steps * len(state.history)
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
            n_images_seen=n_seen,
            n_images_taught=n_seen if recipe.has_teacher else 0,
        )
    with atomic_path(folder / BEST) as temporary:
        write_tensors(temporary, state.best)
    save_record(folder / RESULT, result)
    remove_checkpoints(folder)
    return result


def _fingerprint(
    space: Space,
    architecture: Architecture,
    data: ImageData,
    recipe: Recipe,
    device: torch.device,
    candidate: str,
    inherited: str,
) -> str:
    """What identifies a training: everything that decides its weights, and whose they are."""
    numbers = json.dumps(recipe.numbers, sort_keys=True)
    parts = [space.key, architecture.key, data.digest, numbers, device.type, candidate]
    if space.backbone is not None:
        parts.append(space.backbone.weights)
    if inherited:  # without it, trainings are what they were before there were libraries
        parts.append(inherited)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _load_finished(folder: Path, fingerprint: str) -> TrainResult | None:
    if not (folder / RESULT).is_file():
        return None
    try:
        result = load_record(folder / RESULT, TrainResult)
    except InputError as error:
        log.warning("%s; it is trained anew", error)
        return None
    if result.fingerprint != fingerprint:
        raise TrainingError(
            f"{folder} holds another training ({result.fingerprint[:12]}, this one is "
            f"{fingerprint[:12]}): its recipe, architecture or data differ; choose another folder"
        )
    if not (folder / BEST).is_file():
        log.warning("%s is missing; it is trained anew", folder / BEST)
        return None
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
