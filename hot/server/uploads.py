"""The way of a model into the server: its bytes are counted, digested and checked, never opened."""

import asyncio
import hashlib
import time

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from hot.server.errors import ApiError
from hot.server.service import Service, UploadRefused

_DRAIN_S = 10.0  # that a client with too long a body has to send it, so that it hears why not


class Uploads:
    """Takes a few uploads at a time, so that the memory they take is bounded."""

    def __init__(self, service: Service, n_at_once: int = 4) -> None:
        self._service = service
        self._turn = asyncio.Semaphore(n_at_once)

    async def take(self, request: Request, sha256: str) -> tuple[int, dict[str, object]]:
        """Keep the body of a request as the artifact `sha256`; returns status and document.

        Raises:
            ApiError: no length, too long, too slow, another digest, or no usable model.
            StorageError: the database cannot keep it now.
        """
        length = _length(request)
        limit = self._service.config.max_artifact_bytes
        if length > limit:
            await _drain(request)
            raise ApiError(413, "too_large", f"a model may have {limit} bytes, not {length}")
        async with self._turn:
            data = await self._receive(request, length)
            return await run_in_threadpool(self._keep, sha256, data)

    async def _receive(self, request: Request, length: int) -> bytes:
        data = bytearray()
        try:
            async with asyncio.timeout(self._service.config.upload_time_limit_s):
                async for part in request.stream():
                    if len(data) + len(part) > length:
                        raise ApiError(400, "length", f"the body is longer than {length} bytes")
                    data += part
        except TimeoutError as error:
            raise ApiError(408, "slow", "the model did not come in time; send it again") from error
        except ClientDisconnect as error:  # nobody is left to read this answer
            raise ApiError(400, "disconnected", "the upload was cut off; send it again") from error
        return bytes(data)

    def _keep(self, sha256: str, data: bytes) -> tuple[int, dict[str, object]]:
        found = hashlib.sha256(data).hexdigest()
        if found != sha256:
            raise ApiError(
                400, "digest", f"the body has the SHA-256 {found}; it was damaged on its way"
            )
        service = self._service
        facts = service.artifacts.facts(sha256)
        is_new = False
        if facts is None:
            try:
                facts = service.inspect(data)
            except UploadRefused as refused:
                service.metrics.refused_models.inc()
                raise ApiError(400, "model", str(refused)) from refused
            is_new = service.artifacts.add(sha256, facts, data)
            service.metrics.uploaded_bytes.inc(len(data))
        document = {"sha256": sha256, "bytes": len(data), "format": facts.format}
        return (201 if is_new else 200), document


def _length(request: Request) -> int:
    text = request.headers.get("content-length", "")
    is_chunked = "transfer-encoding" in request.headers  # it would count, whatever length is told
    if is_chunked or not text.isascii() or not text.isdigit():
        raise ApiError(411, "length", "tell the length of the model: Content-Length")
    return int(text)


async def _drain(request: Request) -> None:
    end = time.monotonic() + _DRAIN_S
    try:
        async with asyncio.timeout(_DRAIN_S):
            async for _ in request.stream():
                if time.monotonic() > end:
                    return
    except (TimeoutError, ClientDisconnect):
        return
