"""The database of look-up tables, SQLite or PostgreSQL: every sample the moment it is taken.

What a build has measured is committed group by group, so a kill loses at most the group under
measurement, and the unique keys keep anything from being stored twice.
"""

import json
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Engine, create_engine, delete, event, select, update
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError, SQLAlchemyError
from sqlalchemy.orm import Session, selectinload

from hot.errors import LutError, StorageError
from hot.lut.attribute import PartTime
from hot.lut.schema import Base, EntryRow, JobRow, LutRow, SampleRow, TimingRow
from hot.records import CheckResult, DeviceInfo, Lut, LutEntry, now
from hot.space import Space, SpaceSpec

_TRIES = 5
_STALE_S = 900.0  # a builder reports after every group; no group takes as long


@dataclass(frozen=True)
class LutKey:
    """What a LUT is stored under: figures of two different keys never mix."""

    space: str
    device: str
    precision: str
    method: str

    def __str__(self) -> str:
        return f"{self.space} on {self.device} at {self.precision}, {self.method}"


@dataclass(frozen=True)
class JobResult:
    """What was measured of one job.

    Attributes:
        parts: the times of its parts; for work alone one part, the whole of it.
        unnamed_share: share of node time whose node told no part.
        failure: the device's reason where it could not run; all else is then empty.
    """

    key: str
    latency_ms: float | None
    spread: float
    parts: tuple[PartTime, ...]
    energy_mj: float | None = None
    unnamed_share: float = 0.0
    failure: str | None = None


