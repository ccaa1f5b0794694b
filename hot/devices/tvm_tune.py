"""Tuning of TVM's code: trials of every operator's loops, whose records are kept in a folder."""

import contextlib
import importlib.util
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tvm.ir.utils import derived_object
from tvm.s_tir import meta_schedule
from tvm_ffi import structural_hash

from hot.devices.quiet import undisturbed, wait_for_lock
from hot.errors import InputError, StorageError
from hot.files import read_json, write_json

log = logging.getLogger(__name__)
_TIMEOUT_S = 120.0  # of building or running one round; a busy machine starts workers slowly
_ROUND = 32
_NEVER_S = 1e9
_DONE = "trials.json"


@contextlib.contextmanager
def tuned(module: Any, target: Any, trials: int, folder: Path, runner: Any = None) -> Iterator[Any]:
    """The database of records of every operator in `module`, those that it lacks tried now.

    An operator is one whose loops and shapes are the same, whatever model it is in and whatever
    its weights; `trials.json` in the folder tells how many trials each has had. Other processes
    wait for the folder until the block ends.

    Args:
        module: lowered to loops (`relax.get_pipeline("zero")`).
        runner: of MetaSchedule, what candidates run on; by default this machine.

    Raises:
        RuntimeError: no trial of an operator ran.
        StorageError: the folder cannot be written.
    """
    with _alone(folder):
        database = meta_schedule.database.JSONDatabase(work_dir=str(folder))
        done = _read_done(folder)
        tasks = meta_schedule.relax_integration.extract_tasks(module, target)
        missing = {
            key: task
            for key, task in ((_key(task), task) for task in tasks)
            if done.get(key, 0) < trials or not _has_record(task, database)
        }
        _keep_quiet()
        if missing:  # these start processes of their own
            builder = meta_schedule.builder.LocalBuilder(max_workers=1, timeout_sec=_TIMEOUT_S)
            runner = runner or _QuietRunner()
        for index, (key, task) in enumerate(missing.items()):
            log.info("tuning %s: operator %d of %d", task.task_name, index + 1, len(missing))
            _tune_task(task, trials, folder, database, builder, runner)
            if not _has_record(task, database):
                raise RuntimeError(
                    f"none of {trials} trials of its operator {task.task_name} ran; "
                    f"raise trials, or read why in {folder / 'logs'}"
                )
            done[key] = trials
            write_json(folder / _DONE, done)
        yield database


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """The folder for this process alone: MetaSchedule appends to its files without any lock."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise StorageError(f"cannot write the records of TVM in {folder}: {error}") from error
    try:
        wait_for_lock(handle, f"another process tunes for the same target (in {folder})")
        yield
    finally:
        os.close(handle)


@derived_object
class _QuietRunner(meta_schedule.runner.PyRunner):
    """Runs candidates on this machine while nothing else is measured here."""

    def __init__(self) -> None:
        super().__init__()
        self._local = meta_schedule.runner.LocalRunner(timeout_sec=_TIMEOUT_S)

    def run(self, runner_inputs: list[Any]) -> list[Any]:
        """The futures of all candidates, which have run when they are given."""
        with undisturbed():
            return list(self._local.run(runner_inputs))


def _tune_task(
    task: Any, trials: int, folder: Path, database: Any, builder: Any, runner: Any
) -> None:
    # Where gradient-boosted trees rank candidates before they run, an evolution of them pays;
    # without that library candidates are drawn at random.
    _keep_quiet()
    has_trees = importlib.util.find_spec("xgboost") is not None
    contexts, weights = meta_schedule.relax_integration.extracted_tasks_to_tune_contexts(
        [task],
        str(folder),
        strategy="evolutionary" if has_trees else "replay-trace",
        num_threads=1,
        seed=0,
    )
    meta_schedule.tune.tune_tasks(
        tasks=contexts,
        task_weights=weights,
        work_dir=str(folder),
        max_trials_global=trials,
        num_trials_per_iter=min(_ROUND, trials),
        builder=builder,
        runner=runner,
        database=database,
        cost_model="xgb" if has_trees else "random",
    )


def _has_record(task: Any, database: Any) -> bool:
    """Whether a trial of the operator ran; MetaSchedule counts 1e10 s for one that did not."""
    module = task.dispatched[0]
    if not database.has_workload(module):
        return False
    best = database.get_top_k(database.commit_workload(module), 1)
    return any(float(seconds) < _NEVER_S for record in best for seconds in record.run_secs or [])


def _keep_quiet() -> None:
    """MetaSchedule writes to stdout, which belongs to results, at a level that it sets anew."""
    logging.getLogger("tvm.s_tir.meta_schedule").setLevel(logging.CRITICAL)


def _key(task: Any) -> str:
    return f"{structural_hash(task.dispatched[0]) & (2**64 - 1):016x}"


def _read_done(folder: Path) -> dict[str, int]:
    """Trials by operator; none where the file is not there yet or is damaged."""
    path = folder / _DONE
    if not path.exists():
        return {}
    try:
        return {str(key): int(n) for key, n in read_json(path, "trials").items()}
    except (InputError, AttributeError, TypeError, ValueError, json.JSONDecodeError) as error:
        log.warning("%s is damaged, so operators are tuned again: %s", path, error)
        return {}
