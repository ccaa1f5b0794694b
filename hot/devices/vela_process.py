"""A process that compiles with Vela, request after request, and is started anew when it dies."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from pathlib import Path
from typing import IO, Any

from hot.errors import DeviceError

_PROGRAM = Path(__file__).with_name("vela_worker.py")
_TRIES = 2
_LAST_LINES = 3  # of what Vela said before it died


class VelaProcess:
    """One worker at a time; it starts with the first request and ends with this object.

    A request that ends or hangs the worker gives a reply with an `error`; the next one starts
    another worker. Threads take turns.

    Attributes:
        timeout_s: for one request.
    """

    def __init__(self, timeout_s: float) -> None:
        """Give a request `timeout_s` seconds."""
        self.timeout_s = timeout_s
        self._lock = threading.Lock()
        self._worker: _Worker | None = None

    def ask(self, request: dict[str, str]) -> tuple[dict[str, Any], str]:
        """The reply to a request, and what Vela printed meanwhile.

        What ends the worker is asked a second time, of another one: something else may have ended
        the first.

        Raises:
            DeviceError: no worker can be started.
        """
        with self._lock:
            for _ in range(_TRIES):
                if self._worker is None or not self._worker.is_mine():
                    self._worker = _Worker()
                reply, said = self._worker.ask(request, self.timeout_s)
                if reply is not None:
                    return reply, said
                reason = self._worker.end_of(self.timeout_s, said)
                is_slow, self._worker = self._worker.is_slow, None
                if is_slow:
                    break
            return {"error": reason}, said

    @property
    def pid(self) -> int | None:
        """The number of the worker's process, or None before the first request."""
        return None if self._worker is None else self._worker.pid

    def close(self) -> None:
        """End the worker."""
        with self._lock:
            if self._worker is not None:
                self._worker.stop()
                self._worker = None


class _Worker:
    """A running worker process; `is_slow` once it was ended for taking too long."""

    def __init__(self) -> None:
        self._owner = os.getpid()
        try:
            # Open as long as the worker lives; see `_end`.
            self._log = tempfile.TemporaryFile(buffering=0, prefix="hot-vela-")  # noqa: SIM115
            # -P: the folder of the program, whose files are called like other packages, is no
            # place to import from.
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(_PROGRAM)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
            )
        except OSError as error:
            raise DeviceError(
                f"cannot start a process for Vela: {error.strerror or error}; check the limits of "
                "processes and memory, and the space in the temporary folder"
            ) from error
        self.is_slow = False
        self._finalizer = weakref.finalize(self, _end, self._owner, self._process, self._log)

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_mine(self) -> bool:
        """Whether it lives and was started by this process, not by one this was forked from."""
        return self._owner == os.getpid() and self._process.poll() is None

    def ask(self, request: dict[str, str], timeout_s: float) -> tuple[dict[str, Any] | None, str]:
        """The reply, or None where the worker ended; and what Vela printed."""
        self._log.seek(0)  # the worker writes at the same offset
        self._log.truncate(0)
        timer = threading.Timer(timeout_s, self._kill)
        timer.start()
        try:
            line = self._exchange(json.dumps(request).encode() + b"\n")
        finally:
            timer.cancel()
        return (json.loads(line) if line else None), self._said()

    def _exchange(self, line: bytes) -> bytes:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise ValueError("the worker was started without pipes")
        try:
            stdin.write(line)
            stdin.flush()
        except BrokenPipeError:
            return b""
        reply = stdout.readline()
        return reply if reply.endswith(b"\n") else b""

    def _said(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def _kill(self) -> None:
        self.is_slow = True
        self._process.kill()

    def end_of(self, timeout_s: float, said: str) -> str:
        """How the worker ended, after it did."""
        code = self._process.wait()
        self.stop()
        if self.is_slow:
            return f"Vela did not end within {timeout_s:g} s"
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        lines = [line for line in said.splitlines() if line.strip()][-_LAST_LINES:]
        words = f"; it said: {' '.join(lines)}" if lines else ""
        return f"Vela died of it ({how}{words})"

    def stop(self) -> None:
        self._finalizer()


def _end(owner: int, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    """End the worker, unless another process started it."""
    if owner != os.getpid():
        return
    if process.poll() is None:
        process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, log):
        if pipe is not None:
            try:
                pipe.close()
            except BrokenPipeError:  # an unsent request; the process is gone
                continue