class LutStore:
    """Look-up tables in a database; give a file path for SQLite, or any SQLAlchemy URL."""

    def __init__(self, location: str | os.PathLike[str]) -> None:
        """Open, and at first use make, the tables.

        Raises:
            StorageError: the database cannot be opened or written.
        """
        text = os.fspath(location)
        self.url = text if "://" in text else f"sqlite:///{Path(text).resolve()}"
        with _storage(self.url):
            if "://" not in text:
                Path(text).resolve().parent.mkdir(parents=True, exist_ok=True)
            self._engine = create_engine(_with_driver(self.url))
            if self._engine.dialect.name == "sqlite":
                event.listen(self._engine, "connect", _prepare_sqlite)
            _make_tables(self._engine)

    @property
    def engine(self) -> Engine:
        """SQLAlchemy's engine."""
        return self._engine

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def _session(self) -> Iterator[Session]:
        with _storage(self.url), Session(self._engine) as session, session.begin():
            yield session

    # One LUT -------------------------------------------------------------------------------------

    def open_lut(self, key: LutKey, device: DeviceInfo, space: Space, seed: int) -> int:
        """The number of the LUT of `key`, made where there is none."""
        with self._session() as session:
            row = session.scalar(_find(key))
            if row is None:
                row = _new_row(key, device, space.resolution, space.spec, seed)
                session.add(row)
                session.flush()
            number: int = row.id
            return number

    def find(self, key: LutKey) -> int | None:
        """The number of the LUT of `key`, or None."""
        with self._session() as session:
            row = session.scalar(_find(key))
            return None if row is None else row.id

    def is_finished(self, lut_id: int) -> bool:
        """Whether the build of a LUT ended."""
        with self._session() as session:
            return session.get_one(LutRow, lut_id).finished != ""

    def keys(self) -> list[LutKey]:
        """The keys of all LUTs whose build ended."""
        with self._session() as session:
            rows = session.scalars(select(LutRow).where(LutRow.finished != "").order_by(LutRow.id))
            return [LutKey(r.space, r.device_key, r.precision, r.method) for r in rows]

    def forget(self, lut_id: int) -> None:
        """Remove a LUT with all it holds."""
        with self._session() as session:
            session.delete(session.get_one(LutRow, lut_id))

    def seed(self, lut_id: int) -> int:
        """The seed of the layout; a build that goes on keeps it."""
        with self._session() as session:
            return session.get_one(LutRow, lut_id).seed

    # Building ------------------------------------------------------------------------------------

    @contextmanager
    def builder(self, lut_id: int) -> Iterator[None]:
        """Be the only builder of a LUT; a builder that was killed is no obstacle.

        Raises:
            LutError: another process is building it now.
        """
        me = f"{socket.gethostname()}:{os.getpid()}"
        with self._session() as session:
            row = session.get_one(LutRow, lut_id)
            seen = row.owner
            if seen and _is_alive(seen, row.beat) and seen != me:
                raise LutError(
                    f"the process {seen} is building this LUT now; wait for it, or end it first"
                )
            taken = session.execute(
                update(LutRow)
                .where(LutRow.id == lut_id, LutRow.owner == seen)
                .values(owner=me, beat=time.time())
            )
            if taken.rowcount != 1:  # type: ignore[attr-defined]
                raise LutError("another process has just begun to build this LUT; wait for it")
        try:
            yield
        finally:
            with self._session() as session:
                session.execute(
                    update(LutRow).where(LutRow.id == lut_id, LutRow.owner == me).values(owner="")
                )

    def add_results(self, lut_id: int, segment: int, results: Sequence[JobResult]) -> None:
        """Commit what was measured of a group of jobs, all or nothing."""
        with self._session() as session:
            for result in results:
                row = _job_row(result, segment)
                row.lut_id = lut_id
                session.add(row)
            session.execute(
                update(LutRow).where(LutRow.id == lut_id).values(beat=time.time(), finished="")
            )

    def results(self, lut_id: int) -> dict[str, JobResult]:
        """All that was measured so far, by job key, in the order taken."""
        with self._session() as session:
            rows = session.scalars(
                select(JobRow)
                .where(JobRow.lut_id == lut_id)
                .order_by(JobRow.id)
                .options(selectinload(JobRow.samples))
            )
            return {row.key: _result(row) for row in rows}

    def segments(self, lut_id: int) -> dict[str, int]:
        """Job key to the segment in which it was measured."""
        with self._session() as session:
            rows = session.execute(
                select(JobRow.key, JobRow.segment).where(JobRow.lut_id == lut_id)
            )
            return {row.key: row.segment for row in rows}

    def drop_jobs(self, lut_id: int, keys: Sequence[str]) -> None:
        """Forget the results of some jobs, so that they are measured again."""
        with self._session() as session:
            rows = session.scalars(
                select(JobRow).where(JobRow.lut_id == lut_id, JobRow.key.in_(keys))
            )
            for row in rows:
                session.delete(row)

    def add_timing(self, lut_id: int, latencies_ms: dict[str, float]) -> int:
        """Commit a timing of the sentinels; returns its number, which starts the next segment."""
        with self._session() as session:
            taken = session.scalars(
                select(TimingRow.number).where(TimingRow.lut_id == lut_id)
            ).all()
            number = max(taken, default=-1) + 1
            for architecture, latency_ms in latencies_ms.items():
                session.add(
                    TimingRow(
                        lut_id=lut_id,
                        number=number,
                        architecture=architecture,
                        latency_ms=latency_ms,
                        taken=now(),
                    )
                )
            return number

    def timings(self, lut_id: int) -> dict[int, dict[str, float]]:
        """All timings of the sentinels, by number."""
        found: dict[int, dict[str, float]] = {}
        with self._session() as session:
            rows = session.scalars(
                select(TimingRow).where(TimingRow.lut_id == lut_id).order_by(TimingRow.number)
            )
            for row in rows:
                found.setdefault(row.number, {})[row.architecture] = row.latency_ms
        return found

    def finish(
        self,
        lut_id: int,
        entries: dict[str, LutEntry],
        sentinels: dict[str, float],
        unnamed_share: float,
    ) -> None:
        """Commit the entries of a LUT, which ends its build."""
        with self._session() as session:
            session.execute(delete(EntryRow).where(EntryRow.lut_id == lut_id))
            for key, entry in entries.items():
                entry_row = _entry_row(key, entry)
                entry_row.lut_id = lut_id
                session.add(entry_row)
            row = session.get_one(LutRow, lut_id)
            row.sentinels = json.dumps(sentinels)
            row.unnamed_share = unnamed_share
            row.check = ""
            row.finished = now()

    # Reading -------------------------------------------------------------------------------------

    def load(self, key: LutKey) -> Lut:
        """The finished LUT of `key`.

        Raises:
            LutError: there is none, or its build has not ended.
        """
        with self._session() as session:
            row = session.scalar(_find(key))
            if row is None or not row.finished:
                state = "holds no LUT" if row is None else "holds an unfinished LUT"
                raise LutError(f"{self.url} {state} of {key}; run hot build-lut")
            return _lut(row, tuple(sorted(self._networks(session, row.id))))

    def _networks(self, session: Session, lut_id: int) -> set[str]:
        return set(session.scalars(select(JobRow.key).where(JobRow.lut_id == lut_id)))

    def add_lut(self, lut: Lut) -> None:
        """Keep a finished LUT that was built elsewhere; of a corrected one the entries alone.

        Raises:
            LutError: there is one of the same key.
        """
        key = key_of(lut)
        if self.find(key) is not None:
            raise LutError(f"{self.url} holds a LUT of {key} already; forget it first")
        with self._session() as session:
            row = _new_row(key, lut.device, lut.resolution, lut.spec, lut.seed)
            row.jobs = [_job_row(JobResult(name, None, 0.0, ()), -1) for name in lut.jobs]
            row.entries = [_entry_row(name, entry) for name, entry in lut.entries.items()]
            row.sentinels = json.dumps(lut.sentinels)
            # The check of a corrected table says nothing of the table that the entries give.
            row.check = _dump(lut.check) if lut.check and lut.corrected is None else ""
            row.unnamed_share = lut.unnamed_share
            row.finished = lut.created or now()
            session.add(row)

    def add_check(self, key: LutKey, check: CheckResult) -> None:
        """Keep the result of a check with its LUT."""
        with self._session() as session:
            row = session.scalar(_find(key))
            if row is None:
                raise LutError(f"{self.url} holds no LUT of {key}; run hot build-lut")
            row.check = _dump(check)


