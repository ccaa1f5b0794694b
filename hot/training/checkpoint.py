"""Checkpoints of a training: whole or absent, two generations, of one training only."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from hot.errors import TrainingError
from hot.files import atomic_path
from hot.nn import load_state, read_tensors, write_tensors
from hot.records import EpochRow

LATEST, PREVIOUS = "checkpoint.pt", "previous.pt"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """Everything a training needs to go on after an epoch to the result it would have had.

    The random numbers of an epoch follow from the recipe's seed and the epoch, and the learning
    rate from the step, so that the number of finished epochs stands for both their states.

    Attributes:
        fingerprint: what identifies the training; see `hot.training.fit`.
        precision: the precision that was probed.
        history: the finished epochs.
        best: the weights to keep so far, and `best_epoch` where they are from.
        ema: the averaged weights, or None without averaging.
    """

    fingerprint: str
    precision: str
    history: tuple[EpochRow, ...]
    best_epoch: int
    best: dict[str, Tensor]
    model: dict[str, Tensor]
    ema: dict[str, Tensor] | None
    optimizer: dict[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write the checkpoint of an epoch; the one before it stays as the previous generation.

    Raises:
        StorageError: the folder cannot be written or the disk is full.
    """
    content = dict(vars(checkpoint))
    content["history"] = [vars(row) for row in checkpoint.history]
    with atomic_path(folder / LATEST) as temporary:
        write_tensors(temporary, content)
        if (folder / LATEST).exists():
            os.replace(folder / LATEST, folder / PREVIOUS)


def load_checkpoint(folder: Path, fingerprint: str) -> Checkpoint | None:
    """The newest good checkpoint in `folder`; None where there is none.

    A damaged checkpoint is passed over for the previous one; where both are damaged, nothing is
    left to go on from, and the training starts anew.

    Raises:
        TrainingError: it belongs to another training.
    """
    for path in (folder / LATEST, folder / PREVIOUS):
        if not path.exists():
            continue
        try:
            content = read_tensors(path, TrainingError)
            content["history"] = tuple(EpochRow(**row) for row in content["history"])
            checkpoint = Checkpoint(**content)
        except (TrainingError, KeyError, TypeError) as error:
            log.warning("the checkpoint %s is damaged: %s", path, error)
            continue
        if checkpoint.fingerprint != fingerprint:
            raise TrainingError(
                f"{path} belongs to another training ({checkpoint.fingerprint[:12]}, this one is "
                f"{fingerprint[:12]}): its recipe, architecture or data differ; "
                "choose another folder or remove this one"
            )
        return checkpoint
    return None


def remove_checkpoints(folder: Path) -> None:
    """Remove the checkpoints of a training that has ended."""
    for name in (LATEST, PREVIOUS):
        (folder / name).unlink(missing_ok=True)


def load_weights(path: str | os.PathLike[str], module: nn.Module) -> None:
    """Load the weights that a training left in `path` (`best.pt`) into `module`.

    Raises:
        TrainingError: there is no such file, it is damaged, or it is of another architecture.
    """
    if not Path(path).is_file():
        raise TrainingError(f"no weights at {path}; check the path, or run the training")
    state = read_tensors(Path(path), TrainingError)
    advice = "they are of another architecture or space"
    load_state(module, state, Path(path), advice, TrainingError)
