"""Which server runs which job: leases that end with their server, without trust in any clock.

A server counts its signs of life in the database. Another one that sees the count stand still for
`patience` of its own signs, or that finds the process gone on its own machine, takes the jobs over.
"""

import json
import os
import socket
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import CursorResult, delete, select, tuple_, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from hot.records import now
from hot.server.compiled import CompiledFile, add_files
from hot.server.database import Database
from hot.server.jobs import end
from hot.server.schema import (
    CANCELLED,
    DONE,
    FAILED,
    QUEUED,
    RUNNING,
    JobRow,
    ResultRow,
    ServerRow,
)

Offers = tuple[tuple[str, str], ...]  # device keys, each with a task


@dataclass(frozen=True)
class Lease:
    """A job that this server runs: its `attempt` tells it from later ones of the same job."""

    job: str
    attempt: int
    key: str
    device_key: str
    artifact: str
    precision: str
    input_shape: str
    settings: str
    task: str


@dataclass(frozen=True)
class Pulse:
    """What one sign of life found.

    Attributes:
        cancelled: jobs to stop because of a client.
        lost: jobs that another server has taken over.
        taken_over: jobs of servers that died.
        orphaned: jobs of this server that nobody here ran.
    """

    cancelled: frozenset[str] = frozenset()
    lost: frozenset[str] = frozenset()
    taken_over: tuple[str, ...] = ()
    orphaned: tuple[str, ...] = ()


@dataclass
class _Seen:
    beats: int
    looks: int = field(default=0)


class Leases:
    """The jobs that one server runs."""

    def __init__(
        self,
        database: Database,
        name: str,
        patience: int,
        max_attempts: int,
        max_files_bytes: int,
    ) -> None:
        """Be a new server; `enter` makes it known."""
        self._max_files_bytes = max_files_bytes
        self.id = uuid.uuid4().hex
        self._database = database
        self._name = name
        self._patience = patience
        self._max_attempts = max_attempts
        self._others: dict[str, _Seen] = {}
        self._devices: tuple[str, ...] = ()
        self._suspects: frozenset[str] = frozenset()  # by the last beat, nobody here runs them

    def enter(self) -> tuple[str, ...]:
        """Make this server known and take over the jobs of those that died here; their ids."""
        with self._database.write() as session:
            session.add(self._row())
        return self.beat(frozenset()).taken_over

    def offer(self, device_keys: tuple[str, ...]) -> None:
        """Make known which devices this server has."""
        self._devices = device_keys
        with self._database.write() as session:
            session.execute(
                update(ServerRow)
                .where(ServerRow.id == self.id)
                .values(devices=json.dumps(device_keys))
            )

    def leave(self) -> None:
        """Give back whatever is still held, and sign off."""
        with self._database.write() as session:
            _take_over(session, self.id, self._max_attempts, is_counted=False)

    def beat(self, held: frozenset[str]) -> Pulse:
        """Give a sign of life; `held` are the jobs that this server believes it runs.

        What it is said to run and does not, at two beats in a row, goes back into the queue: a
        claim whose answer was lost on its way, or a job that met a bug. A single beat may come
        between a claim and its note in `held`. It counts as an attempt, whose number tells the
        next lease from the lost one.
        """
        with self._database.write() as session:
            alive = session.execute(
                update(ServerRow).where(ServerRow.id == self.id).values(beats=ServerRow.beats + 1)
            )
            if _count(alive) == 0:  # held for dead, or the database is an older copy
                session.add(self._row())
            taken: list[str] = []
            for row in session.scalars(select(ServerRow).where(ServerRow.id != self.id)).all():
                if self._is_dead(row):
                    taken += _take_over(session, row.id, self._max_attempts, is_counted=True)
                    self._others.pop(row.id, None)
            mine = session.execute(
                select(JobRow.id, JobRow.is_cancel_asked).where(
                    JobRow.owner == self.id, JobRow.status == RUNNING
                )
            ).all()
            suspects = frozenset(row.id for row in mine) - held
            orphaned = self._free(session, suspects & self._suspects)
        self._suspects = suspects
        cancelled = frozenset(row.id for row in mine if row.is_cancel_asked)
        return Pulse(cancelled, held - {row.id for row in mine}, tuple(taken), orphaned)

    def _free(self, session: Session, orphans: frozenset[str]) -> tuple[str, ...]:
        """Put jobs that nobody runs back into the queue; their ids."""
        if not orphans:
            return ()
        rows = session.scalars(
            select(JobRow)
            .where(
                JobRow.id.in_(sorted(orphans)), JobRow.owner == self.id, JobRow.status == RUNNING
            )
            .with_for_update()
        ).all()
        for row in rows:
            _requeue(row, self._max_attempts, is_counted=True)
        return tuple(row.id for row in rows)

    def has_queued(self, offers: Offers) -> bool:
        """Whether a job waits that is among these devices and tasks."""
        with self._database.read() as session:
            return session.scalar(_next(offers)) is not None

    def claim(self, offers: Offers) -> Lease | None:
        """Begin the next job of these devices and tasks, or None where none waits."""
        while True:
            with self._database.read() as session:
                number = session.scalar(_next(offers))
            if number is None:
                return None
            with self._database.write() as session:
                begun = session.execute(
                    update(JobRow)
                    .where(JobRow.number == number, JobRow.status == QUEUED)
                    .values(
                        status=RUNNING,
                        owner=self.id,
                        attempts=JobRow.attempts + 1,
                        progress="running",
                        started=now(),
                    )
                )
                if _count(begun) == 1:
                    return _lease(session.get_one(JobRow, number))

    def finish(self, lease: Lease, result: str, files: Sequence[CompiledFile] = ()) -> bool:
        """Keep a result and end its job; False where the job was lost to another server."""
        try:
            with self._database.write() as session:
                row = self._held(session, lease)
                if row is None:
                    return False
                if session.get(ResultRow, lease.key) is None:
                    session.add(ResultRow(key=lease.key, result=result, created=now()))
                    add_files(session, lease.key, files, self._max_files_bytes)
                end(row, DONE)
        except IntegrityError:  # the same result by another way, at this moment
            return self.finish(lease, result, files)
        return True

    def fail(self, lease: Lease, reason: str) -> bool:
        """End a job that cost its worker; False where it was lost to another server."""
        return self._end(lease, FAILED, reason)

    def cancel(self, lease: Lease) -> bool:
        """End a job that a client cancelled."""
        return self._end(lease, CANCELLED, None)

    def give_back(self, lease: Lease, is_counted: bool) -> bool:
        """Put a job back into the queue; counted, it fails after too many attempts."""
        with self._database.write() as session:
            row = self._held(session, lease)
            if row is None:
                return False
            _requeue(row, self._max_attempts, is_counted)
        return True

    def _end(self, lease: Lease, status: str, reason: str | None) -> bool:
        with self._database.write() as session:
            row = self._held(session, lease)
            if row is None:
                return False
            end(row, status, reason)
        return True

    def _held(self, session: Session, lease: Lease) -> JobRow | None:
        return session.scalar(
            select(JobRow)
            .where(
                JobRow.id == lease.job,
                JobRow.owner == self.id,
                JobRow.status == RUNNING,
                JobRow.attempts == lease.attempt,
            )
            .with_for_update()
        )

    def _row(self) -> ServerRow:
        pid = os.getpid()
        return ServerRow(
            id=self.id,
            name=self._name,
            place=_place(),
            pid=pid,
            birth=_birth(pid),
            beats=0,
            devices=json.dumps(self._devices),
        )

    def _is_dead(self, row: ServerRow) -> bool:
        if row.birth and row.place == _place():
            return _birth(row.pid) != row.birth
        seen = self._others.get(row.id)
        if seen is None or seen.beats != row.beats:
            self._others[row.id] = _Seen(row.beats)
            return False
        seen.looks += 1
        return seen.looks >= self._patience