def key_of(lut: Lut) -> LutKey:
    """The key under which a LUT is stored."""
    return LutKey(lut.space, lut.device.key, lut.precision, lut.method)


def _find(key: LutKey) -> Any:
    return select(LutRow).where(
        LutRow.space == key.space,
        LutRow.device_key == key.device,
        LutRow.precision == key.precision,
        LutRow.method == key.method,
    )


def _new_row(
    key: LutKey, device: DeviceInfo, resolution: int, spec: SpaceSpec | None, seed: int
) -> LutRow:
    return LutRow(
        space=key.space,
        device_key=key.device,
        precision=key.precision,
        method=key.method,
        device=_dump(device),
        resolution=resolution,
        spec=_dump(spec) if spec else "",
        seed=seed,
        created=now(),
        finished="",
        unnamed_share=0.0,
        sentinels="{}",
        check="",
        owner="",
        beat=0.0,
    )


def _job_row(result: JobResult, segment: int) -> JobRow:
    samples = [
        SampleRow(
            part=part.part,
            work_key=part.work_key,
            latency_ms=part.latency_ms,
            n_nodes=part.n_nodes,
        )
        for part in result.parts
    ]
    return JobRow(
        key=result.key,
        segment=segment,
        latency_ms=result.latency_ms,
        spread=result.spread,
        energy_mj=result.energy_mj,
        unnamed_share=result.unnamed_share,
        failure=result.failure or "",
        samples=samples,
    )


def _entry_row(key: str, entry: LutEntry) -> EntryRow:
    return EntryRow(
        work_key=key,
        latency_ms=entry.latency_ms,
        spread=entry.spread,
        n_samples=entry.n_samples,
        energy_mj=entry.energy_mj,
    )


def _lut(row: LutRow, jobs: tuple[str, ...]) -> Lut:
    entries = {
        e.work_key: LutEntry(e.latency_ms, e.spread, e.n_samples, e.energy_mj)
        for e in sorted(row.entries, key=lambda e: e.id)
    }
    return Lut(
        space=row.space,
        device=TypeAdapter(DeviceInfo).validate_json(row.device),
        precision=row.precision,
        resolution=row.resolution,
        method=row.method,
        entries=entries,
        sentinels=json.loads(row.sentinels),
        check=TypeAdapter(CheckResult).validate_json(row.check) if row.check else None,
        created=row.finished,
        seed=row.seed,
        jobs=jobs,
        unnamed_share=row.unnamed_share,
        spec=TypeAdapter(SpaceSpec).validate_json(row.spec) if row.spec else None,
    )


def _result(row: JobRow) -> JobResult:
    parts = tuple(
        PartTime(s.part, s.work_key, s.latency_ms, s.n_nodes)
        for s in sorted(row.samples, key=lambda s: s.id)
    )
    return JobResult(
        row.key,
        row.latency_ms,
        row.spread,
        parts,
        row.energy_mj,
        row.unnamed_share,
        row.failure or None,
    )


def _dump(record: object) -> str:
    return TypeAdapter(type(record)).dump_json(record).decode()


def _is_alive(owner: str, beat: float) -> bool:
    host, _, pid = owner.rpartition(":")
    if time.time() - beat > _STALE_S:
        return False
    if host != socket.gethostname():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _with_driver(url: str) -> str:
    """PostgreSQL through psycopg 3, which hot's extra installs, unless the URL names a driver."""
    for prefix in ("postgresql://", "postgres://"):
        if url.startswith(prefix):
            return "postgresql+psycopg://" + url[len(prefix) :]
    return url


def _make_tables(engine: Engine) -> None:
    """Make the tables that are missing; another process may be making them at the same moment."""
    for _ in range(_TRIES - 1):
        try:
            return Base.metadata.create_all(engine)
        except (OperationalError, ProgrammingError, IntegrityError):
            time.sleep(0.1)
    return Base.metadata.create_all(engine)


def _prepare_sqlite(connection: Any, _: Any) -> None:
    """Foreign keys on; wait for another writer; a commit is on the disk when it returns."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA busy_timeout = 30000")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()


@contextmanager
def _storage(url: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise StorageError(
            f"cannot use the LUT database {url}: {error}; "
            "PostgreSQL needs hot's extra: pip install 'hot[postgresql]'"
        ) from error
    except (SQLAlchemyError, OSError) as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()
        raise StorageError(
            f"cannot use the LUT database {url}: {reason[0] if reason else type(error).__name__}; "
            "check the path or URL, its rights and the space on the disk"
        ) from error
