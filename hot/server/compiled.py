"""Compiled files in the database, beside the results that list them."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from hot.server.schema import FileRow, ResultRow


@dataclass(frozen=True)
class CompiledFile:
    """What a device's compiler made of a model."""

    name: str
    data: bytes

    def document(self) -> dict[str, Any]:
        """It as a job's document lists it."""
        digest = hashlib.sha256(self.data).hexdigest()
        return {"name": self.name, "sha256": digest, "bytes": len(self.data)}


def unpack_files(packed: list[dict[str, str]]) -> list[CompiledFile]:
    """The files in a worker's answer."""
    return [CompiledFile(one["name"], base64.b64decode(one["data"])) for one in packed]


def add_files(session: Session, key: str, files: Sequence[CompiledFile], max_bytes: int) -> None:
    """Keep the files of a result; above `max_bytes`, the oldest results with files go."""
    for one in files:
        session.add(FileRow(key=key, name=one.name, n_bytes=len(one.data), data=one.data))
    if not files:
        return
    session.flush()
    total = int(session.scalar(select(func.sum(FileRow.n_bytes))) or 0)
    kept = select(FileRow.key, func.sum(FileRow.n_bytes)).where(FileRow.key != key)
    for old, n_bytes in session.execute(
        kept.group_by(FileRow.key).order_by(func.min(FileRow.number))
    ).all():
        if total <= max_bytes:
            return
        session.execute(delete(FileRow).where(FileRow.key == old))
        session.execute(delete(ResultRow).where(ResultRow.key == old))
        total -= int(n_bytes)
