"""Tables of the profiling server: artifacts, results, files, jobs, and the running servers."""

from sqlalchemy import BigInteger, Index, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"
STATUSES = (QUEUED, RUNNING, DONE, FAILED, CANCELLED)
FINAL = (DONE, FAILED, CANCELLED)
MEASURE, COMPILE = "measure", "compile"


class Base(DeclarativeBase):
    """Base of the server's tables."""


class ArtifactRow(Base):
    """A model that passed the check of uploads."""

    __tablename__ = "server_artifacts"

    number: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    format: Mapped[str] = mapped_column(String(16))
    input_shape: Mapped[str] = mapped_column(Text)
    n_bytes: Mapped[int] = mapped_column(BigInteger)
    created: Mapped[str] = mapped_column(String(40))
    data: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)


class ResultRow(Base):
    """What a device said of an artifact; the key is the digest of all that decides it.

    `result` is a measurement, or the names, sizes and digests of compiled files.
    """

    __tablename__ = "server_results"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    result: Mapped[str] = mapped_column(Text)
    created: Mapped[str] = mapped_column(String(40))


class FileRow(Base):
    """A compiled file; the key is that of its result."""

    __tablename__ = "server_files"
    __table_args__ = (UniqueConstraint("key", "name"),)

    number: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(200))
    n_bytes: Mapped[int] = mapped_column(BigInteger)
    data: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)


class JobRow(Base):
    """A request for one result.

    `active_key` is the key while the job waits or runs and NULL after: it is unique, so that equal
    requests in flight are one job. `owner` is the server that runs it.
    """

    __tablename__ = "server_jobs"
    __table_args__ = (
        Index("server_jobs_next", "status", "device_key", "priority", "number"),
        Index("server_jobs_artifact", "artifact"),
    )

    number: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(String(32), unique=True)
    key: Mapped[str] = mapped_column(String(64), index=True)
    active_key: Mapped[str | None] = mapped_column(String(64), unique=True)
    status: Mapped[str] = mapped_column(String(16))
    task: Mapped[str] = mapped_column(String(16))
    device: Mapped[str] = mapped_column(Text)
    device_key: Mapped[str] = mapped_column(String(200))
    fingerprint: Mapped[str] = mapped_column(Text)
    artifact: Mapped[str] = mapped_column(String(64))
    precision: Mapped[str] = mapped_column(String(16))
    input_shape: Mapped[str] = mapped_column(Text)
    settings: Mapped[str] = mapped_column(Text)
    priority: Mapped[int]
    attempts: Mapped[int]
    progress: Mapped[str] = mapped_column(Text)
    error: Mapped[str | None] = mapped_column(Text)
    owner: Mapped[str] = mapped_column(String(32))
    is_cancel_asked: Mapped[bool]
    created: Mapped[str] = mapped_column(String(40))
    started: Mapped[str | None] = mapped_column(String(40))
    finished: Mapped[str | None] = mapped_column(String(40))


class ServerRow(Base):
    """A running server.

    `beats` counts its signs of life, `place` and `pid` tell its process, `devices` are the keys of
    those that it offers, as a JSON list.
    """

    __tablename__ = "server_instances"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    place: Mapped[str] = mapped_column(Text)
    pid: Mapped[int]
    birth: Mapped[str] = mapped_column(String(40))
    beats: Mapped[int] = mapped_column(BigInteger)
    devices: Mapped[str] = mapped_column(Text)
