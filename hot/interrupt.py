"""Ctrl-C is never lost: where Python drops it, long work ends at its next step.

Python raises `KeyboardInterrupt` wherever the main thread happens to be. In a finaliser, a weakref
callback or a foreign library's `except` it is dropped, and the work would go on to its end.
"""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

_asked: list[int] = []  # signals that no one has answered yet; a handler may take no lock


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Inside, Ctrl-C raises `KeyboardInterrupt` as ever, and `check_interrupt` finds lost ones.

    At the end everything is as it was. Where the caller has a handler of its own, or ignores
    Ctrl-C, or is no main thread, nothing changes.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    tell = sys.unraisablehook

    def tell_others(dropped: "sys.UnraisableHookArgs") -> None:
        if not issubclass(dropped.exc_type, KeyboardInterrupt):  # it is raised again, see below
            tell(dropped)

    sys.unraisablehook = tell_others
    signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
        check_interrupt()
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.unraisablehook = tell
        _asked.clear()


def _interrupt(number: int, frame: FrameType | None) -> None:
    _asked.append(number)
    raise KeyboardInterrupt


def check_interrupt() -> None:
    """Raise `KeyboardInterrupt` if one was lost; long work calls this at every step."""
    if _asked and threading.current_thread() is threading.main_thread():
        _asked.clear()
        raise KeyboardInterrupt
