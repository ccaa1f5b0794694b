"""Work on a list in forked processes of one thread each."""

import logging
import multiprocessing
import os
import queue
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch

from hot.errors import TrainingError

T = TypeVar("T")
R = TypeVar("R")
_POLL_S = 1.0
log = logging.getLogger(__name__)


def in_processes(work: Callable[[T], R], items: Sequence[T], n_processes: int) -> Iterator[R]:
    """The results of `work`, as they come.

    Two processes of one thread each do more than one of two threads: blocks are small. They are
    forked, so that `work` may be any function; on a GPU, give 1. Where a fork is not safe, this
    process does one after the other.

    Raises:
        TrainingError: a process ended without a result, for example killed for its memory.
    """
    if n_processes <= 1 or len(items) <= 1 or not _may_fork():
        yield from map(work, items)
        return
    context: Any = multiprocessing.get_context("fork")
    waiting, results = context.SimpleQueue(), context.Queue()
    for index in range(len(items)):
        waiting.put(index)
    crew = [
        context.Process(target=_work, args=(work, items, waiting, results), daemon=True)
        for _ in range(min(n_processes, len(items)))
    ]
    for process in crew:
        waiting.put(None)
        process.start()
    try:
        for _ in items:
            outcome = _take(results, crew)
            if isinstance(outcome, BaseException):
                raise outcome
            yield outcome
    finally:
        for process in crew:
            process.terminate()
            process.join()


def _may_fork() -> bool:
    """Whether children of this process can train.

    Not once TFLite files were made here: JAX, which their converter loads, has threads, and so has
    torch's autograd after it, which a fork does not carry over.
    """
    if "jax" in sys.modules:
        log.info("a converter with threads runs in this process: work is not spread over processes")
        return False
    return hasattr(os, "fork")


def _work(work: Callable[[T], R], items: Sequence[T], waiting: Any, results: Any) -> None:
    torch.set_num_threads(1)
    while (index := waiting.get()) is not None:
        try:
            results.put(work(items[index]))
        except Exception as error:
            results.put(error)
            return


def _take(results: Any, crew: list[Any]) -> Any:
    while True:
        try:
            return results.get(timeout=_POLL_S)
        except queue.Empty:
            dead = [p.exitcode for p in crew if p.exitcode not in (None, 0)]
            if dead or all(p.exitcode is not None for p in crew):
                raise TrainingError(
                    f"a process of the scorer ended without a result (exit code {dead}); where "
                    "memory is short use fewer threads; run it again, it goes on where it stopped"
                ) from None
