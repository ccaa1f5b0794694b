"""A board behind TVM's tracker, which it lends to one session at a time."""

import contextlib
import hashlib
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tvm
from tvm import relax
from tvm.s_tir import meta_schedule

from hot.devices.sampling import Run
from hot.errors import DeviceError, InputError

_SESSION_S = 600  # after which the server ends a session
_SPARE_S = 60  # a session of less time left is not begun to be used
_ANSWER_S = 10.0
_REMOTE = "Error caught from RPC call"  # the server lives, and says what went wrong in its call


class Board:
    """A board, and the one session that all programs on it share.

    TVM's server takes one session after the other, so one that is not given back keeps everybody
    waiting, this process too. Programs come back by themselves in the session after.
    """

    def __init__(self, tracker: str, key: str, compiler: str) -> None:
        """The board of that key.

        Raises:
            InputError: the tracker is no `host:port`.
        """
        host, colon, port = tracker.rpartition(":")
        if not (host and colon and port.isdigit()):
            raise InputError(f"the option 'tracker' must be host:port, not {tracker!r}")
        self.host, self.port, self.key, self._compiler = host, int(port), key, compiler
        self._session: Any = None
        self._begun_s = 0.0
        self._programs: dict[str, Callable[[], float]] = {}

    @property
    def fingerprint(self) -> dict[str, str]:
        """What tells this board from others."""
        return {"board": self.key, "tracker": f"{self.host}:{self.port}"}

    def open(self, executable: Any, image: np.ndarray) -> Run:
        """The executable on the board with its input; a run gives the latency by its clock, in ms.

        Raises:
            DeviceError: the board cannot be had, or was lost; in runs, too.
            RuntimeError: the board refuses the executable.
        """
        library = self._library(executable)
        name = f"{hashlib.sha256(library).hexdigest()[:16]}.so"
        with self._lost_is_device_error(is_any=False):
            self._program(name, library, image)

        def run() -> float:
            with self._lost_is_device_error(is_any=True):
                return self._program(name, library, image)()

        return run

    def release(self) -> None:
        """Give the board back, to be asked for again when it is needed."""
        self._programs.clear()
        session, self._session = self._session, None
        if session is not None:
            with contextlib.suppress(RuntimeError, OSError):  # a session that has ended already
                session.get_function("CloseRPCConnection")()

    def runner(self) -> Any:
        """What MetaSchedule runs its candidates on, in sessions of its own: release before."""
        config = meta_schedule.runner.RPCConfig(
            self.host, self.port, self.key, session_timeout_sec=_SESSION_S
        )
        return meta_schedule.runner.RPCRunner(rpc_config=config, max_workers=1)

    def _program(self, name: str, library: bytes, image: np.ndarray) -> Callable[[], float]:
        """The program as it stands in the session, which has time left."""
        if self._session is not None and time.monotonic() - self._begun_s > _SESSION_S - _SPARE_S:
            self.release()
        if self._session is None:
            self._session, self._begun_s = self._request(), time.monotonic()
        if name not in self._programs:
            session = self._session
            session.upload(bytearray(library), target=name)
            device = session.cpu(0)
            machine = relax.VirtualMachine(session.load_module(name), device)
            evaluate = machine.time_evaluator("main", device, number=1, repeat=1)
            tensor = tvm.runtime.tensor(image, device)
            self._programs[name] = lambda: 1e3 * float(evaluate(tensor).mean)
        return self._programs[name]

    def _request(self) -> Any:
        """A new session, when the board is free."""
        try:
            # TVM tries for a minute, and leaves its socket open, where nothing answers.
            socket.create_connection((self.host, self.port), _ANSWER_S).close()
            tracker = tvm.rpc.connect_tracker(self.host, self.port)
            with contextlib.closing(tracker):
                return tracker.request(self.key, priority=1, session_timeout=_SESSION_S)
        except (RuntimeError, OSError) as error:
            raise DeviceError(
                f"no board {self.key!r} from the tracker {self.host}:{self.port}: {_last(error)}"
            ) from error

    def _library(self, executable: Any) -> bytes:
        """The shared library that the board loads."""
        with tempfile.TemporaryDirectory(prefix="hot-tvm-") as folder:
            path = Path(folder) / "artifact.so"
            executable.export_library(
                str(path), **({"cc": self._compiler} if self._compiler else {})
            )
            return path.read_bytes()

    @contextlib.contextmanager
    def _lost_is_device_error(self, is_any: bool) -> Iterator[None]:
        """Errors of the connection, with `is_any` those of the board's calls too, as DeviceError.

        What the board says of a program while it is opened is of that program alone.
        """
        try:
            yield
        except (RuntimeError, OSError) as error:
            is_expired = isinstance(error, tvm.error.RPCSessionTimeoutError)
            if _REMOTE in str(error) and not (is_any or is_expired):
                raise
            self.release()
            raise DeviceError(
                f"the board {self.key!r} of the tracker {self.host}:{self.port} was lost "
                f"({_last(error)}); see that its TVM server runs, and start again"
            ) from error


def _last(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
