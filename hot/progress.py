"""Progress of long work: a bar with ETA on a terminal, plain log lines elsewhere."""

import contextlib
import logging
import sys
import time
from collections.abc import Iterator
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from hot.interrupt import check_interrupt

_LINE_EVERY_S = 10.0
log = logging.getLogger(__name__)


class Advance(Protocol):
    """Reports `n` more pieces of work done, with a short note."""

    def __call__(self, n: int = 1, note: str = "") -> None:
        """Add `n` to the work done."""


@contextlib.contextmanager
def progress(label: str, total: int, done: int = 0) -> Iterator[Advance]:
    """A callback `advance(n, note)` that reports work done; `done` is what an earlier run finished.

    On a terminal this draws a bar with ETA on stderr; elsewhere it logs a line with the ETA at most
    every ten seconds and one at the end. A Ctrl-C that got lost is raised by the next call.
    """
    if sys.stderr.isatty():
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(label, total=total, completed=done, note="")

            def move(n: int = 1, note: str = "") -> None:
                check_interrupt()
                bar.update(task, advance=n, note=note)

            yield move
        return
    start = last = time.monotonic()
    count = done

    def advance(n: int = 1, note: str = "") -> None:
        nonlocal count, last
        check_interrupt()
        count += n
        now = time.monotonic()
        if now - last < _LINE_EVERY_S and count < total:
            return
        last = now
        rate = (count - done) / max(now - start, 1e-9)
        eta_s = (total - count) / rate if rate > 0 else float("inf")
        log.info("%s: %d/%d, ETA %.0f s %s", label, count, total, eta_s, note)

    yield advance
