"""What stands behind the HTTP interface: database, jobs, devices, workers, and who may come in."""

import asyncio
import contextlib
import queue
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import version

from hot.errors import StorageError
from hot.records import DeviceInfo, now
from hot.server.artifacts import Artifacts
from hot.server.auth import Caller, Tokens
from hot.server.config import ServerConfig
from hot.server.database import Database
from hot.server.facts import ModelFacts
from hot.server.jobs import Jobs
from hot.server.leases import Leases
from hot.server.limits import RateLimit
from hot.server.metrics import Metrics
from hot.server.process import WorkerLimits, WorkerLost, WorkerProcess
from hot.server.scheduler import Scheduler

_N_INSPECTORS = 2
_INSPECTOR_BYTES = 2 * 2**30
_OPEN = Caller("this machine", "admin")


class UploadRefused(Exception):
    """Uploaded bytes that are no model this server runs."""


class Changes:
    """Wakes those who wait for a job of this server, from any thread."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._events: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self.n_watching = 0

    def bind(self) -> None:
        """Wake those of the loop that runs now."""
        self._loop = asyncio.get_running_loop()

    def tell(self, job: str) -> None:
        """A job has changed."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has just been closed
                self._loop.call_soon_threadsafe(self._wake, job)

    def tell_all(self) -> None:
        """Wake everyone; in the loop's own thread."""
        for job in list(self._events):
            self._wake(job)

    @contextlib.contextmanager
    def watch(self, job: str) -> Iterator[asyncio.Event]:
        """Inside, the event is set whenever the job changes."""
        event = asyncio.Event()
        self._events[job].add(event)
        self.n_watching += 1
        try:
            yield event
        finally:
            self.n_watching -= 1
            self._events[job].discard(event)
            if not self._events[job]:
                del self._events[job]

    def _wake(self, job: str) -> None:
        for event in self._events.get(job, ()):
            event.set()


class Service:
    """A profiling server without its HTTP side."""

    def __init__(self, config: ServerConfig) -> None:
        """Open nothing yet."""
        self.config = config
        self.metrics = Metrics()
        self.changes = Changes()
        self.rate = RateLimit(config.rate_per_s, config.most_at_once)
        self.version = version("hot")
        self.started = ""
        self.is_stopping = False
        self._tokens: Tokens | None = None
        self._inspectors: queue.Queue[WorkerProcess] = queue.Queue()

    def start(self) -> None:
        """Open the database, ask the devices what they are, begin to work; once only.

        Raises:
            InputError: the file of tokens is missing or damaged.
            StorageError: the database cannot be used.
            DeviceError: a device cannot be used here.
        """
        if self.started:
            return
        config = self.config
        if config.tokens is not None:
            self._tokens = Tokens(config.tokens)
        self._database = Database(config.store)
        self.jobs = Jobs(self._database, config.max_queued)
        self.artifacts = Artifacts(self._database, config.max_artifacts_bytes)
        self._leases = Leases(
            self._database,
            config.name,
            config.patience,
            config.max_attempts,
            config.max_artifacts_bytes,
        )
        self._leases.enter()
        self.scheduler = Scheduler(
            config, self.artifacts, self._leases, self.metrics, self.changes.tell
        )
        try:
            self.scheduler.start()
        except BaseException:
            self._close()
            raise
        for _ in range(_N_INSPECTORS):
            limits = WorkerLimits(config.check_time_limit_s, _INSPECTOR_BYTES)
            self._inspectors.put(WorkerProcess(limits))
        self.started = now()

    def stop(self) -> None:
        """Give running jobs back to the queue, end all workers, close the database."""
        if not self.started:
            return
        self.is_stopping = True
        self.scheduler.stop()
        while not self._inspectors.empty():
            self._inspectors.get().close()
        self._close()
        self.started = ""

    def _close(self) -> None:
        with contextlib.suppress(StorageError):  # its end is then seen by its lost process
            self._leases.leave()
        self._database.close()

    @property
    def has_tokens(self) -> bool:
        """Whether a token is asked for."""
        return self._tokens is not None

    def caller(self, token: str | None) -> Caller | None:
        """Who asks, or None for somebody unknown.

        Raises:
            InputError: the file of tokens was changed and cannot be read.
        """
        if self._tokens is None:
            return _OPEN
        return None if token is None else self._tokens.find(token)

    def device(self, name: str) -> DeviceInfo | None:
        """One of this server's devices."""
        return self.scheduler.infos.get(name)

    def inspect(self, data: bytes) -> ModelFacts:
        """What uploaded bytes are, found in a process of its own.

        Raises:
            UploadRefused: no model, or one that is not run here.
            StorageError: it cannot be checked now: no room on the disk, or no process to be had.
        """
        inspector = self._inspectors.get()
        try:
            answer = inspector.ask({"task": "inspect"}, ("upload", data))
        except WorkerLost as lost:
            if lost.is_outside:  # the model is not to blame
                raise StorageError("the check of the model was interrupted; try again") from lost
            raise UploadRefused(f"the check of the model failed: {lost}") from lost
        except OSError as error:
            raise StorageError(f"the model cannot be checked now: {error}") from error
        finally:
            self._inspectors.put(inspector)
        if "format" not in answer:
            reasons = [
                answer[key] for key in ("refused", "out_of_memory", "failed") if key in answer
            ]
            raise UploadRefused(reasons[0])
        return ModelFacts(answer["format"], tuple(answer["input_shape"]))