def _next(offers: Offers) -> Any:
    return (
        select(JobRow.number)
        .where(JobRow.status == QUEUED, tuple_(JobRow.device_key, JobRow.task).in_(offers))
        .order_by(JobRow.priority.desc(), JobRow.number)
        .limit(1)
    )


def _take_over(session: Session, server: str, max_attempts: int, is_counted: bool) -> list[str]:
    """Put all jobs of a server back into the queue and forget it; the ids of the jobs."""
    rows = session.scalars(
        select(JobRow).where(JobRow.owner == server, JobRow.status == RUNNING).with_for_update()
    ).all()
    for row in rows:
        _requeue(row, max_attempts, is_counted)
    session.execute(delete(ServerRow).where(ServerRow.id == server))
    return [row.id for row in rows]


def _requeue(row: JobRow, max_attempts: int, is_counted: bool) -> None:
    if row.is_cancel_asked:
        end(row, CANCELLED)
    elif is_counted and row.attempts >= max_attempts:
        end(row, FAILED, f"its server or worker was lost at each of {row.attempts} attempts")
    else:
        row.status, row.owner, row.progress, row.started = QUEUED, "", "waiting again", None
        row.attempts -= 0 if is_counted else 1


def _lease(row: JobRow) -> Lease:
    return Lease(
        row.id,
        row.attempts,
        row.key,
        row.device_key,
        row.artifact,
        row.precision,
        row.input_shape,
        row.settings,
        row.task,
    )


def _count(result: Any) -> int:
    rows: CursorResult[Any] = result
    return rows.rowcount


def _place() -> str:
    """Where process numbers mean the same: this machine, since it started, in this container."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    started = boot.read_text().strip() if boot.exists() else ""
    space = Path("/proc/self/ns/pid")
    return f"{socket.gethostname()} {started} {space.readlink() if space.is_symlink() else ''}"


def _birth(pid: int) -> str:
    """When a process started, in ticks since the machine did; empty where it does not run."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]
