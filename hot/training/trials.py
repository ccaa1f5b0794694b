"""The worker's side: a process that trains the trials it is sent, one after another."""

import os
import signal
import sys
import threading
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from hot.errors import HotError, TrainingError
from hot.nn import Library
from hot.records import Recipe, TrainResult
from hot.space import Space
from hot.tasks import ImageData, find_task
from hot.training.fit import fit


@dataclass(frozen=True)
class Setup:
    """What all trials of a worker share."""

    space: Space
    data: ImageData
    task: str
    root: Path
    n_threads: int
    device: str | None
    library: Library | None


@dataclass(frozen=True)
class Job:
    """One trial of one candidate."""

    candidate: str
    architecture: str
    trial: int
    recipe: Recipe
    folder: Path


@dataclass(frozen=True)
class EpochDone:
    """The metric of an epoch; the answer is whether the trial is given up."""

    epoch: int
    value: float


@dataclass(frozen=True)
class Finished:
    """The trial ended with a result."""

    result: TrainResult


@dataclass(frozen=True)
class Failed:
    """The trial has no result, for a reason that is normal in a search."""

    reason: str


@dataclass(frozen=True)
class Refused:
    """The trial cannot run: the user's mistake, or the traceback of a bug."""

    error: HotError | str


Event = EpochDone | Finished | Failed | Refused


def main() -> None:
    """Serve the process that started this one, over the file descriptors in `sys.argv`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the starting process decides
    lifeline = int(sys.argv[2])
    threading.Thread(target=_die_with_parent, args=(lifeline,), daemon=True).start()
    with Connection(int(sys.argv[1])) as connection:
        setup: Setup = connection.recv()
        while (job := connection.recv()) is not None:
            connection.send(_run(setup, job, connection))


def _die_with_parent(lifeline: int) -> None:
    os.read(lifeline, 1)  # returns when the other end is closed, however that process ended
    os._exit(1)


def _run(setup: Setup, job: Job, connection: Connection) -> Event:
    def report(epoch: int, value: float) -> bool:
        connection.send(EpochDone(epoch, value))
        return bool(connection.recv())

    try:
        result = fit(
            setup.space,
            setup.space.parse(job.architecture),
            setup.data,
            job.recipe,
            job.folder,
            candidate=job.candidate,
            trial=job.trial,
            n_threads=setup.n_threads,
            device=setup.device,
            report=report,
            root=setup.root,
            task=find_task(setup.task),
            library=setup.library,
        )
    except TrainingError as error:
        return Failed(str(error))
    except (MemoryError, torch.OutOfMemoryError):
        return Failed(f"out of memory; lower the batch size of {job.recipe.batch_size}")
    except HotError as error:
        return Refused(error)
    except Exception:  # a bug: it is raised where the search was started
        return Refused(traceback.format_exc())
    return Finished(result)
