"""What a server runs at this moment, as its lanes, its clients and its heartbeat see it."""

import threading


class Running:
    """Jobs from their claim to their end, each with what is asked of it; for many threads."""

    def __init__(self) -> None:
        """Nothing runs."""
        self._lock = threading.Lock()
        self._asked: dict[str, str] = {}

    def begin(self, job: str) -> None:
        """A lane has claimed a job."""
        with self._lock:
            self._asked[job] = ""

    def end(self, job: str) -> None:
        """A lane is done with a job."""
        with self._lock:
            self._asked.pop(job, None)

    def ask(self, job: str, what: str) -> None:
        """Ask for something of a job; one that does not run here, or no more, stays so."""
        with self._lock:
            if job in self._asked:
                self._asked[job] = what

    def asked(self, job: str) -> str:
        """What is asked of a job: nothing, `cancel` or `lost`."""
        with self._lock:
            return self._asked.get(job, "")

    def jobs(self) -> frozenset[str]:
        """The jobs that run."""
        with self._lock:
            return frozenset(self._asked)
