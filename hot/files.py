"""Files that are either whole or absent: atomic writes, checksums, validated documents."""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from hot.errors import InputError, StorageError, unknown_name

T = TypeVar("T")


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path` that becomes `path` when the block ends without an error.

    A kill, a full disk or an error at any moment leaves the earlier file as it was.

    Raises:
        StorageError: the folder cannot be written or the disk is full.
    """
    target = Path(path)
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            dir=target.parent, prefix=f".{target.stem}.", suffix=f".tmp{target.suffix}"
        )
        os.close(handle)
        temporary = Path(name)
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, target)
    except OSError as error:
        raise StorageError(
            f"cannot write {target}: {error.strerror or error}; "
            "free the disk or choose another folder"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` to `path` atomically, in UTF-8."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], document: object) -> None:
    """Write a JSON document atomically; NaN and infinity are refused (they are no JSON)."""
    write_text(path, json.dumps(document, indent=1, allow_nan=False) + "\n")


def read_text(path: str | os.PathLike[str], what: str = "file") -> str:
    """The text of `path`.

    Raises:
        InputError: there is no such file, or it is not text.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(f"no {what} at {path}; check the path") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the {what} {path}: {error}") from error


def read_json(path: str | os.PathLike[str], what: str = "file") -> Any:
    """The JSON document in `path`.

    Raises:
        InputError: missing, truncated or otherwise not JSON; names the line.
    """
    try:
        return json.loads(read_text(path, what))
    except json.JSONDecodeError as error:
        raise InputError(
            f"the {what} {path} is damaged (line {error.lineno}: {error.msg}); "
            "restore it or make it again"
        ) from error


def read_yaml(path: str | os.PathLike[str], what: str = "file") -> Any:
    """The YAML document in `path`.

    Raises:
        InputError: missing or not YAML; names the line.
    """
    try:
        return yaml.safe_load(read_text(path, what))
    except (yaml.YAMLError, ValueError) as error:  # a date such as 2026-02-30 is a ValueError
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or error
        raise InputError(f"the {what} {path}{where} is not valid YAML: {problem}") from error


def validate(kind: type[T], document: Any, source: str, error: type[InputError] = InputError) -> T:
    """The document as `kind`, a pydantic model or a dataclass.

    Raises:
        InputError: the first fault, with `source`, the key, what is allowed and what was given.
    """
    try:
        return TypeAdapter(kind).validate_python(document)
    except ValidationError as failure:
        fault = failure.errors()[0]
        if fault["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            *path, name = fault["loc"]
            where = "".join(f"{part}." for part in path)
            known = unknown_name("key", f"{where}{name}", _known_keys(kind, path, where))
            raise error(f"{source}: {known}") from failure
        key = ".".join(str(part) for part in fault["loc"]) or "document"
        given = "" if fault["type"] == "missing" else f", not {fault['input']!r}"
        raise error(f"{source}: {key}: {fault['msg']}{given}") from failure


def _known_keys(kind: Any, path: list[int | str], where: str) -> list[str]:
    """The keys that a document of `kind` may have at `path`, by its JSON schema."""
    schema = TypeAdapter(kind).json_schema()

    def resolve(node: dict[str, Any]) -> dict[str, Any]:
        if "$ref" in node:
            return resolve(schema["$defs"][node["$ref"].rsplit("/", 1)[-1]])
        return resolve(node["allOf"][0]) if "allOf" in node else node

    node = resolve(schema)
    for part in path:
        node = resolve(node["items"] if isinstance(part, int) else _inner(node, part))
    return [f"{where}{name}" for name in node["properties"]]


def _inner(node: dict[str, Any], key: str) -> dict[str, Any]:
    inner: dict[str, Any] = node.get("properties", {}).get(key) or node["additionalProperties"]
    return inner


def cache_folder() -> Path:
    """Where hot keeps what it can make again: `HOT_CACHE`, by default `~/.cache/hot`."""
    return Path(os.environ.get("HOT_CACHE") or Path.home() / ".cache" / "hot")


def sha256(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
