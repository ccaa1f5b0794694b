"""Many profiling servers of one and the same kind of device, used as one."""

import logging
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from hot.devices.connection import ServerLostError
from hot.devices.contract import Settings
from hot.devices.remote import Remote, make_access
from hot.devices.share import Share
from hot.errors import DeviceError, HotError
from hot.files import read_yaml, sha256, validate
from hot.interrupt import check_interrupt
from hot.records import ESTIMATES, Artifact, DeviceInfo, Measurement

log = logging.getLogger(__name__)
# While one job is measured the next one waits at the server already; estimates run side by side.
_HELD = 2
_HELD_ESTIMATES = 8
_POLL_S = 2.0
_PROBE_S = 2.0  # between two looks whether a lost server is back
_LONGEST_PROBE_S = 60.0
_MOST_RETURNS = 2  # without a result, after which a server that comes back is left alone longer
_JOIN_S = 5.0


class _Server(BaseModel):
    """One row of a farm's file; see `make_remote`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    url: str
    token_file: str = ""
    ca: str = ""
    timeout_s: Annotated[float, Field(gt=0)] = 10.0
    plain_http: bool = False


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    servers: Annotated[tuple[_Server, ...], Field(min_length=1)]


class Farm:
    """Servers whose devices have one fingerprint, taken to be equally fast.

    Every server has its own queue, in which an artifact stands by its content, so that the same
    artifact comes to the same server, whose database may know it; a server that has nothing left
    takes from the longest queue. One that stops to answer is left out, with a warning, until it
    answers again; its jobs go to the others. One that refuses the work is left out to its end.

    Assumption: machines of one fingerprint run a network equally fast. Their clocks and cooling may
    differ by some percent, which shows as spread between the entries of a LUT.
    """

    def __init__(self, servers: Sequence[Remote]) -> None:
        """Ask every server for its device; one that cannot be reached may come later.

        Raises:
            DeviceError: none can be reached, one refuses, or two fingerprints differ.
        """
        if not servers:
            raise ValueError("a farm has at least one server")
        self._servers = list(servers)
        self._lost: dict[Remote, str] = {}
        known: list[tuple[Remote, DeviceInfo]] = []
        for server in self._servers:
            try:
                known.append((server, server.describe()))
            except ServerLostError as error:
                self._leave_out(server, str(error))
        if not known:
            raise self._all_lost()
        (first, self._info), *others = known
        for server, info in others:
            _require_equal(first.url, self._info, server.url, info)

    def describe(self) -> DeviceInfo:
        """The device that all servers have."""
        return self._info

    def measure(self, artifact: Artifact, settings: Settings) -> Measurement:
        """What one of the servers says of the artifact."""
        return self.measure_all([artifact], settings)[0]

    def measure_all(self, artifacts: Sequence[Artifact], settings: Settings) -> list[Measurement]:
        """Measurements of all artifacts, spread over the servers; in the order of the artifacts.

        Raises:
            DeviceError: no server is left; what was measured by then the servers keep.
        """
        work = Share(self._servers, [_key(artifact) for artifact in artifacts])
        threads = [
            threading.Thread(
                target=self._serve, args=(server, work, artifacts, settings), daemon=True
            )
            for server in self._servers
        ]
        for server in self._servers:
            server.connection.stop.clear()
        try:
            for thread in threads:
                thread.start()
            while not work.wait(0.2):
                check_interrupt()
                self._give_up_without_servers(work)
        finally:
            self._end(work, threads)
        if work.error is not None:
            raise work.error
        return [result for result in work.results if result is not None]

    def _end(self, work: Share, threads: list[threading.Thread]) -> None:
        """Stop the threads, and take back the jobs that no one waits for any more."""
        work.end()
        for server in self._servers:
            if not work.is_finished:  # a cancelled job ends its long poll, too
                server.connection.stop.set()
                if server not in self._lost:
                    server.cancel(work.tickets(server))
        for thread in threads:
            if thread.ident is not None:
                thread.join(_JOIN_S)

    def compile(self, artifact: Artifact, folder: Path) -> tuple[Path, ...]:
        """The files that the first server makes which can be reached; see `Remote.compile`."""
        for server in self._servers:
            server.connection.stop.clear()
        for server in sorted(self._servers, key=lambda server: server in self._lost):
            try:
                if server not in self._lost or self._answers(server):
                    self._lost.pop(server, None)
                    return server.compile(artifact, folder)
            except ServerLostError as error:
                self._leave_out(server, str(error))
        raise self._all_lost()

    # One server, in its own thread ---------------------------------------------------------------

    def _serve(
        self,
        server: Remote,
        work: Share,
        artifacts: Sequence[Artifact],
        settings: Settings,
    ) -> None:
        try:
            while not work.is_over:
                try:
                    if server in self._lost:
                        self._look_again(server, work)
                    else:
                        self._step(server, work, artifacts, settings)
                except HotError as error:
                    work.give_back(server)
                    if not work.is_over:
                        self._leave_out(server, str(error))
                    if not isinstance(error, ServerLostError):  # it would refuse the next job, too
                        return work.looked(server)
        except BaseException as error:  # a bug must end the work, not this thread alone
            work.fail(error)

    def _step(
        self,
        server: Remote,
        work: Share,
        artifacts: Sequence[Artifact],
        settings: Settings,
    ) -> None:
        """Take what there is to take, then wait for the oldest job of this server."""
        n_most = _HELD_ESTIMATES if self._info.kind == ESTIMATES else _HELD
        held = work.held[server]
        while True:
            index = work.take(server, n_most)
            if index is None:
                break
            ticket = server.ticket(artifacts[index], settings)
            work.hold(server, index, ticket)
            server.send(ticket)
        if not held:
            work.rest()
            return
        index, ticket = next(iter(held.items()))
        server.poll(ticket, _POLL_S)
        if ticket.result is not None:
            work.finish(server, index, ticket.result)

    def _look_again(self, server: Remote, work: Share) -> None:
        """Take a lost server back in if it answers, and is still of the same fingerprint.

        One that answers this and then no job, again and again, is as good as lost: it is tried
        after ever longer pauses.
        """
        n_more = 0
        if self._answers(server):
            n_more = work.count_return(server) - _MOST_RETURNS
            if n_more <= 0:
                return self._take_back(server)
        work.looked(server)
        work.pause(min(_PROBE_S * 2 ** min(n_more, 10), _LONGEST_PROBE_S))
        if n_more and not work.is_over:
            self._take_back(server)

    def _take_back(self, server: Remote) -> None:
        del self._lost[server]
        log.warning("%s is back", server.url)

    def _answers(self, server: Remote) -> bool:
        """Whether a lost server answers with the farm's device; otherwise notes why not."""
        try:
            info = server.look_up(timeout_s=_PROBE_S)
            if info.key == self._info.key:
                server.describe()
                return True
            self._lost[server] = f"{server.url} has another fingerprint now"
        except HotError as error:
            self._lost[server] = str(error)
        return False

    def _leave_out(self, server: Remote, reason: str) -> None:
        self._lost[server] = reason
        log.warning("%s is left out for now: %s", server.url, reason)

    def _give_up_without_servers(self, work: Share) -> None:
        """Raise `DeviceError` when all servers are lost, and were looked for again in vain."""
        if len(self._lost) == len(self._servers) and work.has_looked_everywhere:
            raise self._all_lost()

    def _all_lost(self) -> DeviceError:
        reasons = "; ".join(self._lost[server] for server in self._servers)
        return DeviceError(f"no server of the farm is left: {reasons}")


