"""A device of a profiling server, used as if it were of this machine."""

import contextlib
import hashlib
import logging
import os
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from hot.devices.connection import (
    Access,
    Answer,
    Connection,
    ServerLostError,
    parse_url,
    read_token,
)
from hot.devices.contract import FILE_NAME, Settings
from hot.errors import DeployError, DeviceError, InputError, unknown_name
from hot.files import atomic_path, sha256, validate
from hot.interrupt import check_interrupt
from hot.records import Artifact, DeviceInfo, Measurement, from_document

log = logging.getLogger(__name__)
_FIRST_CONTACT_S = 10.0  # an address that was never right is not tried for minutes
_POLL_S = 20.0
_LOOK_S = 1.0  # while no server has the device
_CANCEL_S = 2.0
_TRIES = 4  # of one job: another client may cancel it, or the server lose it
_DAMAGED = ("digest", "disconnected")  # on the way to the server
_REFUSED = (400, 411, 413, 415)  # by what the artifact is


class CompiledFile(BaseModel):
    """A file that a server compiled, named after `model`."""

    name: Annotated[str, Field(pattern=FILE_NAME)]
    sha256: str


class _Job(BaseModel):
    """What a client needs of the server's job document."""

    id: str | int
    status: Literal["queued", "running", "done", "failed", "cancelled"]
    device_key: str
    cached: bool = False
    measurement: dict[str, Any] | None = None
    files: tuple[CompiledFile, ...] | None = None
    servers: int | None = None
    error: str | None = None


class _Listed(BaseModel):
    info: dict[str, Any]
    compiles: bool = False


class _Devices(BaseModel):
    devices: Annotated[list[_Listed], Field(min_length=1)]


@dataclass
class Ticket:
    """One artifact that a server was asked to measure or to compile.

    Attributes:
        artifact: what to measure.
        request: the body of the request.
        job: the number of the server's job; empty before it is sent.
        tries: how often it was sent.
        result: what the server said of a measurement, or why there are no files; None until then.
        files: what it compiled; None until then.
        idle_since: when it was first seen that no server has the device; None while one has.
    """

    artifact: Artifact
    request: dict[str, Any]
    job: str = ""
    tries: int = 0
    result: Measurement | None = None
    files: tuple[CompiledFile, ...] | None = None
    idle_since: float | None = None

    @property
    def is_answered(self) -> bool:
        """Whether the server has said what there is to say."""
        return self.result is not None or self.files is not None


