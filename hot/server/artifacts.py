"""Uploaded models in the database, by the SHA-256 of their bytes."""

import json

from sqlalchemy import delete, exists, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from hot.records import now
from hot.server.database import Database
from hot.server.facts import ModelFacts
from hot.server.schema import FINAL, ArtifactRow, JobRow


class Artifacts:
    """Models that were uploaded; the oldest that no job waits for make room for new ones."""

    def __init__(self, database: Database, max_bytes: int) -> None:
        """Keep at most `max_bytes`, besides what jobs wait for."""
        self._database = database
        self._max_bytes = max_bytes

    def facts(self, sha256: str) -> ModelFacts | None:
        """What is known of a model, or None where it is not kept."""
        with self._database.read() as session:
            row = session.execute(
                select(ArtifactRow.format, ArtifactRow.input_shape).where(
                    ArtifactRow.sha256 == sha256
                )
            ).first()
        return None if row is None else ModelFacts(row.format, tuple(json.loads(row.input_shape)))

    def data(self, sha256: str) -> bytes | None:
        """The bytes of a model, or None where it is not kept."""
        with self._database.read() as session:
            return session.scalar(select(ArtifactRow.data).where(ArtifactRow.sha256 == sha256))

    def add(self, sha256: str, facts: ModelFacts, data: bytes) -> bool:
        """Keep a model; returns whether it was new."""
        row = ArtifactRow(
            sha256=sha256,
            format=facts.format,
            input_shape=json.dumps(facts.input_shape),
            n_bytes=len(data),
            created=now(),
            data=data,
        )
        try:
            with self._database.write() as session:
                self._make_room(session, len(data))
                session.add(row)
        except IntegrityError:  # another request brought it at the same moment
            return False
        return True

    def _make_room(self, session: Session, n_bytes: int) -> None:
        total = session.scalar(select(func.coalesce(func.sum(ArtifactRow.n_bytes), 0))) or 0
        excess = int(total) + n_bytes - self._max_bytes
        if excess <= 0:
            return
        is_awaited = exists().where(
            JobRow.artifact == ArtifactRow.sha256, JobRow.status.not_in(FINAL)
        )
        rows = session.execute(
            select(ArtifactRow.number, ArtifactRow.n_bytes)
            .where(~is_awaited)
            .order_by(ArtifactRow.number)
        )
        for row in rows.all():
            if excess <= 0:
                return
            session.execute(delete(ArtifactRow).where(ArtifactRow.number == row.number))
            excess -= row.n_bytes
