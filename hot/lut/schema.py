"""Tables of the LUT database: LUTs, their jobs and samples, entries, sentinel timings."""

from sqlalchemy import ForeignKey, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    """Base of all tables."""


class LutRow(Base):
    """A look-up table; `finished` is empty while it is built.

    Records that are only read whole (device, spec, sentinels, check) are JSON text. `owner` is
    the process that builds it, `beat` when it last reported (seconds since 1970).
    """

    __tablename__ = "luts"
    __table_args__ = (UniqueConstraint("space", "device_key", "precision", "method"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    space: Mapped[str]
    device_key: Mapped[str]
    precision: Mapped[str]
    method: Mapped[str]
    device: Mapped[str] = mapped_column(Text)
    resolution: Mapped[int]
    spec: Mapped[str] = mapped_column(Text)
    seed: Mapped[int]
    created: Mapped[str]
    finished: Mapped[str]
    unnamed_share: Mapped[float]
    sentinels: Mapped[str] = mapped_column(Text)
    check: Mapped[str] = mapped_column("check_result", Text)
    owner: Mapped[str]
    beat: Mapped[float]
    jobs: Mapped[list["JobRow"]] = relationship(cascade="all, delete-orphan")
    entries: Mapped[list["EntryRow"]] = relationship(cascade="all, delete-orphan")
    timings: Mapped[list["TimingRow"]] = relationship(cascade="all, delete-orphan")


class JobRow(Base):
    """One measured artifact: a whole network, or one piece of work alone."""

    __tablename__ = "jobs"
    __table_args__ = (UniqueConstraint("lut_id", "key"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    lut_id: Mapped[int] = mapped_column(ForeignKey("luts.id", ondelete="CASCADE"))
    key: Mapped[str] = mapped_column(Text)
    segment: Mapped[int]
    latency_ms: Mapped[float | None]
    spread: Mapped[float]
    energy_mj: Mapped[float | None]
    unnamed_share: Mapped[float]
    failure: Mapped[str] = mapped_column(Text)
    samples: Mapped[list["SampleRow"]] = relationship(cascade="all, delete-orphan")


class SampleRow(Base):
    """The time of one part of a measured artifact."""

    __tablename__ = "samples"
    __table_args__ = (UniqueConstraint("job_id", "part"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    part: Mapped[str]
    work_key: Mapped[str]
    latency_ms: Mapped[float]
    n_nodes: Mapped[int]


class EntryRow(Base):
    """One entry of a finished LUT."""

    __tablename__ = "entries"
    __table_args__ = (UniqueConstraint("lut_id", "work_key"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    lut_id: Mapped[int] = mapped_column(ForeignKey("luts.id", ondelete="CASCADE"))
    work_key: Mapped[str]
    latency_ms: Mapped[float]
    spread: Mapped[float]
    n_samples: Mapped[int]
    energy_mj: Mapped[float | None]


class TimingRow(Base):
    """One sentinel network at one timing of the sentinels."""

    __tablename__ = "sentinels"
    __table_args__ = (UniqueConstraint("lut_id", "number", "architecture"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    lut_id: Mapped[int] = mapped_column(ForeignKey("luts.id", ondelete="CASCADE"))
    number: Mapped[int]
    architecture: Mapped[str] = mapped_column(Text)
    latency_ms: Mapped[float]
    taken: Mapped[str]
