"""Who works when: lanes of jobs, each with a worker, behind the machine's gate."""

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hot.errors import DeviceError, StorageError
from hot.records import MEASURES, DeviceInfo, from_document
from hot.server.artifacts import Artifacts
from hot.server.compiled import unpack_files
from hot.server.config import ServerConfig
from hot.server.gate import Gate, MachineLock
from hot.server.leases import Lease, Leases, Offers
from hot.server.metrics import Metrics
from hot.server.process import WorkerLimits, WorkerLost, WorkerProcess, WorkerStopped
from hot.server.running import Running
from hot.server.schema import COMPILE, MEASURE

log = logging.getLogger(__name__)
_POLL_S = 0.5  # jobs that came to another server on the same database
_START_LIMIT_S = 300.0  # of a device: some load gigabytes of libraries
_LONGEST_PAUSE_S = 5.0


@dataclass
class Lane:
    """A thread that runs one job at a time, with a worker that it keeps warm.

    Attributes:
        names: device key to the device as the worker makes it.
        offers: the device keys and tasks of its jobs.
        is_alone: whether nothing else may run beside its jobs.
    """

    names: dict[str, str]
    offers: Offers
    is_alone: bool
    worker: WorkerProcess
    warm: set[tuple[int, str]] = field(default_factory=set)  # the worker's start, a device key
    wake: threading.Event = field(default_factory=threading.Event)


