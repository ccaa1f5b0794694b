"""A quiet place to measure: fixed cores, first in the queue, one measurement at a time."""

import contextlib
import gc
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hot.errors import DeviceError

try:
    import fcntl
except ModuleNotFoundError:  # not a POSIX system: measurements do not wait for one another there
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)
_NICE = -20  # the first in the queue; only for an administrator
_LOCK = Path(tempfile.gettempdir()) / "hot-cpu.lock"


def allowed_cores() -> list[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def choose_cores(device: str, threads: int) -> list[int]:
    """The cores for so many threads of a device: the last ones, away from the interrupts.

    Raises:
        DeviceError: this process may not use as many.
    """
    available = allowed_cores()
    if not 1 <= threads <= len(available):
        raise DeviceError(
            f"the device {device!r} cannot use {threads} threads: this process may use "
            f"{len(available)} cores; choose threads between 1 and {len(available)}"
        )
    return available[-threads:]


@contextlib.contextmanager
def pinned(cores: list[int]) -> Iterator[None]:
    """Keep this thread, and those it starts, on `cores`, where the system can do so."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Wait until no other process measures; then run first in the queue, collecting no garbage.

    Only an administrator may go first; the lock ends with the process, whatever ends it.
    """
    with _turn(), _first_in_queue():
        gc.collect()
        gc.disable()
        try:
            yield
        finally:
            gc.enable()


def wait_for_lock(handle: int, reason: str) -> None:
    """Lock an open file until it is closed; where another process has it, wait and say why."""
    if fcntl is not None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("waiting: %s", reason)
            fcntl.flock(handle, fcntl.LOCK_EX)


@contextlib.contextmanager
def _turn() -> Iterator[None]:
    try:
        handle = os.open(_LOCK, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
    except OSError:  # another user's file, or a read-only folder: measure without waiting
        yield
        return
    try:
        wait_for_lock(handle, f"another process measures on this machine (it holds {_LOCK})")
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def _first_in_queue() -> Iterator[None]:
    if not hasattr(os, "setpriority"):
        yield
        return
    before = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        os.setpriority(os.PRIO_PROCESS, 0, _NICE)
    except PermissionError:
        yield
        return
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)