class Remote:
    """A device that a profiling server runs, by HTTP.

    Name, kind and fingerprint are those of the server's device, so that LUTs built over the network
    and on the server have one key. Each artifact is a job of its own: unlike on this machine, the
    samples of several artifacts are not interleaved. Equal requests are answered from the server's
    database, unless what it holds was not steady; settings of another seed measure anew.
    """

    def __init__(self, access: Access) -> None:
        """Prepare; nothing is sent before the device is used."""
        self.connection = Connection(access)
        self._name = access.device
        self._info: DeviceInfo | None = None
        self._compiles = False

    @property
    def url(self) -> str:
        """Where it is, for messages."""
        return f"{self.connection.access.base}/{self._name}"

    def describe(self) -> DeviceInfo:
        """The server's own description of the device, read once.

        Raises:
            ServerLostError: the server cannot be reached.
            DeviceError: it has no such device, or refuses the token.
        """
        if self._info is None:
            self._info = self.look_up()
        return self._info

    def look_up(self, timeout_s: float = _FIRST_CONTACT_S) -> DeviceInfo:
        """The device as the server describes it now."""
        longest_s = min(timeout_s, self.connection.access.timeout_s)
        answer = self.connection.ask("GET", "/v1/devices", timeout_s=longest_s)
        listed = validate(_Devices, answer.document, f"{self.connection.access.base}/v1/devices")
        infos = [from_document(row.info, DeviceInfo, self.url) for row in listed.devices]
        compiles = {info.key: row.compiles for info, row in zip(infos, listed.devices, strict=True)}
        if not self._name and len(infos) == 1:
            self._name = infos[0].name
        for info in infos:
            if self._name in (info.name, info.key):
                self._compiles = compiles[info.key]
                return info
        known = ", ".join(sorted(info.name for info in infos))
        if not self._name:
            raise DeviceError(f"{self.url} names no device; add one of {known}")
        names = unknown_name("device", self._name, [info.name for info in infos])
        raise DeviceError(f"{self.connection.access.base}: {names}")

    def measure(self, artifact: Artifact, settings: Settings) -> Measurement:
        """What the server's device says of the artifact."""
        return self.measure_all([artifact], settings)[0]

    def measure_all(self, artifacts: Sequence[Artifact], settings: Settings) -> list[Measurement]:
        """The same of many: all are sent, then waited for; in the order of the artifacts.

        Raises:
            ServerLostError: the server stopped to answer; what it measured by then it keeps.
            DeviceError: it refuses, or its device changed.
        """
        tickets: list[Ticket] = []
        try:
            for artifact in artifacts:
                tickets.append(self.ticket(artifact, settings))
                self.send(tickets[-1])
            return [self._measured(ticket) for ticket in tickets]
        except ServerLostError:
            raise
        except BaseException:  # Ctrl-C too: what no one waits for need not be measured
            self.cancel(tickets)
            raise

    def compile(self, artifact: Artifact, folder: Path) -> tuple[Path, ...]:
        """The files that the server's device makes of the artifact; none if it makes none.

        Raises:
            DeployError: the artifact cannot be compiled for this device; says why.
            ServerLostError: the server stopped to answer.
            DeviceError: it refuses, or its device changed.
        """
        self.describe()
        if not self._compiles:
            return ()
        ticket = self.ticket(artifact, Settings())
        ticket.request["task"] = "compile"
        while True:
            self.send(ticket)
            try:
                self._wait(ticket)
            except BaseException:
                self.cancel([ticket])
                raise
            if ticket.files is None:
                assert ticket.result is not None
                raise DeployError(ticket.result.failure or f"{self.url} compiled nothing")
            found = [(one, self._fetch(ticket, one)) for one in ticket.files]
            if all(data is not None for _, data in found):
                break
            ticket.files = None  # they had to make room on the server
        folder.mkdir(parents=True, exist_ok=True)
        stem = artifact.path.stem
        return tuple(
            _write(folder / re.sub("^model", stem, one.name), data or b"") for one, data in found
        )

    def _fetch(self, ticket: Ticket, file: CompiledFile) -> bytes | None:
        data = self.connection.fetch(f"/v1/jobs/{ticket.job}/files/{file.name}")
        if data is not None and hashlib.sha256(data).hexdigest() != file.sha256:
            raise DeviceError(
                f"{file.name} from {self.url} is damaged; give the same command again"
            )
        return data

    # One job, step by step: the farm takes these steps on many servers -----------------------

    def ticket(self, artifact: Artifact, settings: Settings) -> Ticket:
        """The request for an artifact; a file that cannot be read is a failure at once."""
        request: dict[str, Any] = {
            "device": self.describe().name,
            "precision": artifact.precision,
            "input_shape": list(artifact.input_shape),
            "settings": asdict(settings),
        }
        try:
            request["artifact"] = sha256(artifact.path)
        except OSError as error:
            failure = f"cannot read {artifact.path}: {error.strerror or error}"
            return Ticket(artifact, request, result=Measurement(None, failure=failure))
        return Ticket(artifact, request)

    def send(self, ticket: Ticket) -> None:
        """Post the job; upload the artifact where the server asks for it, and post again."""
        if ticket.is_answered:
            return
        if self.connection.stop.is_set():
            raise ServerLostError(f"the work on {self.url} was ended")
        ticket.tries += 1
        if ticket.tries > _TRIES:
            raise DeviceError(
                f"the job of {ticket.artifact.path} was cancelled or lost {_TRIES} times on "
                f"{self.url}; see hot serve's pages, then give the same command again"
            )
        answer = self.connection.ask("POST", "/v1/jobs", document=ticket.request)
        if answer.code == "artifact_unknown":
            ticket.result = self._upload(ticket)
            if ticket.result is not None:
                return
            answer = self.connection.ask("POST", "/v1/jobs", document=ticket.request)
        if answer.status in (200, 202):
            self._take(ticket, answer)
        elif answer.status in _REFUSED:
            ticket.result = self._refusal(ticket, answer)
        else:
            raise self._unexpected(answer)

    def poll(self, ticket: Ticket, wait_s: float) -> None:
        """Wait up to `wait_s` for the job to end."""
        if ticket.is_answered:
            return
        answer = self.connection.ask("GET", f"/v1/jobs/{ticket.job}", wait_s=wait_s)
        if answer.status == 404:  # the server lost its database
            return self.send(ticket)
        if answer.status != 200:
            raise self._unexpected(answer)
        self._take(ticket, answer)

    def cancel(self, tickets: Sequence[Ticket]) -> None:
        """Take back what is not finished, as far as the server can be reached."""
        with contextlib.suppress(DeviceError):
            for ticket in tickets:
                if not ticket.is_answered and ticket.job:
                    path = f"/v1/jobs/{ticket.job}/cancel"
                    self.connection.ask("POST", path, timeout_s=_CANCEL_S)

    def _wait(self, ticket: Ticket) -> None:
        while not ticket.is_answered:
            check_interrupt()
            self.poll(ticket, _LOOK_S if ticket.idle_since is not None else _POLL_S)

    def _measured(self, ticket: Ticket) -> Measurement:
        self._wait(ticket)
        assert ticket.result is not None
        return ticket.result

    def _upload(self, ticket: Ticket) -> Measurement | None:
        """Send the artifact; what to say of one that the server does not take."""
        content = ticket.artifact.path.read_bytes()
        path = f"/v1/artifacts/{ticket.request['artifact']}"
        for _ in range(_TRIES):
            answer = self.connection.ask("PUT", path, content=content)
            if answer.code not in _DAMAGED:
                break
        if answer.status in _REFUSED:
            return self._refusal(ticket, answer)
        if answer.status not in (200, 201):
            raise self._unexpected(answer)
        return None

    def _take(self, ticket: Ticket, answer: Answer) -> None:
        """Note what a job document says."""
        job = validate(_Job, answer.document, f"a job of {self.url}")
        if job.device_key != self.describe().key:
            raise DeviceError(
                f"the device of {self.url} changed from {self.describe().key} to "
                f"{job.device_key} during the work; give the same command again"
            )
        ticket.job = str(job.id)
        self._note_servers(ticket, job)
        if job.status == "done" and job.files is not None:
            ticket.files = job.files
        elif job.status == "done":
            measured = from_document(job.measurement, Measurement, f"a job of {self.url}")
            if job.cached and not measured.is_steady and ticket.tries < _TRIES:
                ticket.request["settings"]["seed"] += 1  # here, too, it would be measured again
                return self.send(ticket)
            if measured.failure is not None:
                measured = replace(measured, failure=self._say(ticket, measured.failure))
            ticket.result = measured
        elif job.status == "failed":
            reason = job.error or "its worker failed"
            ticket.result = Measurement(None, failure=self._say(ticket, reason))
        elif job.status == "cancelled":
            log.info("%s: a job was cancelled and is sent again", self.url)
            self.send(ticket)

    def _note_servers(self, ticket: Ticket, job: _Job) -> None:
        """Wait no longer than for a lost server while no running server has the device."""
        if job.servers != 0:
            ticket.idle_since = None
            return
        now = time.monotonic()
        if ticket.idle_since is None:
            ticket.idle_since = now
        limit_s = self.connection.access.timeout_s
        if now - ticket.idle_since > limit_s:
            raise ServerLostError(
                f"no server on the database of {self.url} has run this device for {limit_s:.0f} s; "
                "start hot serve with it, then give the same command again"
            )

    def _refusal(self, ticket: Ticket, answer: Answer) -> Measurement:
        said = answer.message or f"refused with status {answer.status}"
        return Measurement(None, failure=self._say(ticket, said))

    def _say(self, ticket: Ticket, reason: str) -> str:
        return f"{ticket.artifact.path} on {self.url}: {reason}"

    def _unexpected(self, answer: Answer) -> DeviceError:
        said = answer.message or "no reason given"
        return DeviceError(f"{self.url} answers {answer.status} {answer.code}: {said}")