def _key(artifact: Artifact) -> str:
    try:
        return sha256(artifact.path)
    except OSError:  # the ticket says why
        return str(artifact.path)


def _require_equal(url: str, info: DeviceInfo, other_url: str, other: DeviceInfo) -> None:
    if info.key == other.key:
        return
    what = info.difference(other) or f"name: {info.name} | {other.name}"
    raise DeviceError(
        f"the servers of a farm must have equal devices, but {url} and {other_url} differ "
        f"({what}); take one of them out of the farm"
    )


def load_farm(path: str | os.PathLike[str]) -> Farm:
    """The farm that a YAML file lists, each server by its address and options.

        servers:
          - {url: https://board-1:8765/cpu, token_file: token}
          - {url: https://board-2:8765/cpu, token_file: token, ca: ca.pem}

    Files are meant relative to the YAML file; without `token_file`, the token is in HOT_TOKEN.

    Raises:
        InputError: the file is missing or not valid.
        DeviceError: no server can be reached, one refuses, or two fingerprints differ.
    """
    listed = validate(_File, read_yaml(path, "farm"), str(path))
    folder = Path(path).parent

    def beside(name: str) -> str:
        return str(folder / Path(name).expanduser()) if name else ""

    return Farm(
        [
            Remote(
                make_access(
                    row.url, beside(row.token_file), beside(row.ca), row.timeout_s, row.plain_http
                )
            )
            for row in listed.servers
        ]
    )