class Scheduler:
    """Runs the jobs of this server's devices until it is stopped."""

    def __init__(
        self,
        config: ServerConfig,
        artifacts: Artifacts,
        leases: Leases,
        metrics: Metrics,
        tell: Callable[[str], None],
    ) -> None:
        """Start nothing; `tell` is called with the id of every job that changed."""
        self._config = config
        self._artifacts = artifacts
        self._leases = leases
        self._metrics = metrics
        self._tell = tell
        self._gate = Gate()
        self._machine = MachineLock(config.machine or socket.gethostname())
        self._stopping = threading.Event()
        self._running = Running()
        self._threads: list[threading.Thread] = []
        self._lanes: list[Lane] = []
        self.infos: dict[str, DeviceInfo] = {}
        self.compilers: frozenset[str] = frozenset()  # the keys of devices that make files

    def start(self) -> None:
        """Ask the devices what they are, and begin to work.

        Raises:
            DeviceError: a device cannot be used here, or two have one name.
        """
        probe = self._worker()
        try:
            found = self._describe(probe)
            self.infos = {info.name: info for info in found.values()}
            if len(self.infos) < len(found):
                raise DeviceError("two devices have the same name; serve them by two servers")
        except BaseException:
            probe.close()
            raise
        self._lanes = self._make_lanes(found, probe)
        self._leases.offer(tuple(info.key for info in found.values()))
        for row in self._lanes:
            self._spawn(self._run, row)
        self._spawn(self._beat)

    def notify(self) -> None:
        """Say that a job was accepted."""
        for lane in self._lanes:
            lane.wake.set()

    def cancel(self, job: str) -> None:
        """Stop a job now if it runs here."""
        self._running.ask(job, "cancel")

    def stop(self) -> None:
        """Give running jobs back, and end all workers."""
        self._stopping.set()
        self.notify()
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _spawn(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _worker(self) -> WorkerProcess:
        config = self._config
        return WorkerProcess(
            WorkerLimits(config.job_time_limit_s, config.worker_memory_bytes, config.cores)
        )

    def _describe(self, probe: WorkerProcess) -> dict[str, DeviceInfo]:
        """What each device says of itself, asked in a worker."""
        found = {}
        for name in dict.fromkeys(self._config.devices):
            try:
                answer = probe.ask({"task": "describe", "device": name}, time_s=_START_LIMIT_S)
            except WorkerLost as lost:
                raise DeviceError(f"the device {name} cannot be made: {lost}") from lost
            if "info" not in answer:
                raise DeviceError(answer.get("failed") or answer["out_of_memory"])
            found[name] = from_document(answer["info"], DeviceInfo, f"the device {name}")
            if answer["compiles"]:
                self.compilers |= {found[name].key}
        return found

    def _make_lanes(self, found: dict[str, DeviceInfo], probe: WorkerProcess) -> list[Lane]:
        """A lane for every measured device, and some for all that is estimated or compiled."""
        names = {info.key: name for name, info in found.items()}
        measured = [info.key for info in found.values() if info.kind == MEASURES]
        lanes = [
            Lane({key: names[key]}, ((key, MEASURE),), True, self._worker()) for key in measured
        ]
        shared = tuple((key, MEASURE) for key in names if key not in measured)
        shared += tuple((key, COMPILE) for key in names if key in self.compilers)
        n_workers = self._config.n_workers or max(1, (os.cpu_count() or 1) - 1)
        for _ in range(n_workers if shared else 0):
            lanes.append(Lane(names, shared, False, self._worker()))
        if shared or len(measured) == 1:  # a worker with other devices is none to measure with
            lanes[-1].worker = probe
        else:
            probe.close()
        return lanes

    # Lanes ---------------------------------------------------------------------------------------

    def _is_working(self) -> bool:
        return not self._stopping.is_set()

    def _run(self, lane: Lane) -> None:
        pause_s = _POLL_S
        while self._is_working():
            lane.wake.clear()
            try:
                did_work = self._leases.has_queued(lane.offers) and self._take_turn(lane)
                pause_s = _POLL_S
            except (StorageError, OSError) as error:
                self._metrics.storage_errors.inc()
                log.warning("a lane waits: %s", error)
                did_work, pause_s = False, min(2 * pause_s, _LONGEST_PAUSE_S)
            except Exception:  # a bug costs a job its turn, never the server its lane
                log.exception("a lane met a bug")
                did_work = False
                time.sleep(_POLL_S)
            if not did_work and self._is_working():
                lane.wake.wait(pause_s)
        lane.worker.close()

    def _take_turn(self, lane: Lane) -> bool:
        with (
            self._gate.enter(lane.is_alone, self._is_working) as is_in,
            self._machine.hold(lane.is_alone, self._is_working) as is_held,
        ):
            if not (is_in and is_held and self._is_working()):
                return False
            lease = self._leases.claim(lane.offers)
            if lease is None:
                return False
            self._running.begin(lease.job)
            try:
                self._tell(lease.job)
                self._persist(self._work_safely(lane, lease))
            finally:
                self._running.end(lease.job)
                self._tell(lease.job)
        return True

    def _work_safely(self, lane: Lane, lease: Lease) -> Callable[[], object]:
        try:
            return self._work(lane, lease)
        except Exception:  # a job that meets a bug must end, or it would run for ever
            log.exception("a job met a bug", extra={"job": lease.job})
            lane.worker.close()
            return lambda: self._leases.fail(lease, "the server met a fault of its own")

    def _work(self, lane: Lane, lease: Lease) -> Callable[[], object]:
        """Run one job; returns how it ends in the database."""
        began = time.monotonic()
        device = lease.device_key
        try:
            data, suffix = self._model(lease)
            if data is None:
                return lambda: self._leases.fail(lease, "its artifact is gone; upload it again")
            message = {
                "task": lease.task,
                "device": lane.names[device],
                "device_key": device,
                "precision": lease.precision,
                "input_shape": json.loads(lease.input_shape),
                "settings": json.loads(lease.settings),
            }
            answer = self._start_device(lane, lease)
            if "failed" not in answer:
                answer = lane.worker.ask(message, (suffix, data), lambda: self._is_wanted(lease))
        except WorkerStopped:
            return self._ended_early(lease)
        except WorkerLost as lost:
            self._metrics.workers_lost.inc()
            log.warning("a worker was lost: %s", lost, extra={"job": lease.job})
            if lost.is_outside:
                return lambda: self._leases.give_back(lease, is_counted=True)
            reason = str(lost)
            return lambda: self._leases.fail(lease, reason)
        except (StorageError, OSError) as error:
            log.warning("a job goes back into the queue: %s", error, extra={"job": lease.job})
            time.sleep(_POLL_S)
            return lambda: self._leases.give_back(lease, is_counted=False)
        self._metrics.job_seconds.labels(device).observe(time.monotonic() - began)
        if "measurement" in answer:
            text = json.dumps(answer["measurement"], allow_nan=False)
            return lambda: self._leases.finish(lease, text)
        if "files" in answer:
            files = unpack_files(answer["files"])
            listed = json.dumps([one.document() for one in files])
            return lambda: self._leases.finish(lease, listed, files)
        if "out_of_memory" in answer:
            lane.worker.close()
            reason = f"it hit the memory limit of a job: {answer['out_of_memory']}"
        else:
            reason = answer["failed"]
        return lambda: self._leases.fail(lease, reason)

    def _start_device(self, lane: Lane, lease: Lease) -> dict[str, Any]:
        """Have the worker make the device, where it has not; that is not in the job's time."""
        start = (lane.worker.n_starts, lease.device_key)
        if lane.worker.is_warm and start in lane.warm:
            return {}
        message = {"task": "describe", "device": lane.names[lease.device_key]}
        answer = lane.worker.ask(
            message, is_wanted=lambda: self._is_wanted(lease), time_s=_START_LIMIT_S
        )
        lane.warm.add((lane.worker.n_starts, lease.device_key))
        return answer

    def _model(self, lease: Lease) -> tuple[bytes | None, str]:
        facts = self._artifacts.facts(lease.artifact)
        data = self._artifacts.data(lease.artifact)
        return data, facts.format if facts is not None else ""

    def _is_wanted(self, lease: Lease) -> bool:
        return self._is_working() and not self._running.asked(lease.job)

    def _ended_early(self, lease: Lease) -> Callable[[], object]:
        if self._running.asked(lease.job) == "cancel":
            return lambda: self._leases.cancel(lease)
        return lambda: self._leases.give_back(lease, is_counted=False)

    def _persist(self, action: Callable[[], object]) -> None:
        """Write the end of a job, however long the database is away, unless the server stops."""
        pause_s = 0.2
        while True:
            try:
                action()
                return
            except StorageError as error:
                self._metrics.storage_errors.inc()
                log.warning("a result waits for the database: %s", error)
                if self._stopping.wait(pause_s):
                    return
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    # Signs of life -------------------------------------------------------------------------------

    def _beat(self) -> None:
        while not self._stopping.wait(self._config.heartbeat_s):
            try:
                pulse = self._leases.beat(self._running.jobs())
            except StorageError as error:
                self._metrics.storage_errors.inc()
                log.warning("no sign of life: %s", error)
                continue
            except Exception:  # a server without a heart would lose its jobs to others
                log.exception("the heartbeat met a bug")
                continue
            for job in pulse.cancelled:
                self._running.ask(job, "cancel")
            for job in pulse.lost:
                self._running.ask(job, "lost")
            for job in pulse.taken_over:
                log.info("took over a job of a server that died", extra={"job": job})
            for job in pulse.orphaned:
                log.warning("a job that nobody ran goes back into the queue", extra={"job": job})
            changed = (*pulse.taken_over, *pulse.orphaned)
            for job in changed:
                self._tell(job)
            if changed:
                self.notify()
