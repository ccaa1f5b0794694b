"""A PostgreSQL of its own, for benchmarks that kill it."""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

from serving import free_port


class Postgres:
    """A cluster in a temporary folder, on a port of this machine."""

    def __init__(self) -> None:
        """Make the cluster and start it; `close` removes it.

        Raises:
            SystemExit: PostgreSQL is not installed.
        """
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        if not found:
            raise SystemExit("no PostgreSQL here; on Debian: apt-get install postgresql")
        self._programs = found[-1].parent
        self._folder = Path(_run("mktemp", "-d", "/tmp/hot-postgres-XXXXXX").stdout.strip())
        self._data = self._folder / "data"
        self._port = free_port()
        _run(self._programs / "initdb", "-D", self._data, "-A", "trust", "-U", "hot", "--no-sync")
        self.start()

    @property
    def url(self) -> str:
        """For SQLAlchemy."""
        return f"postgresql://hot@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        """Start it, recovering from how it ended."""
        options = f"-p {self._port} -k {self._folder} -c listen_addresses=127.0.0.1"
        self._control("-l", self._folder / "log", "-o", options, "-w", "start")

    def crash(self) -> None:
        """End all its processes at once; it has to recover at the next start."""
        self._control("-m", "immediate", "stop")

    def close(self) -> None:
        """End it and remove its files."""
        with contextlib.suppress(subprocess.CalledProcessError):  # it may not run
            self.crash()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _control(self, *arguments: str | Path) -> None:
        _run(self._programs / "pg_ctl", "-D", self._data, *arguments)


def _run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """The command, run by a user that PostgreSQL accepts (it refuses root)."""
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    return subprocess.run([*prefix, *command], check=True, capture_output=True, text=True, cwd="/")
