"""Work shared out over servers, each with a thread: own queues, taking from others, giving back."""

import hashlib
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from hot.devices.remote import Remote, Ticket
from hot.records import Measurement


@dataclass
class Share:
    """The state of one `measure_all` of a farm, shared by the threads of its servers.

    Attributes:
        servers: of the farm, lost ones too.
        keys: of every artifact, by its content.
        results: by artifact; None where there is none yet.
        queues: artifacts by server that none has begun.
        held: those at a server.
        error: of a thread, which ends all.
    """

    servers: list[Remote]
    keys: Sequence[str]
    results: list[Measurement | None] = field(init=False)
    queues: dict[Remote, deque[int]] = field(init=False)
    held: dict[Remote, dict[int, Ticket]] = field(init=False)
    error: BaseException | None = None

    def __post_init__(self) -> None:
        self.results = [None] * len(self.keys)
        self.queues = {server: deque() for server in self.servers}
        self.held = {server: {} for server in self.servers}
        for index, key in enumerate(self.keys):
            self.queues[_home(self.servers, key)].append(index)
        self._n_done = dict.fromkeys(self.servers, 0)
        self._looked: set[Remote] = set()
        self._n_returns = dict.fromkeys(self.servers, 0)
        self._n_left = len(self.keys)
        self._is_ended = False
        self._changed = threading.Condition()

    @property
    def is_finished(self) -> bool:
        """Whether every artifact has its result."""
        return self._n_left == 0

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to do for a thread."""
        return self._is_ended or self.is_finished or self.error is not None

    @property
    def has_looked_everywhere(self) -> bool:
        """Whether every server was looked for in vain since it was lost."""
        return len(self._looked) == len(self.servers)

    def wait(self, limit_s: float) -> bool:
        """Wait for news; whether it is over."""
        with self._changed:
            return self._changed.wait_for(lambda: self.is_over, limit_s)

    def take(self, server: Remote, n_most: int) -> int | None:
        """The next of its own queue, else the last of the longest one; None for no more.

        A server holds up to `n_most` at a time, at first and towards the end fewer: what a slow one
        holds, the others cannot take.
        """
        with self._changed:
            n_waiting = sum(len(queue) for queue in self.queues.values())
            n_held = min(n_most, 2 + self._n_done[server], 1 + n_waiting // len(self.servers))
            if self.is_over or len(self.held[server]) >= n_held:
                return None
            if self.queues[server]:
                return self.queues[server].popleft()
            longest = max(self.queues.values(), key=len)
            return longest.pop() if longest else None

    def hold(self, server: Remote, index: int, ticket: Ticket) -> None:
        """Note that the artifact is with the server."""
        with self._changed:
            self.held[server][index] = ticket

    def tickets(self, server: Remote) -> list[Ticket]:
        """What the server holds, the oldest first."""
        with self._changed:
            return list(self.held[server].values())

    def finish(self, server: Remote, index: int, result: Measurement) -> None:
        """Note a result."""
        with self._changed:
            del self.held[server][index]
            self.results[index] = result
            self._n_left -= 1
            self._n_done[server] += 1
            self._n_returns[server] = 0
            self._changed.notify_all()

    def give_back(self, server: Remote) -> None:
        """Put what a lost server held in front of its queue, from where the others take it."""
        with self._changed:
            self.queues[server].extendleft(reversed(self.held[server]))
            self.held[server].clear()
            self._looked.discard(server)
            self._changed.notify_all()

    def count_return(self, server: Remote) -> int:
        """How often a lost server has come back since it last gave a result, this time included."""
        with self._changed:
            self._n_returns[server] += 1
            return self._n_returns[server]

    def looked(self, server: Remote) -> None:
        """Note that a lost server is still lost."""
        with self._changed:
            self._looked.add(server)

    def rest(self) -> None:
        """Wait until another server gives something back, or all is over."""
        with self._changed:
            self._changed.wait_for(lambda: self.is_over or any(self.queues.values()), 1.0)

    def pause(self, pause_s: float) -> None:
        """Wait `pause_s`, or less where all is over by then."""
        with self._changed:
            self._changed.wait_for(lambda: self.is_over, pause_s)

    def fail(self, error: BaseException) -> None:
        """End all with an error."""
        with self._changed:
            self.error = self.error or error
            self._changed.notify_all()

    def end(self) -> None:
        """End all."""
        with self._changed:
            self._is_ended = True
            self._changed.notify_all()


def _home(servers: Sequence[Remote], key: str) -> Remote:
    """The server that an artifact belongs to: few move when servers come or go.

    References:
        Thaler and Ravishankar, Using name-based mappings to increase hit rates, 1998.
    """
    return max(servers, key=lambda s: hashlib.sha256(f"{key} {s.url}".encode()).digest())
