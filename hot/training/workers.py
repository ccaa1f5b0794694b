"""Trials of all candidates spread over worker processes; interrupted, the same call goes on."""

import contextlib
import fcntl
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path

from hot.errors import InputError, StorageError, TrainingError
from hot.interrupt import check_interrupt
from hot.nn import Library
from hot.progress import Advance, progress
from hot.records import Candidate, Recipe, RunFolder, TrainResult, load_record
from hot.tasks import DataOptions, find_task
from hot.training.distill import check_library
from hot.training.fit import RESULT
from hot.training.hpo import (
    AskedTrial,
    CandidateStudy,
    HpoSettings,
    check_settings,
    count_trials,
    open_storage,
    open_study,
)
from hot.training.machine import count_cores
from hot.training.trials import EpochDone, Failed, Finished, Job, Refused, Setup

_MAX_DEATHS = 3  # worker processes that one trial may cost
_LISTEN_S = 0.5  # at a time, between two looks whether Ctrl-C was pressed
_PATIENCE_S = 10.0  # for a worker to end after it was told to
log = logging.getLogger(__name__)


def optimise(
    run: RunFolder,
    candidates: list[Candidate],
    data_source: str,
    base: Recipe,
    settings: HpoSettings = HpoSettings(),
    n_workers: int = 1,
    seed: int = 0,
    data_options: DataOptions = DataOptions(),
    *,
    device: str | None = None,
    task: str = "classification",
) -> list[TrainResult]:
    """The best trial of every candidate, in their order; also in the run's `results/NAME.json`.

    Every candidate has a study of `settings.n_trials` trials around `base`; trial n is trained with
    the seed `seed + n`, so one trial without ranges is the base recipe, and several are its seeds.
    The trials run in `n_workers` processes that share the cores. A trial whose process is killed
    goes on from its checkpoint in another; after Ctrl-C or a kill the same call goes on.

    The same seed makes the same trials with one worker. With several, a sampler that learns sees
    the earlier trials in the order in which they happen to end, and a pruner too: parameters may
    then differ from call to call, except those of the `grid`.

    Args:
        run: has the space; takes studies, trainings and results.
        candidates: what is trained, with names that differ.
        data_source: see `hot.tasks.load_images`.
        base: the recipe; its seed is replaced.
        settings: the search.
        n_workers: processes.
        seed: of the search and the trainings.
        data_options: how much of the data is used and how it is split.
        device: see `fit`.
        task: one of `hot.tasks.TASKS`.

    Raises:
        InputError: settings or recipe are not allowed, or the recipe asks for weights that the
            run's `library/` does not have.
        DataError: the data cannot be used.
        TrainingError: all trials of a candidate failed (the others' results are saved), another
            process is training this run, or the run holds another search.
        StorageError: the run cannot be written.
    """
    check_settings(settings, base)
    if n_workers < 1:
        raise InputError(f"n_workers must be at least 1, not {n_workers}")
    if len({candidate.name for candidate in candidates}) < len(candidates):
        raise ValueError("two candidates have the same name")
    problem = find_task(task)
    space = run.space()
    data = problem.load(data_source, space.stem_input, data_options)
    problem.check_head(space, data)
    library = Library(run.file("library"), space) if base.needs_library else None
    subjects = {}
    for candidate in candidates:
        inherited = check_library(base, library, space, space.parse(candidate.architecture))
        marks = (space.key, candidate.architecture, data.digest, inherited)
        subjects[candidate.name] = " ".join(filter(None, marks))
    n_threads = max(1, count_cores() // n_workers)
    setup = Setup(space, data, task, run.path, n_threads, device, library)
    with _lock(run), open_storage(run.study_url) as storage:
        studies = {
            candidate.name: open_study(
                storage,
                candidate.name,
                settings,
                base,
                seed,
                problem.higher_is_better,
                subjects[candidate.name],
            )
            for candidate in candidates
        }
        queue = _Queue(run, candidates, studies, count_trials(settings))
        if queue.n_left:
            _train_all(queue, setup, n_workers, base.epochs)
        sign = 1 if problem.higher_is_better else -1
        return _collect(run, candidates, studies, sign)


@dataclass
class _Assignment:
    """A trial in work, or to be taken up again."""

    job: Job
    asked: AskedTrial
    n_deaths: int = 0
    n_epochs: int = 0


@dataclass
class _Queue:
    """Which trial is next: those that were left first, then the candidate with the least done."""

    run: RunFolder
    candidates: list[Candidate]
    studies: dict[str, CandidateStudy]
    n_trials: int
    left: list[_Assignment] = field(init=False)
    n_running: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.n_running = dict.fromkeys(self.studies, 0)
        self.left = [
            self._assign(candidate, asked)
            for candidate in self.candidates
            for asked in self.studies[candidate.name].unfinished()
        ]

    @property
    def n_finished(self) -> int:
        return sum(study.n_finished for study in self.studies.values())

    @property
    def n_left(self) -> int:
        """Trials that no worker has."""
        n_new = [max(0, self.n_trials - study.n_started) for study in self.studies.values()]
        return len(self.left) + sum(n_new)

    def take(self) -> _Assignment:
        if self.left:
            chosen = self.left.pop(0)
        else:
            studies = self.studies
            unmade = [c for c in self.candidates if studies[c.name].n_started < self.n_trials]
            candidate = min(unmade, key=self._load)
            chosen = self._assign(candidate, self.studies[candidate.name].ask())
        self.n_running[chosen.job.candidate] += 1
        return chosen

    def give_back(self, assignment: _Assignment) -> None:
        self.n_running[assignment.job.candidate] -= 1
        self.left.append(assignment)

    def close(self, assignment: _Assignment) -> None:
        self.n_running[assignment.job.candidate] -= 1

    def _load(self, candidate: Candidate) -> tuple[int, int]:
        return self.n_running[candidate.name], self.studies[candidate.name].n_started

    def _assign(self, candidate: Candidate, asked: AskedTrial) -> _Assignment:
        folder = self.run.file("training", candidate.name, f"trial-{asked.number}")
        job = Job(candidate.name, candidate.architecture, asked.number, asked.recipe, folder)
        return _Assignment(job, asked)


class _Worker:
    """A worker process and what it works on."""

    def __init__(self, setup: Setup) -> None:
        self.connection, theirs = Pipe()
        lifeline, self._life = os.pipe()
        descriptors = (theirs.fileno(), lifeline)
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "from hot.training.trials import main; main()",
                *map(str, descriptors),
            ],
            pass_fds=descriptors,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches the starting process alone
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
                "OMP_NUM_THREADS": str(setup.n_threads),
            },
        )
        theirs.close()
        os.close(lifeline)
        self.assignment: _Assignment | None = None
        self.is_set_up = False

    def start(self, assignment: _Assignment, setup: Setup) -> None:
        """Send the next trial; a process that died meanwhile shows in the next `receive`."""
        self.assignment = assignment
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            if not self.is_set_up:
                self.connection.send(setup)
                self.is_set_up = True
            self.connection.send(assignment.job)

    def answer(self, is_given_up: bool) -> None:
        """Tell whether the trial ends here."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(is_given_up)

    def stop(self) -> None:
        """End the process, at once where it is in the middle of a trial."""
        if self.assignment is None:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.connection.send(None)
        else:
            self.process.terminate()
        try:
            self.process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.connection.close()
        os.close(self._life)


def _train_all(queue: _Queue, setup: Setup, n_workers: int, epochs: int) -> None:
    total = queue.n_trials * len(queue.candidates)
    workers: list[_Worker] = []
    try:
        with progress("training", total * epochs, queue.n_finished * epochs) as advance:
            while True:
                n_idle = sum(worker.assignment is None for worker in workers)
                n_new = min(n_workers - len(workers), queue.n_left - n_idle)
                workers += [_Worker(setup) for _ in range(n_new)]
                for worker in workers:
                    if worker.assignment is None and queue.n_left:
                        worker.start(queue.take(), setup)
                busy = {w.connection: w for w in workers if w.assignment is not None}
                if not busy:
                    return
                check_interrupt()
                for connection in wait(list(busy), _LISTEN_S):
                    if isinstance(connection, Connection):
                        _receive(busy[connection], workers, queue, epochs, advance)
    finally:
        for worker in workers:
            worker.stop()


def _receive(
    worker: _Worker, workers: list[_Worker], queue: _Queue, epochs: int, advance: Advance
) -> None:
    """Take one message of a worker, or its death."""
    assignment = worker.assignment
    if assignment is None:
        raise ValueError("only a worker with a trial is listened to")
    try:
        event = worker.connection.recv()
    except (EOFError, ConnectionResetError):
        workers.remove(worker)
        worker.stop()
        _take_up_again(assignment, worker.process.returncode, queue)
        return
    note = f"{assignment.job.candidate} trial {assignment.job.trial}"
    if isinstance(event, EpochDone):
        if event.epoch >= assignment.n_epochs:
            advance(event.epoch + 1 - assignment.n_epochs, f"{note}: {event.value:.4f}")
            assignment.n_epochs = event.epoch + 1
        worker.answer(assignment.asked.report(event.epoch, event.value))
        return
    if isinstance(event, Refused):
        if isinstance(event.error, str):
            raise RuntimeError(f"the worker of {note} failed:\n{event.error}")
        raise event.error
    worker.assignment = None
    _close(assignment, event, queue)
    advance(epochs - assignment.n_epochs, note)


def _take_up_again(assignment: _Assignment, code: int | None, queue: _Queue) -> None:
    assignment.n_deaths += 1
    name = f"trial {assignment.job.trial} of {assignment.job.candidate}"
    log.warning("the process of %s ended with code %s", name, code)
    if assignment.n_deaths < _MAX_DEATHS:
        queue.give_back(assignment)
        return
    reason = f"{_MAX_DEATHS} processes died on it, the last with code {code}; is memory short?"
    _close(assignment, Failed(reason), queue)


def _close(assignment: _Assignment, event: Finished | Failed, queue: _Queue) -> None:
    if isinstance(event, Failed):
        log.warning(
            "trial %d of %s failed: %s",
            assignment.job.trial,
            assignment.job.candidate,
            event.reason,
        )
        assignment.asked.fail(event.reason)
    else:
        for row in event.result.history:
            assignment.asked.report(row.epoch, row.val_metric)
        is_pruned = event.result.state == "pruned"
        assignment.asked.finish(event.result.val_metric, is_pruned)
    queue.close(assignment)


def _collect(
    run: RunFolder, candidates: list[Candidate], studies: dict[str, CandidateStudy], sign: int
) -> list[TrainResult]:
    """The best trial of every candidate: complete before pruned, by metric, then the earliest."""
    results, failures = [], []
    for candidate in candidates:
        found = [
            _load_trial(run, path)
            for number in studies[candidate.name].with_result()
            if (path := run.file("training", candidate.name, f"trial-{number}", RESULT)).is_file()
        ]
        if not found:
            failures.append(f"{candidate.name} ({studies[candidate.name].last_error()})")
            continue
        best = max(found, key=lambda r: (r.state != "pruned", sign * r.val_metric, -r.trial))
        run.save(best, "results", f"{candidate.name}.json")
        results.append(best)
    if failures:
        raise TrainingError(
            f"every trial failed of {'; '.join(failures)}. Change the recipe or the ranges"
        )
    return results


def _load_trial(run: RunFolder, path: Path) -> TrainResult:
    """The result of a trial that is closed; what is damaged can be made again."""
    again = (
        f"remove {run.file('study.db')} and give the same command again: "
        "whole trainings are kept, this one is made anew"
    )
    try:
        result = load_record(path, TrainResult)
    except InputError as error:
        raise TrainingError(f"{error}, or {again}") from error
    weights = run.path / result.checkpoint
    if not weights.is_file():
        raise TrainingError(f"the weights {weights} are missing; {again}")
    return result


@contextlib.contextmanager
def _lock(run: RunFolder) -> Iterator[None]:
    """Holds the run's trainings; the system gives them free however this process ends."""
    path = run.file("training", ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror}; choose another folder"
        ) from error
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise TrainingError(
                f"another process is training in {run.path}; wait for it, or stop it first"
            ) from error
        yield
