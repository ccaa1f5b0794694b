"""What every request passes: a number, a limit of its body, a line in the log, metrics."""

import logging
import time
import uuid
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hot.server.errors import error_response
from hot.server.metrics import Metrics

log = logging.getLogger(__name__)
_UPLOADS = "/v1/artifacts/"  # they have a limit of their own
_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")


class Front:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, max_request_bytes: int, metrics: Metrics) -> None:
        """Refuse bodies over `max_request_bytes`, except uploads."""
        self._app = app
        self._max_bytes = max_request_bytes
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        number = uuid.uuid4().hex[:16]
        status = 0

        async def tell(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(raw=list(message["headers"]))
                headers["X-Request-Id"] = number
                headers["X-Content-Type-Options"] = "nosniff"
                message["headers"] = headers.raw
                self._count(scope, status, time.monotonic() - began)
            await send(message)

        try:
            if self._is_too_long(scope):
                await error_response(413, "too_large", self._message())(scope, receive, tell)
            else:
                await self._app(scope, self._limited(scope, receive), tell)
        finally:
            self._log(scope, number, status, time.monotonic() - began)

    def _message(self) -> str:
        return f"the body is larger than {self._max_bytes} bytes"

    def _is_too_long(self, scope: Scope) -> bool:
        length = dict(scope["headers"]).get(b"content-length", b"0")
        is_upload = scope["path"].startswith(_UPLOADS)
        return not is_upload and length.isdigit() and int(length[:20]) > self._max_bytes

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        if scope["path"].startswith(_UPLOADS):
            return receive
        total = 0

        async def limited() -> Message:
            nonlocal total
            message = await receive()
            total += len(message.get("body", b""))
            if total > self._max_bytes:
                raise HTTPException(413, self._message())
            return message

        return limited

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        path = _template(scope)
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.requests.labels(method, path, str(status)).inc()
        self._metrics.request_seconds.labels(method, path).observe(seconds)

    def _log(self, scope: Scope, number: str, status: int, seconds: float) -> None:
        fields: dict[str, Any] = {
            "request": number,
            "method": scope["method"],
            "path": scope["path"],
            "status": status,
            "ms": round(1e3 * seconds, 2),
            "caller": scope.get("state", {}).get("caller", ""),
        }
        log.info("request", extra=fields)


def _template(scope: Scope) -> str:
    """The path as the application declares it: metrics have one row for all jobs."""
    route = scope.get("route")
    return getattr(route, "path", "other") if route is not None else "other"
