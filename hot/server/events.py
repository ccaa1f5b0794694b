"""Waiting for jobs: long-poll, and server-sent events."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from starlette.concurrency import run_in_threadpool

from hot.errors import StorageError
from hot.server.jobs import Document
from hot.server.schema import FINAL
from hot.server.service import Service

_LOOK_S = 1.0  # for changes that another server made


async def wait_for_end(
    service: Service, job: str, wait_s: float, is_gone: Callable[[], Awaitable[bool]]
) -> Document | None:
    """The job as soon as it has ended, or as it stands after `wait_s`; None where there is none.

    A client that is gone, or a server that stops, ends the wait.

    Raises:
        StorageError: the database cannot be read.
    """
    end = time.monotonic() + wait_s
    with service.changes.watch(job) as changed:
        while True:
            document = await run_in_threadpool(service.jobs.get, job)
            if document is None or document["status"] in FINAL:
                return document
            rest_s = end - time.monotonic()
            if rest_s <= 0 or service.is_stopping or await is_gone():
                return document
            await _next_change(changed, min(rest_s, _LOOK_S))


async def events(service: Service, job: str) -> AsyncIterator[str]:
    """The job now and after every change, until it has ended; comments keep the line open.

    `event: status` tells another status, `event: progress` anything else; `data` is the job.
    """
    last: Document = {}
    silent_since = time.monotonic()
    with service.changes.watch(job) as changed:
        while not service.is_stopping:
            try:
                document = await run_in_threadpool(service.jobs.get, job)
            except StorageError:
                document = last or None  # it comes back; meanwhile nothing is known
            if document is not None and document != last:
                kind = "progress" if document["status"] == last.get("status") else "status"
                yield _event(kind, document)
                last, silent_since = document, time.monotonic()
            elif time.monotonic() - silent_since >= service.config.keep_alive_s:
                yield ": keep-alive\n\n"
                silent_since = time.monotonic()
            if last.get("status") in FINAL:
                return
            await _next_change(changed, min(_LOOK_S, service.config.keep_alive_s))


def _event(kind: str, document: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps(document, allow_nan=False)}\n\n"


async def _next_change(changed: asyncio.Event, wait_s: float) -> None:
    try:
        await asyncio.wait_for(changed.wait(), wait_s)
    except TimeoutError:
        return
    changed.clear()
