"""A database that may be locked, full, read-only or gone, and come back, while a server runs."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, inspect
from sqlalchemy.exc import (
    DBAPIError,
    DisconnectionError,
    IntegrityError,
    OperationalError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from hot.errors import StorageError
from hot.server.schema import Base

_TRIES = 5
_WAIT_S = 3.0  # for another writer, and for a connection; then the request is told to come back
_PRAGMAS = ("journal_mode = WAL", "synchronous = FULL")


class Database:
    """Sessions on SQLite or PostgreSQL; what fails in the database is a `StorageError`.

    A commit is on the disk when `write` ends. SQLite's file is never made anew while the server
    runs: where it was taken away, everything waits until it is back.
    """

    def __init__(self, location: str) -> None:
        """Open the database and make the tables that are missing.

        Raises:
            StorageError: it cannot be opened or written.
        """
        self.url = location if "://" in location else f"sqlite:///{Path(location).resolve()}"
        self._writing = threading.Lock()
        with self._storage():
            self._engine = _open(self.url)
            _make_tables(self._engine)
            _require_columns(self._engine)
        self._is_sqlite = self._engine.dialect.name == "sqlite"
        self._writer = self._engine.execution_options(hot_writes=True)

    @property
    def engine(self) -> Engine:
        """SQLAlchemy's engine."""
        return self._engine

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that reads one state of the database.

        Raises:
            StorageError: the database cannot be read now.
        """
        with self._storage(), Session(self._engine) as session, session.begin():
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session that commits at its end, all or nothing.

        Raises:
            StorageError: the database cannot be written now; nothing is changed.
        """
        with self._turn(), self._storage(), Session(self._writer) as session, session.begin():
            yield session

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """SQLite has one writer: threads queue here, where waiting costs less than in SQLite."""
        if not self._is_sqlite:
            yield
            return
        if not self._writing.acquire(timeout=_WAIT_S):
            raise StorageError(f"the database {self.shown} is busy; try again")
        try:
            yield
        finally:
            self._writing.release()

    @property
    def shown(self) -> str:
        """The address without its password."""
        engine: Engine | None = getattr(self, "_engine", None)
        return engine.url.render_as_string() if engine else self.url.rpartition("@")[2]

    def _forget_read_only(self, reason: list[str]) -> None:
        """Close connections that were opened while the file could not be written: they stay so."""
        if reason and "readonly" in reason[0] and hasattr(self, "_engine"):
            self._engine.dispose()

    @contextmanager
    def _storage(self) -> Iterator[None]:
        try:
            yield
        except ModuleNotFoundError as error:
            raise StorageError(
                f"cannot use the database {self.shown}: {error}; "
                "PostgreSQL needs hot's extra: pip install 'hot[postgresql]'"
            ) from error
        except IntegrityError:
            raise  # two wrote the same: the caller knows what that means
        except (DBAPIError, PoolTimeoutError, DisconnectionError, OSError) as error:
            reason = str(getattr(error, "orig", None) or error).strip().splitlines()
            self._forget_read_only(reason)
            raise StorageError(
                f"cannot use the database {self.shown}: "
                f"{reason[0] if reason else type(error).__name__}; "
                "check its rights, the space on its disk, and that it runs"
            ) from error


def _open(url: str) -> Engine:
    if not url.startswith("sqlite"):
        for prefix in ("postgresql://", "postgres://"):  # psycopg 3, which hot's extra installs
            if url.startswith(prefix):
                url = "postgresql+psycopg://" + url.removeprefix(prefix)
        wait_ms = int(1000 * _WAIT_S)
        options = f"-c lock_timeout={wait_ms} -c statement_timeout={10 * wait_ms}"
        return create_engine(
            url,
            pool_size=16,
            max_overflow=16,
            pool_timeout=_WAIT_S,
            pool_pre_ping=True,
            connect_args={"connect_timeout": int(_WAIT_S), "options": options},
        )
    path = Path(url.removeprefix("sqlite:///"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    engine = create_engine(
        f"sqlite:///{path}",
        creator=lambda: _connect(path),
        pool_size=16,
        max_overflow=32,
        pool_timeout=_WAIT_S,
    )
    _guard(engine, path)
    return engine


def _connect(path: Path) -> sqlite3.Connection:
    """A connection to a file that must be there already."""
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=rw",
        uri=True,
        timeout=_WAIT_S,
        check_same_thread=False,
        isolation_level=None,  # SQLAlchemy's events begin and end transactions
    )
    try:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _guard(engine: Engine, path: Path) -> None:
    """Begin transactions as they are meant, and drop connections to a file that was moved."""

    def begin(connection: Connection) -> None:
        is_writer = connection.get_execution_options().get("hot_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writer else "BEGIN")

    def remember(connection: Any, entry: ConnectionPoolEntry) -> None:
        entry.info["file"] = _identity(path)

    def compare(connection: Any, entry: ConnectionPoolEntry, proxy: Any) -> None:
        if entry.info["file"] != _identity(path):
            raise DisconnectionError(f"{path} is another file than before, or gone")

    event.listen(engine, "begin", begin)
    event.listen(engine, "connect", remember)
    event.listen(engine, "checkout", compare)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _require_columns(engine: Engine) -> None:
    """Refuse a database that another version of hot has made."""
    found = inspect(engine)
    for table in Base.metadata.sorted_tables:
        missing = {c.name for c in table.columns} - {
            c["name"] for c in found.get_columns(table.name)
        }
        if missing:
            raise StorageError(
                f"the database {engine.url.render_as_string()} was made by another version of hot: "
                f"its table {table.name} has no {', '.join(sorted(missing))}; give another --store"
            )


def _make_tables(engine: Engine) -> None:
    """Make the tables that are missing; another server may be making them at the same moment."""
    for _ in range(_TRIES - 1):
        try:
            return Base.metadata.create_all(engine)
        except (OperationalError, ProgrammingError, IntegrityError):
            time.sleep(0.1)
    return Base.metadata.create_all(engine)
