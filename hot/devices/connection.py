"""A connection to a profiling server that outlasts lost packets, busy moments and restarts."""

import ipaddress
import logging
import random
import ssl
import threading
import time
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx

from hot.errors import DeviceError, InputError
from hot.interrupt import check_interrupt

log = logging.getLogger(__name__)
_CONNECT_S = 5.0
_ANSWER_S = 30.0  # beyond the wait that was asked for
_BUSY_S = 3600.0  # a server that answers "too many requests" is alive; so long it is waited for
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
_TOO_MANY, _TOO_SLOW = 429, 408


class ServerLostError(DeviceError):
    """A server that cannot be reached, or that has been unable to answer for too long."""


@dataclass(frozen=True)
class Access:
    """Where a server is and how it is spoken to.

    Attributes:
        base: scheme, host, port, and the path in front of `/v1`, without a slash at the end.
        device: the name of its device; empty where the address gives none.
        token: the bearer token; empty for none.
        ca: a PEM file with the authority that signed its certificate; empty for the system's.
        timeout_s: how long a server that stopped to answer is tried again.
    """

    base: str
    device: str
    token: str = ""
    ca: str = ""
    timeout_s: float = 60.0


def parse_url(url: str, is_plain_allowed: bool = False) -> tuple[str, str]:
    """The base and the device's name in `https://host:port/NAME`.

    Raises:
        InputError: another scheme, no host, a password or query in it, or a plain address of
            another machine, to which the token would travel in clear.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InputError(f"{url!r} is not the address of a server: {error}") from error
    if parts.scheme not in ("https", "http") or not host:
        raise InputError(
            f"{url!r} is not the address of a server's device; give https://HOST:PORT/NAME"
        )
    if parts.username is not None or parts.query or parts.fragment:
        raise InputError(
            f"the address of {host!r} holds a password or a query; give https://HOST:PORT/NAME, "
            "and the token in HOT_TOKEN or by the option token_file"
        )
    if parts.scheme == "http" and not is_plain_allowed and not _is_loopback(host):
        raise InputError(
            f"{url} is not encrypted: token and models would travel in clear; use https://, "
            "or allow it by the option plain_http=on where the network can be trusted"
        )
    path, _, name = parts.path.rpartition("/")
    shown = f"[{host}]" if ":" in host else host
    place = shown if port is None else f"{shown}:{port}"
    return f"{parts.scheme}://{place}{path.rstrip('/')}", unquote(name)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Connection:
    """One server: requests that are repeated until it answers, and errors that say what to do."""

    def __init__(self, access: Access) -> None:
        """Prepare; nothing is sent yet.

        Raises:
            DeviceError: the file of the authority cannot be used.
        """
        self.access = access
        self.stop = threading.Event()  # set by another thread: give up at the next pause
        self._client = httpx.Client(
            base_url=access.base,
            headers={"Authorization": f"Bearer {access.token}"} if access.token else {},
            verify=_certificates(access.ca) if access.base.startswith("https") else True,
            # Proxies are of no use on the way to this machine.
            trust_env=not _is_loopback(httpx.URL(access.base).host),
        )
        weakref.finalize(self, self._client.close)  # a device has no end that it is told of

    def ask(
        self,
        method: str,
        path: str,
        *,
        document: object = None,
        content: bytes | None = None,
        wait_s: float = 0.0,
        timeout_s: float | None = None,
    ) -> "Answer":
        """The answer to a request, repeated while the server is lost, busy or in trouble.

        Every request of the API may be repeated: equal jobs are one job, equal artifacts one.

        Args:
            wait_s: of a long poll.
            timeout_s: how long to go on trying; by default as the server's access says.

        Raises:
            ServerLostError: no answer for `timeout_s`.
            DeviceError: certificate, token or role refused, or this is no profiling server.
        """
        request = _Request(method, path, document, content, wait_s)
        return _read(self._settle(request, timeout_s), self.access)

    def fetch(self, path: str) -> bytes | None:
        """The bytes at `path`, or None where the server does not keep them; raises as `ask`."""
        response = self._settle(_Request("GET", path))
        if response.status_code == 200:
            return response.content
        answer = _read(response, self.access)
        if answer.status == 404:
            return None
        raise DeviceError(f"{self.access.base}{path}: {answer.status} {answer.message}")

    def _settle(self, request: "_Request", timeout_s: float | None = None) -> httpx.Response:
        """The response to a request, repeated until there is one that will not pass."""
        patience_s = self.access.timeout_s if timeout_s is None else timeout_s
        start = well_until = time.monotonic()  # a server that says "too many requests" is well
        pause_s = _FIRST_PAUSE_S
        is_told = False
        while True:
            check_interrupt()
            response, reason = self._try(request)
            if response is not None and not _may_pass(response):
                return response
            is_busy = response is not None and response.status_code == _TOO_MANY
            limit_s = _BUSY_S if is_busy else patience_s
            asked_s = _retry_after_s(response)
            # Servers that come back meet their clients one by one.
            next_s = max(asked_s, pause_s * random.uniform(0.7, 1.3))
            since = start if is_busy else well_until
            if time.monotonic() - since + next_s > limit_s or self.stop.is_set():
                raise ServerLostError(
                    f"the server {self.access.base} {reason}; tried for {limit_s:.0f} s: "
                    "see whether it runs and can be reached, then give the same command again"
                )
            if pause_s > 2 * _FIRST_PAUSE_S and not is_busy and not is_told:
                log.warning("%s %s; trying again", self.access.base, reason)
                is_told = True
            self.stop.wait(next_s)
            well_until = time.monotonic() if is_busy else well_until
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _try(self, request: "_Request") -> tuple[httpx.Response | None, str]:
        """A response, or None; and what is wrong where it does not settle the request."""
        is_file = request.content is not None
        headers = {"Content-Type": "application/octet-stream"} if is_file else {}
        limit = httpx.Timeout(_ANSWER_S + request.wait_s, connect=_CONNECT_S)
        params = {"wait_s": f"{request.wait_s:g}"} if request.wait_s else None
        try:
            response = self._client.request(
                request.method,
                request.path,
                json=request.document,
                content=request.content,
                headers=headers,
                params=params,
                timeout=limit,
            )
        except (httpx.TransportError, httpx.DecodingError) as error:
            self._refuse_certificate(error)
            return None, f"cannot be reached ({_say(error)})"
        said = _message(response)
        return response, f"answers {response.status_code}{': ' if said else ''}{said}"

    def _refuse_certificate(self, error: Exception) -> None:
        """Raise `DeviceError` where trying again cannot help: the encryption does not fit."""
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLCertVerificationError):
                raise DeviceError(
                    f"the certificate of {self.access.base} is not accepted: "
                    f"{cause.verify_message}; give the PEM file of its authority by the option ca, "
                    "and the name that the certificate was made for as the address"
                ) from error
            if isinstance(cause, ssl.SSLError) and cause.reason in _NOT_ENCRYPTED:
                raise DeviceError(
                    f"{self.access.base} does not speak TLS; start hot serve with --certificate "
                    "and --key, or reach it by http:// from its own machine"
                ) from error
            cause = cause.__cause__ or cause.__context__


_NOT_ENCRYPTED = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNEXPECTED_MESSAGE")


@dataclass(frozen=True)
class _Request:
    """What is asked; see `Connection.ask`."""

    method: str
    path: str
    document: object = None
    content: bytes | None = None
    wait_s: float = 0.0


@dataclass(frozen=True)
class Answer:
    """What a server answered: a status below 500, and a JSON object."""

    status: int
    document: dict[str, Any]

    @property
    def code(self) -> str:
        """The code of the error, or nothing."""
        return str(self._error.get("code", ""))

    @property
    def message(self) -> str:
        """The message of the error, or nothing."""
        return str(self._error.get("message", ""))

    @property
    def _error(self) -> dict[str, Any]:
        error = self.document.get("error")
        return error if isinstance(error, dict) else {}


def read_token(path: str) -> str:
    """The token in a file: its first line.

    Raises:
        DeviceError: no such file, or nothing in it.
    """
    try:
        lines = Path(path).expanduser().read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise DeviceError(f"cannot read the token file {path}: {error}") from error
    if not lines:
        raise DeviceError(f"the token file {path} is empty; make a token by hot token NAME")
    return lines[0]


def _certificates(ca: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(Path(ca).expanduser()) if ca else None)
    except (OSError, ssl.SSLError) as error:
        raise DeviceError(f"cannot use the authority's certificate {ca}: {error}") from error


def _may_pass(response: httpx.Response) -> bool:
    """Whether the same request may fare better in a moment."""
    return response.status_code in (_TOO_MANY, _TOO_SLOW) or response.status_code >= 500


def _retry_after_s(response: httpx.Response | None) -> float:
    """The pause that the server asks for, up to a minute."""
    try:
        asked_s = float("" if response is None else response.headers.get("Retry-After", ""))
    except ValueError:
        return 0.0
    return min(max(asked_s, 0.0), 60.0)


def _read(response: httpx.Response, access: Access) -> Answer:
    """The answer in a response; raises `DeviceError` where all requests would fare alike."""
    said = _message(response)
    if response.status_code == 401:
        what = "does not accept the token" if access.token else "asks for a token"
        raise DeviceError(
            f"{access.base} {what}{': ' if said else ''}{said}; "
            "give one in HOT_TOKEN or by the option token_file (hot token makes them)"
        )
    if response.status_code == 403:
        raise DeviceError(
            f"{access.base} does not allow this{': ' if said else ''}{said}; "
            "use a token of the role measure (hot token NAME --role measure)"
        )
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict) or 300 <= response.status_code < 400:
        raise DeviceError(
            f"{access.base} answers {response.status_code}, but not as a profiling server does; "
            "check the address"
        )
    return Answer(response.status_code, document)


def _message(response: httpx.Response) -> str:
    try:
        error = response.json().get("error")
        return str(error["message"])
    except (ValueError, AttributeError, KeyError, TypeError):
        return ""


def _say(error: Exception) -> str:
    return str(error).strip() or type(error).__name__
