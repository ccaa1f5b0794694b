"""What a profiling server is started with."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

from hot.errors import InputError

LOOPBACK = ("127.0.0.1", "::1", "localhost")
_MIB = 2**20


@dataclass(frozen=True)
class ServerConfig:
    """A profiling server: devices, database, who may come in, and limits.

    Attributes:
        devices: as `hot.devices.make_device` knows them; options stand behind a question mark,
            for example `cpu?threads=2`.
        store: a SQLite file, or any SQLAlchemy URL; servers may share one.
        tokens: a file that `hot token` writes; None: whoever reaches the port may do everything,
            which is why `host` must then be this machine itself.
        host, port: where it listens.
        certificate, key: PEM files; with them it speaks TLS alone.
        name: of this server, for people.
        machine: servers of one name take turns at measuring; None: the host's name.
        luts, runs: folders that the pages show besides the LUTs that ship with hot.
        cores: that workers may use; empty: those of the server itself.
        n_workers: processes that estimate and compile in parallel; None: one for each core but one.
        job_time_limit_s: after which a job's worker is killed.
        worker_memory_bytes: that a job may add to its worker; None: no limit.
        check_time_limit_s: for the check of one upload.
        max_artifact_bytes: of one model.
        max_request_bytes: of the body of all other requests.
        max_artifacts_bytes: of all models kept; above, the oldest that no job waits for go. As
            much again may compiled files take.
        max_queued: jobs that may wait.
        max_attempts: of a job whose server or worker was killed from outside.
        upload_time_limit_s: for the body of one upload.
        download_time_limit_s: for a client to take one compiled file.
        rate_per_s: requests of one token (or of one address that has none).
        burst: such requests at once; None: those of two seconds.
        max_waiting: clients that wait for a job by a long poll or its events.
        heartbeat_s: between two signs of life in the database.
        patience: signs of life of its own after which a server that gave none is held for dead.
        keep_alive_s: between comments that keep an event stream open.
    """

    devices: tuple[str, ...]
    store: str
    tokens: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8765
    certificate: Path | None = None
    key: Path | None = None
    name: str = "hot"
    machine: str | None = None
    luts: Path | None = None
    runs: Path | None = None
    cores: tuple[int, ...] = ()
    n_workers: int | None = None
    job_time_limit_s: float = 600.0
    worker_memory_bytes: int | None = 4096 * _MIB
    check_time_limit_s: float = 20.0
    max_artifact_bytes: int = 128 * _MIB
    max_request_bytes: int = 64 * 1024
    max_artifacts_bytes: int = 16384 * _MIB
    max_queued: int = 10_000
    max_attempts: int = 10
    upload_time_limit_s: float = 120.0
    download_time_limit_s: float = 120.0
    rate_per_s: float = 500.0
    burst: float | None = None
    max_waiting: int = 1000
    heartbeat_s: float = 1.0
    patience: int = 10
    keep_alive_s: float = 15.0

    def __post_init__(self) -> None:
        """Refuse what cannot be served safely.

        Raises:
            InputError: no device, no tokens on an open port, or half of a TLS pair.
        """
        if not self.devices:
            raise InputError("a server needs a device; give --device, see hot devices")
        if self.tokens is None and self.host not in LOOPBACK:
            raise InputError(
                f"without tokens the server listens on this machine alone, not on {self.host!r}; "
                "make a token with hot token and give --tokens, or choose --host 127.0.0.1"
            )
        if (self.certificate is None) != (self.key is None):
            raise InputError("TLS needs both --certificate and --key; give both or none")

    @property
    def most_at_once(self) -> float:
        """Requests of one caller that are let through at once: one at least."""
        return max(1.0, 2 * self.rate_per_s if self.burst is None else self.burst)


def parse_device(text: str) -> tuple[str, dict[str, str]]:
    """The name and the options of a device.

    Raises:
        InputError: an option that is no `key=value`.

    >>> parse_device("cpu?threads=2")
    ('cpu', {'threads': '2'})
    """
    name, _, rest = text.partition("?")
    try:
        pairs = parse_qsl(rest, keep_blank_values=True, strict_parsing=True) if rest else []
    except ValueError as error:
        raise InputError(
            f"the device {text!r} is not written as NAME?option=value&option=value"
        ) from error
    return name, dict(pairs)
