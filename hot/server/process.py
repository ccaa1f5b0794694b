"""A worker process as its server sees it: asked, watched, killed, started again."""

import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

_LOOK_S = 0.1
_MAX_ANSWER_BYTES = 512 * 2**20  # compiled files among them
_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_SECRET = ("HOT_TOKEN", "PASSWORD", "SECRET", "TOKEN", "API_KEY", "CREDENTIAL")
Message = dict[str, Any]


class WorkerLost(Exception):
    """The worker gave no answer; `is_outside`: killed from outside, and not by its task."""

    def __init__(self, reason: str, is_outside: bool = False) -> None:
        super().__init__(reason)
        self.is_outside = is_outside


class WorkerStopped(Exception):
    """The worker was killed because its server wanted so."""


@dataclass(frozen=True)
class WorkerLimits:
    """What one task may take.

    Attributes:
        time_s: wall time.
        memory_bytes: address space besides what the worker has already; None: no limit.
        cores: those it may use; empty: all that the server may.
    """

    time_s: float
    memory_bytes: int | None
    cores: tuple[int, ...] = ()


class WorkerProcess:
    """A process of its own with a folder of its own; used by one thread at a time."""

    def __init__(self, limits: WorkerLimits) -> None:
        """Start nothing yet; the first question does."""
        self._limits = limits
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None
        self._errors: IO[bytes] | None = None
        self.n_starts = 0

    @property
    def is_warm(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def ask(
        self,
        message: Message,
        model: tuple[str, bytes] | None = None,
        is_wanted: Callable[[], bool] = lambda: True,
        time_s: float | None = None,
    ) -> Message:
        """The answer to one message; a model (suffix, bytes) lies in a file while it is answered.

        Args:
            time_s: instead of that of the limits.

        Raises:
            WorkerLost: it crashed, hung or was killed.
            WorkerStopped: `is_wanted` said no.
            OSError: no process can be started, or no file written.
        """
        if not self.is_warm:
            self._start()
        assert self._folder is not None
        limit_s = self._limits.time_s if time_s is None else time_s
        full = {
            **message,
            "cores": self._limits.cores,
            "time_limit_s": limit_s,
            "memory_bytes": self._limits.memory_bytes,
        }
        path = None
        if model is not None:
            path = self._folder / f"model.{model[0]}"
            path.write_bytes(model[1])
            full["path"] = str(path)
        try:
            return self._exchange(json.dumps(full).encode() + b"\n", is_wanted, limit_s)
        finally:
            if path is not None:
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Kill the process with all it started, and remove its folder."""
        process, folder, errors = self._process, self._folder, self._errors
        self._process = self._folder = self._errors = None
        if process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    pipe.close()  # type: ignore[union-attr]
        if errors is not None:
            errors.close()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def _start(self) -> None:
        self.close()
        self._folder = Path(tempfile.mkdtemp(prefix="hot-worker-"))
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the process)
        self.n_starts += 1
        self._process = subprocess.Popen(
            [sys.executable, "-m", "hot.server.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=self._folder,
            env=_environment(),
            start_new_session=True,
        )

    def _exchange(self, line: bytes, is_wanted: Callable[[], bool], limit_s: float) -> Message:
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(line)
            process.stdin.flush()
        except OSError:
            raise self._lost() from None
        end = time.monotonic() + limit_s
        answer = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while not answer.endswith(b"\n"):
                if not is_wanted():
                    self.close()
                    raise WorkerStopped
                if time.monotonic() > end:
                    self.close()
                    raise WorkerLost(f"it took longer than {limit_s:g} s")
                if not selector.select(_LOOK_S):
                    continue
                part = os.read(process.stdout.fileno(), 1 << 16)
                if not part:
                    raise self._lost()
                answer += part
                if len(answer) > _MAX_ANSWER_BYTES:
                    self.close()
                    raise WorkerLost("its worker's answer was too long")
        result: Message = json.loads(answer)
        return result

    def _lost(self) -> WorkerLost:
        """Why the process ended, once it has; its last words may tell more."""
        process, errors = self._process, self._errors
        assert process is not None and errors is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=2)
        code = process.poll()
        errors.seek(max(0, errors.seek(0, os.SEEK_END) - 2000))
        words = errors.read().decode(errors="replace").strip().splitlines()
        self.close()
        if code is None or code >= 0:
            how = f"ended with code {code}"
        else:
            how = f"was ended by {signal.Signals(-code).name}"
        is_outside = code is not None and -code in _OUTSIDE
        text = words[-1][-300:] if words and not is_outside else ""
        return WorkerLost(f"its worker {how}" + (f": {text}" if text else ""), is_outside)


def _environment() -> dict[str, str]:
    """The server's own without what looks secret."""
    return {
        name: value
        for name, value in os.environ.items()
        if not any(word in name.upper() for word in _SECRET)
    }
