"""How a request is refused: a status, a stable code, and a message for people."""

import json
from collections.abc import Mapping
from typing import Any

from fastapi.responses import JSONResponse

from hot.server.models import ErrorDocument

RETRY_S = 2  # after which a client whose request met an unusable database should come back

_MEANINGS = {
    400: "The model or the request cannot be used.",
    401: "No token, or one that is not known or expired.",
    403: "The token's role does not allow this.",
    404: "There is no such thing here.",
    405: "This path has no such method.",
    408: "The body did not come in time.",
    409: "The job as it stands does not allow this.",
    411: "The request does not tell its length.",
    413: "The body is larger than the server takes.",
    422: "The request does not have the documented form.",
    429: "Too many requests, or too many jobs waiting; see the header Retry-After.",
    503: "The database, or the file of tokens, cannot be used now; see the header Retry-After.",
}


class ApiError(Exception):
    """A refusal, raised anywhere below an end point."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = dict(headers or {})


def error_response(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """The answer of every refusal; what is no ASCII is escaped by `Json`."""
    return Json({"error": {"code": code, "message": message}}, status, dict(headers or {}))


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What the OpenAPI document says of refusals."""
    return {
        status: {"model": ErrorDocument, "description": _MEANINGS[status]} for status in statuses
    }


class Json(JSONResponse):
    """JSON in ASCII: text that no UTF-8 can say, such as half a surrogate pair, comes through."""

    def render(self, content: Any) -> bytes:
        """The body."""
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()
