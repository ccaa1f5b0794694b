"""The machine's gate: estimates side by side, or one measurement with nothing beside it."""

import contextlib
import fcntl
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_LOOK_S = 0.05


class Gate:
    """A lock that many share or one has alone; while both are wanted, they take turns.

    A turn ends after `turn_s` as soon as the other side waits, so that neither starves and short
    jobs still run many at a time.
    """

    def __init__(self, turn_s: float = 0.5) -> None:
        """Nobody is inside."""
        self._changed = threading.Condition()
        self._inside = {True: 0, False: 0}  # by whether it is alone
        self._waiting = {True: 0, False: 0}
        self._turn = False
        self._since = time.monotonic()
        self._turn_s = turn_s

    @contextlib.contextmanager
    def enter(self, is_alone: bool, is_wanted: Callable[[], bool] = lambda: True) -> Iterator[bool]:
        """Inside, the gate is held; yields False where it was no longer wanted before its turn."""
        is_in = self._wait(is_alone, is_wanted)
        try:
            yield is_in
        finally:
            if is_in:
                with self._changed:
                    self._inside[is_alone] -= 1
                    self._changed.notify_all()

    def _wait(self, is_alone: bool, is_wanted: Callable[[], bool]) -> bool:
        with self._changed:
            self._waiting[is_alone] += 1
            try:
                while not self._may_enter(is_alone):
                    if not is_wanted():
                        return False
                    self._changed.wait(_LOOK_S)
                if self._turn != is_alone:
                    self._turn, self._since = is_alone, time.monotonic()
                self._inside[is_alone] += 1
                return True
            finally:
                self._waiting[is_alone] -= 1
                self._changed.notify_all()

    def _may_enter(self, is_alone: bool) -> bool:
        if self._inside[not is_alone] or (is_alone and self._inside[True]):
            return False
        if not self._waiting[not is_alone]:
            return True
        is_over = time.monotonic() - self._since >= self._turn_s
        return is_over if self._turn != is_alone else not is_over


class MachineLock:
    """The same between the servers of one machine, by locks on two files that end with a process.

    Who waits to be alone holds the first file, so that nobody new comes in to share the second.
    """

    def __init__(self, machine: str) -> None:
        """The lock of the machine of that name."""
        safe = "".join(sign if sign.isalnum() else "-" for sign in machine)
        folder = Path(tempfile.gettempdir())
        self._paths = [folder / f"hot-machine-{safe}.{part}" for part in ("turn", "lock")]

    @contextlib.contextmanager
    def hold(self, is_alone: bool, is_wanted: Callable[[], bool]) -> Iterator[bool]:
        """Inside, the lock is held; yields False where it was no longer wanted before its turn."""
        with contextlib.ExitStack() as stack:
            turn, lock = (_opened(stack, path) for path in self._paths)
            if turn is None or lock is None:  # another user's file: no turns with that user
                yield True
                return
            mode = fcntl.LOCK_EX if is_alone else fcntl.LOCK_SH
            if not (_locked(turn, fcntl.LOCK_EX, is_wanted) and _locked(lock, mode, is_wanted)):
                yield False
                return
            fcntl.flock(turn, fcntl.LOCK_UN)
            yield True


def _opened(stack: contextlib.ExitStack, path: Path) -> int | None:
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError:
        return None
    stack.callback(os.close, handle)
    return handle


def _locked(handle: int, mode: int, is_wanted: Callable[[], bool]) -> bool:
    while True:
        try:
            fcntl.flock(handle, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            if not is_wanted():
                return False
            time.sleep(_LOOK_S)
        else:
            return True
