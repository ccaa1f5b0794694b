"""Jobs in the database: accepted once, listed, cancelled, asked again; results by key."""

import json
import threading
import uuid
from collections import Counter, OrderedDict
from dataclasses import dataclass
from math import prod
from typing import Any

from sqlalchemy import Select, and_, exists, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from hot.records import DeviceInfo, now
from hot.server.database import Database
from hot.server.models import JobRequest
from hot.server.schema import (
    CANCELLED,
    COMPILE,
    DONE,
    FAILED,
    FINAL,
    MEASURE,
    QUEUED,
    RUNNING,
    ArtifactRow,
    FileRow,
    JobRow,
    ResultRow,
    ServerRow,
)

Document = dict[str, Any]
_MAX_ANSWERS = 4096  # kept in memory, each of a few kilobytes


class Refusal(Exception):
    """A request that the jobs as they stand do not allow; `code` names why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Filter:
    """Which jobs a list holds; None: all."""

    status: str | None = None
    device: str | None = None
    after: str | None = None
    limit: int = 100


class Jobs:
    """The jobs of all servers on one database."""

    def __init__(self, database: Database, max_queued: int) -> None:
        """Accept jobs while fewer than `max_queued` wait."""
        self._database = database
        self._max_queued = max_queued
        self._lock = threading.Lock()
        self._answers: OrderedDict[str, Document] = OrderedDict()  # done: they change no more

    def remembered(self, request: JobRequest, device: DeviceInfo) -> Document | None:
        """The answer to a request, where it was given before; asks no database."""
        key = request.key(device.key)
        with self._lock:
            if key in self._answers:
                self._answers.move_to_end(key)
            return self._answers.get(key)

    def _remember(self, key: str, document: Document) -> Document:
        with self._lock:
            self._answers[key] = document
            while len(self._answers) > _MAX_ANSWERS:
                self._answers.popitem(last=False)
        return document

    def submit(self, request: JobRequest, device: DeviceInfo) -> Document:
        """The job of a request: one done before, one in flight for the same, or a new one.

        Raises:
            Refusal: `artifact_unknown`, `input_shape` or `queue_full`.
        """
        key = request.key(device.key)
        while True:
            with self._database.read() as session:
                known = _known(session, key)
            if known is not None:
                if known["status"] == DONE:
                    # Compiled files may have to make room.
                    is_lasting = request.task == MEASURE
                    return self._remember(key, known) if is_lasting else known
                return self._raise_priority(known, request.priority)
            try:
                with self._database.write() as session:
                    self._refuse_new(session, request.artifact, request.input_shape)
                    row = _new_row(request, device, key)
                    session.add(row)
                    session.flush()  # from here no other job of the key can begin or end
                    if session.get(ResultRow, key) is None:
                        return _document(session, row)
                    session.rollback()
            except IntegrityError:  # an equal request came first
                continue

    def _refuse_new(self, session: Session, artifact: str, input_shape: list[int]) -> None:
        own = session.scalar(select(ArtifactRow.input_shape).where(ArtifactRow.sha256 == artifact))
        if own is None:
            raise Refusal(
                "artifact_unknown",
                f"the artifact {artifact} is not here; PUT it to /v1/artifacts/{artifact} and ask "
                "again",
            )
        if prod(json.loads(own)) != prod(input_shape):  # the order of axes is the format's own
            raise Refusal(
                "input_shape", f"the model's input has the shape {own}, not {input_shape}"
            )
        waiting = session.scalar(select(func.count()).where(JobRow.status == QUEUED)) or 0
        if waiting >= self._max_queued:
            raise Refusal("queue_full", f"{waiting} jobs wait already; come back later")

    def _raise_priority(self, known: Document, priority: int) -> Document:
        if known["status"] != QUEUED or known["priority"] >= priority:
            return known
        with self._database.write() as session:
            session.execute(
                update(JobRow)
                .where(JobRow.id == known["id"], JobRow.status == QUEUED)
                .values(priority=priority)
            )
        return self.get(known["id"]) or known

    def get(self, job: str) -> Document | None:
        """A job as it stands, or None."""
        with self._database.read() as session:
            row = session.scalar(select(JobRow).where(JobRow.id == job))
            return None if row is None else _document(session, row)

    def file(self, job: str, name: str) -> bytes | None:
        """A compiled file of a job; None where it is not kept, or was never made."""
        with self._database.read() as session:
            return session.scalar(
                select(FileRow.data)
                .join(JobRow, JobRow.key == FileRow.key)
                .where(JobRow.id == job, JobRow.status == DONE, FileRow.name == name)
            )

    def find(self, wanted: Filter) -> tuple[list[Document], str | None]:
        """The jobs of a list, the newest first, and from where the next list goes on.

        Raises:
            Refusal: `job_unknown`, the one to go on from.
        """
        query = select(JobRow).order_by(JobRow.number.desc()).limit(wanted.limit + 1)
        if wanted.status is not None:
            query = query.where(JobRow.status == wanted.status)
        if wanted.device is not None:
            query = query.where(JobRow.device == wanted.device)
        with self._database.read() as session:
            if wanted.after is not None:
                last = session.scalar(select(JobRow.number).where(JobRow.id == wanted.after))
                if last is None:
                    raise Refusal("job_unknown", f"there is no job {wanted.after} to go on from")
                query = query.where(JobRow.number < last)
            rows = list(session.scalars(query))
            offers = _count_offers(session)
            shown = [_brief(_document(session, row, offers)) for row in rows[: wanted.limit]]
        return shown, shown[-1]["id"] if len(rows) > wanted.limit else None

    def cancel(self, job: str) -> Document | None:
        """Take a job out of the queue, or ask its server to stop it; None where there is none.

        Raises:
            Refusal: `job_finished`.
        """
        with self._database.write() as session:
            row = session.scalar(select(JobRow).where(JobRow.id == job).with_for_update())
            if row is None:
                return None
            if row.status in FINAL:
                raise Refusal("job_finished", f"the job is {row.status} already")
            if row.status == RUNNING:
                row.is_cancel_asked = True
            else:
                end(row, CANCELLED)
            session.flush()
            return _document(session, row)

    def retry(self, job: str) -> Document | None:
        """Put a failed or cancelled job into the queue again; None where there is none.

        Raises:
            Refusal: `job_not_ended`, `artifact_unknown`, `queue_full`, or `job_superseded` where
                another job answers the same.
        """
        superseded = Refusal("job_superseded", "another job asks the same; see GET /v1/jobs")
        try:
            with self._database.write() as session:
                row = session.scalar(select(JobRow).where(JobRow.id == job).with_for_update())
                if row is None:
                    return None
                if row.status not in (FAILED, CANCELLED):
                    raise Refusal(
                        "job_not_ended", f"the job is {row.status}; only failed and cancelled ones "
                        "are retried",
                    )  # fmt: skip
                self._refuse_new(session, row.artifact, json.loads(row.input_shape))
                row.status, row.active_key, row.error = QUEUED, row.key, None
                row.progress, row.attempts, row.is_cancel_asked = "waiting", 0, False
                row.started = row.finished = None
                session.flush()
                if session.get(ResultRow, row.key) is not None:
                    raise superseded
                return _document(session, row)
        except IntegrityError as error:
            raise superseded from error

    def loads(self) -> dict[str, tuple[int, str | None]]:
        """By device key: how many jobs wait, and one that runs."""
        with self._database.read() as session:
            rows = session.execute(
                select(JobRow.device_key, JobRow.status, func.count(), func.min(JobRow.id))
                .where(JobRow.status.in_((QUEUED, RUNNING)))
                .group_by(JobRow.device_key, JobRow.status)
            ).all()
        found: dict[str, tuple[int, str | None]] = {}
        for key, status, count, first in rows:
            queued, running = found.get(key, (0, None))
            found[key] = (count, running) if status == QUEUED else (queued, first)
        return found

    def ping(self) -> None:
        """Ask the database for anything."""
        with self._database.read() as session:
            session.execute(select(1))


def end(row: JobRow, status: str, error: str | None = None) -> None:
    """Give a job its final status; a reason may hold what no database keeps as text."""
    text = None if error is None else error.encode(errors="replace").decode().replace("\0", " ")
    row.status, row.active_key, row.error = status, None, text
    row.owner, row.progress, row.finished = "", status, now()


def _known(session: Session, key: str) -> Document | None:
    """The job that has answered a key, or that is about to."""
    has_result = exists().where(ResultRow.key == JobRow.key)
    is_answered = and_(JobRow.status == DONE, has_result)
    row = session.scalar(
        select(JobRow)
        .where(JobRow.key == key, or_(is_answered, JobRow.active_key == key))
        .order_by(JobRow.number)
        .limit(1)
    )
    return None if row is None else {**_document(session, row), "cached": row.status == DONE}


def _new_row(request: JobRequest, device: DeviceInfo, key: str) -> JobRow:
    return JobRow(
        id=uuid.uuid4().hex,
        key=key,
        active_key=key,
        status=QUEUED,
        task=request.task,
        device=device.name,
        device_key=device.key,
        fingerprint=json.dumps(device.fingerprint),
        artifact=request.artifact,
        precision=request.precision,
        input_shape=json.dumps(request.input_shape),
        settings=request.settings.model_dump_json(),
        priority=request.priority,
        attempts=0,
        progress="waiting",
        error=None,
        owner="",
        is_cancel_asked=False,
        created=now(),
        started=None,
        finished=None,
    )


def _ahead(row: JobRow) -> Select[Any]:
    """How many jobs of the device run before this one; those of other tasks run beside it."""
    is_ahead = or_(
        JobRow.priority > row.priority,
        (JobRow.priority == row.priority) & (JobRow.number < row.number),
    )
    return select(func.count()).where(
        JobRow.status == QUEUED,
        JobRow.device_key == row.device_key,
        JobRow.task == row.task,
        is_ahead,
    )


def _count_offers(session: Session) -> Counter[str]:
    """How many running servers offer each device, by its key."""
    offers = session.scalars(select(ServerRow.devices))
    return Counter(key for keys in offers for key in set(json.loads(keys)))


def _document(session: Session, row: JobRow, offers: Counter[str] | None = None) -> Document:
    """A job as clients see it; `offers`, of all servers, where many are shown."""
    result = position = servers = None
    if row.status == DONE:
        text = session.scalar(select(ResultRow.result).where(ResultRow.key == row.key))
        result = None if text is None else json.loads(text)
    elif row.status == QUEUED:
        position = 1 + (session.scalar(_ahead(row)) or 0)
        servers = (_count_offers(session) if offers is None else offers)[row.device_key]
    return {
        "id": row.id,
        "status": row.status,
        "task": row.task,
        "device": row.device,
        "fingerprint": json.loads(row.fingerprint),
        "device_key": row.device_key,
        "artifact": row.artifact,
        "precision": row.precision,
        "input_shape": json.loads(row.input_shape),
        "settings": json.loads(row.settings),
        "priority": row.priority,
        "position": position,
        "servers": servers,
        "cached": False,
        "attempts": row.attempts,
        "created": row.created,
        "started": row.started,
        "finished": row.finished,
        "progress": row.progress,
        "measurement": None if row.task == COMPILE else result,
        "files": result if row.task == COMPILE else None,
        "error": row.error,
    }


def _brief(document: Document) -> Document:
    measurement = document["measurement"]
    if measurement is None:
        return document
    return {**document, "measurement": {**measurement, "nodes": [], "samples_ms": []}}