def _write(path: Path, data: bytes) -> Path:
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
    return path


def make_access(
    url: str,
    token_file: str = "",
    ca: str = "",
    timeout_s: float = 60.0,
    plain_http: bool = False,
) -> Access:
    """How the server's device at `url` is reached; see `make_remote`."""
    if not timeout_s > 0:
        raise InputError(f"the option 'timeout_s' of {url} must be above 0, not {timeout_s!r}")
    base, name = parse_url(url, plain_http)
    token = read_token(token_file) if token_file else os.environ.get("HOT_TOKEN", "")
    return Access(base, name, token.strip(), ca, timeout_s)


def make_remote(
    url: str,
    token_file: str = "",
    ca: str = "",
    timeout_s: float = 60.0,
    plain_http: bool = False,
) -> Remote:
    """The device NAME of the profiling server at `https://HOST:PORT/NAME`, once it has answered.

    NAME may be left out where the server has one device.

    Args:
        token_file: a file with the bearer token; otherwise the environment's HOT_TOKEN.
        ca: a PEM file with the authority of the server's certificate, where it is no public one.
        timeout_s: how long a server that stopped to answer is tried again.
        plain_http: allows `http://` to another machine; the token then travels in clear.

    Raises:
        InputError: the address cannot be used.
        DeviceError: the server cannot be reached, has no such device, or refuses the token.
    """
    remote = Remote(make_access(url, token_file, ca, timeout_s, plain_http))
    remote.describe()
    return remote
