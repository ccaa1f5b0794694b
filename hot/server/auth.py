"""Who may do what: bearer tokens with roles, kept as digests in a file."""

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from hot.errors import InputError
from hot.files import read_yaml, validate, write_text

ROLES = ("read", "measure", "admin")  # each may do what those before it may
Role = Literal["read", "measure", "admin"]


class TokenRow(BaseModel):
    """One token: its digest, never the token itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=100, pattern="^[!-~]+$")]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    role: Role
    expires: datetime | None = None


@dataclass(frozen=True)
class Caller:
    """Who asks."""

    name: str
    role: str

    def may(self, role: str) -> bool:
        """Whether the caller's role includes `role`."""
        return ROLES.index(self.role) >= ROLES.index(role)


def load_tokens(path: Path) -> tuple[TokenRow, ...]:
    """The rows of a file of tokens.

    Raises:
        InputError: missing, damaged, or two rows of one name.
    """
    rows = validate(tuple[TokenRow, ...], read_yaml(path, "file of tokens") or [], str(path))
    names = [row.name for row in rows]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{path} has two tokens named {name!r}; remove one")
    return rows


def fault_place(error: InputError) -> str:
    """Where in the file an error of `load_tokens` is, without what stands there: maybe a token."""
    cause = error.__cause__
    if isinstance(cause, ValidationError):
        place = cause.errors(include_input=False)[0]["loc"]
        known = [str(p) for p in place if isinstance(p, int) or p in TokenRow.model_fields]
        return f"at {'.'.join(known) or 'the top'}"
    if isinstance(cause, yaml.MarkedYAMLError) and cause.problem_mark is not None:
        return f"in line {cause.problem_mark.line + 1}"
    return f"of the kind {type(cause or error).__name__}"


def add_token(path: Path, name: str, role: str, days: float | None) -> str:
    """Make a token, keep its digest in the file, and return it: it is shown this once.

    A token of that name is replaced.

    Raises:
        InputError: the file is damaged, or the name cannot be used.
    """
    token = f"hot_{secrets.token_urlsafe(32)}"
    expires = None if days is None else datetime.now(UTC) + timedelta(days=days)
    document = {"name": name, "sha256": _digest(token), "role": role, "expires": expires}
    row = validate(TokenRow, document, "the new token")
    kept = [old for old in (load_tokens(path) if path.exists() else ()) if old.name != name]
    rows = TypeAdapter(list[TokenRow]).dump_python([*kept, row], mode="json")
    write_text(path, yaml.safe_dump(rows, sort_keys=False))
    path.chmod(0o600)
    return token


class Tokens:
    """The tokens of a file; a change of the file counts from the next request on."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        """Read the file.

        Raises:
            InputError: it is missing or damaged.
        """
        self._path = path
        self._clock = clock
        self._latest_s = clock()
        self._lock = threading.Lock()
        self._stamp = _stamp(path)
        self._rows = load_tokens(path)

    def find(self, token: str) -> Caller | None:
        """Who holds a token; None where it is unknown or expired.

        Every row is compared, each in a time that does not depend on the token.

        Raises:
            InputError: the file was changed and cannot be read now; nobody comes in.
        """
        digest = _digest(token)
        found = None
        for row in self._current():
            if hmac.compare_digest(row.sha256, digest):
                found = row
        if found is None or self._is_expired(found):
            return None
        return Caller(found.name, found.role)

    def _current(self) -> tuple[TokenRow, ...]:
        with self._lock:
            stamp = _stamp(self._path)
            if stamp != self._stamp:
                self._rows = load_tokens(self._path)
                self._stamp = stamp
            return self._rows

    def _is_expired(self, row: TokenRow) -> bool:
        """By the latest time ever seen: a clock that goes back opens no door again."""
        self._latest_s = max(self._latest_s, self._clock())
        if row.expires is None:
            return False
        expires = row.expires if row.expires.tzinfo else row.expires.replace(tzinfo=UTC)
        return expires.timestamp() <= self._latest_s


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
