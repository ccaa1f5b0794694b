"""The door: a request's token is looked up, its caller's rate counted, its role checked."""

import ipaddress
import math
from collections.abc import Awaitable, Callable
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from hot.errors import InputError
from hot.server.auth import Caller, Role
from hot.server.config import LOOPBACK
from hot.server.errors import RETRY_S, ApiError
from hot.server.service import Service

_BEARER = HTTPBearer(
    auto_error=False, description="A token of `hot token`; its role: read < measure < admin."
)
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]


def require(service: Service, role: Role) -> Callable[..., Awaitable[Caller]]:
    """A dependency that lets in who has the role, and says who that is."""

    async def enter(request: Request, bearer: Bearer) -> Caller:
        if not service.has_tokens:
            _refuse_strangers(request)
        token = None if bearer is None else bearer.credentials
        try:
            caller = service.caller(token)
        except InputError as error:
            raise ApiError(
                503, "tokens_unreadable", str(error), {"Retry-After": str(RETRY_S)}
            ) from error
        address = request.client.host if request.client else ""
        _count(service, f"token {caller.name}" if caller else f"address {address}")
        if caller is None:
            raise ApiError(
                401,
                "token",
                "give a known token that has not expired: Authorization: Bearer TOKEN",
                {"WWW-Authenticate": "Bearer"},
            )
        request.state.caller = caller.name
        if not caller.may(role):
            raise ApiError(
                403, "role", f"this needs the role {role}; the token has the role {caller.role}"
            )
        return caller

    return enter


def _count(service: Service, caller: str) -> None:
    wait_s = service.rate.wait_s(caller)
    if wait_s:
        raise ApiError(
            429,
            "rate",
            f"more than {service.config.rate_per_s:g} requests a second; slow down",
            {"Retry-After": str(math.ceil(wait_s))},
        )


def _refuse_strangers(request: Request) -> None:
    """Without tokens the server is this machine's alone: no page of another site may use it."""
    host = request.url.hostname or ""
    origin = request.headers.get("origin")
    is_foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    if is_foreign or not _is_loopback(host):
        raise ApiError(
            403, "host", "this server has no tokens and answers this machine alone; see hot token"
        )


def _is_loopback(host: str) -> bool:
    if host in LOOPBACK:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
