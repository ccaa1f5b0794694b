"""The way of a compiled file out: a few at a time, so that the memory they take is bounded."""

import asyncio
import logging

from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from hot.server.errors import RETRY_S, ApiError
from hot.server.service import Service

log = logging.getLogger(__name__)
_PIECE_BYTES = 256 * 1024  # a server's `send` waits until most of the piece before is on its way
_TURN_S = 10.0  # that a client waits for its turn; then it is told to come back


class Downloads:
    """Hands out a few files at a time; a client that takes one too slowly is cut off."""

    def __init__(self, service: Service, n_at_once: int = 4) -> None:
        self._service = service
        self._turn = asyncio.Semaphore(n_at_once)

    def response(self, job: str, name: str) -> Response:
        """The answer to a request for a file; it is read when its turn comes."""
        return _Download(self, job, name)

    async def send(self, answer: "_Download", send: Send) -> None:
        """Read a file and send it, in its turn.

        Raises:
            ApiError: there is no such file, or too many are on their way.
            StorageError: the database cannot be read.
        """
        try:
            async with asyncio.timeout(_TURN_S):
                await self._turn.acquire()
        except TimeoutError as error:
            message = "other files are on their way; ask again"
            raise ApiError(429, "busy", message, {"Retry-After": str(RETRY_S)}) from error
        try:
            data = await run_in_threadpool(self._service.jobs.file, answer.job, answer.name)
            if data is None:
                message = f"no file {answer.name} of the job {answer.job} is kept; ask for it again"
                raise ApiError(404, "file_unknown", message)
            async with asyncio.timeout(self._service.config.download_time_limit_s):
                await _send(answer, data, send)
        except TimeoutError:  # what is missing of the body tells the client
            log.warning("a file was not taken in time", extra={"job": answer.job})
        finally:
            self._turn.release()


class _Download(Response):
    media_type = "application/octet-stream"

    def __init__(self, downloads: Downloads, job: str, name: str) -> None:
        super().__init__()
        self._downloads = downloads
        self.job = job
        self.name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._downloads.send(self, send)


async def _send(answer: _Download, data: bytes, send: Send) -> None:
    answer.headers["Content-Length"] = str(len(data))
    await send({"type": "http.response.start", "status": 200, "headers": answer.raw_headers})
    for begin in range(0, len(data), _PIECE_BYTES):
        piece = data[begin : begin + _PIECE_BYTES]
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
