"""The one file form of every record: JSON with the record's kind and a schema version."""

import os
from typing import Any, TypeVar

from pydantic import TypeAdapter

from hot.errors import InputError
from hot.files import read_json, validate, write_json

SCHEMA = 1
T = TypeVar("T")


def to_document(record: object) -> dict[str, Any]:
    """The record as plain JSON types."""
    body = TypeAdapter(type(record)).dump_python(record, mode="json")
    return {"record": type(record).__name__, "schema": SCHEMA, **body}


def from_document(document: Any, kind: type[T], source: str) -> T:
    """The record of type `kind` in a JSON document.

    Raises:
        InputError: another kind or schema, or a field missing or wrong; names `source` and key.
    """
    if not isinstance(document, dict) or document.get("record") != kind.__name__:
        found = document.get("record") if isinstance(document, dict) else type(document).__name__
        raise InputError(f"{source} holds {found!r}, not a {kind.__name__}; give the right file")
    if document.get("schema") != SCHEMA:
        raise InputError(
            f"{source} has schema {document.get('schema')!r}, this version of hot reads {SCHEMA}; "
            "make the file again"
        )
    body = {key: value for key, value in document.items() if key not in ("record", "schema")}
    return validate(kind, body, source)


def save_record(path: str | os.PathLike[str], record: object) -> None:
    """Write a record atomically; `load_record` gives an equal one back."""
    write_json(path, to_document(record))


def load_record(path: str | os.PathLike[str], kind: type[T]) -> T:
    """The record of type `kind` in the file `path`.

    Raises:
        InputError: missing, damaged, of another kind or schema.
    """
    return from_document(read_json(path, kind.__name__), kind, str(path))
