"""Whether the database answers, for many who ask at once and without a token."""

import asyncio
import time

from starlette.concurrency import run_in_threadpool

from hot.errors import StorageError
from hot.server.service import Service

_LASTS_S = 1.0


class Health:
    """One question at a time to the database, whose answer holds for a second."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._lock = asyncio.Lock()
        self._asked_s = float("-inf")
        self._fault = ""

    async def check(self) -> None:
        """Ask, or remember.

        Raises:
            StorageError: the database cannot be used.
        """
        async with self._lock:
            if time.monotonic() - self._asked_s > _LASTS_S:
                self._fault = await run_in_threadpool(self._ask)
                self._asked_s = time.monotonic()
        if self._fault:
            raise StorageError(self._fault)

    def _ask(self) -> str:
        try:
            self._service.jobs.ping()
        except StorageError as error:
            return str(error)
        return ""
