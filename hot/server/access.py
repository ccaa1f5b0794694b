"""The door: a request's token is looked up, its caller's rate counted, its role checked."""

import ipaddress
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from hot.errors import InputError
from hot.server.auth import Caller, Role, fault_place
from hot.server.config import LOOPBACK
from hot.server.errors import RETRY_S, ApiError
from hot.server.service import Service

log = logging.getLogger(__name__)
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
        address = f"address {request.client.host if request.client else ''}"
        try:
            caller = service.caller(token)
        except InputError as error:
            _count(service, address)
            raise _unreadable(service, error) from error
        _count(service, f"token {caller.name}" if caller else address)
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


def _unreadable(service: Service, error: InputError) -> ApiError:
    """The refusal of everyone; what stands in the file goes neither to them nor into the log."""
    path = service.config.tokens
    log.error("the file of tokens %s cannot be used; fault %s", path, fault_place(error))
    message = "the server's file of tokens cannot be read now; see its log"
    return ApiError(503, "tokens_unreadable", message, {"Retry-After": str(RETRY_S)})


def _refuse_strangers(request: Request) -> None:
    """Without tokens the server is this machine's alone: no page of another site may use it."""
    if not _is_at_home(request):
        raise ApiError(
            403, "host", "this server has no tokens and answers this machine alone; see hot token"
        )


def _is_at_home(request: Request) -> bool:
    """Whether a request is for this machine by its name, and from no page of another site."""
    origin = request.headers.get("origin")
    try:
        host = request.url.hostname or ""
        is_own = origin is None or urlsplit(origin).netloc == request.headers.get("host")
    except ValueError:  # such as http://[
        return False
    return is_own and _is_loopback(host)


def _is_loopback(host: str) -> bool:
    if host in LOOPBACK:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
