"""Quality tables from a user's file: `slot,choice,score` rows in CSV, or a saved QualityTable."""

import csv
import io
import math
import os
from pathlib import Path

from hot.errors import InputError
from hot.files import read_text
from hot.records import QualityTable, load_record
from hot.space import Space

_COLUMNS = ["slot", "choice", "score"]


def load_quality(path: str | os.PathLike[str], space: Space) -> QualityTable:
    """The quality table in `path`, complete for `space`.

    Raises:
        InputError: missing or damaged, made for another space, a score missing, given twice, for a
            slot or choice that is not there, or not finite.
    """
    if Path(path).suffix != ".csv":
        table = load_record(path, QualityTable)
        return _check(table, space, path)
    reader = csv.DictReader(io.StringIO(read_text(path, "quality table")))
    if reader.fieldnames != _COLUMNS:
        raise InputError(
            f"{path}: the first line must be slot,choice,score, not {reader.fieldnames}"
        )
    scores: dict[tuple[str, str], float] = {}
    for line, row in enumerate(reader, start=2):
        key = (row["slot"], row["choice"])
        if key in scores:
            raise InputError(f"{path}, line {line}: a second score for {key[0]} {key[1]}")
        try:
            scores[key] = float(row["score"])
        except (TypeError, ValueError) as error:
            raise InputError(f"{path}, line {line}: score {row['score']!r} is no number") from error
    known = [(slot.name, key) for slot in space.slots for key in slot.keys]
    if unknown := sorted(scores.keys() - set(known)):
        raise InputError(
            f"{path}: {space.name!r} has no slot and choice {unknown[0]}; remove the row"
        )
    if missing := [key for key in known if key not in scores]:
        raise InputError(f"{path}: no score for {missing[0]}; give every choice of every slot one")
    values = tuple(tuple(scores[slot.name, key] for key in slot.keys) for slot in space.slots)
    return _check(QualityTable(space.key, str(path), values), space, path)


def _check(table: QualityTable, space: Space, path: str | os.PathLike[str]) -> QualityTable:
    if table.space != space.key:
        raise InputError(f"{path} was made for the space {table.space!r}, not for {space.key!r}")
    if [len(row) for row in table.values] != [len(slot.choices) for slot in space.slots]:
        raise InputError(f"{path} has not one score for every choice of every slot; make it again")
    left_out = {(row.slot, row.choice) for row in table.left_out}
    for slot, row in zip(space.slots, table.values, strict=True):
        for key, value in zip(slot.keys, row, strict=True):
            if value is None and (slot.name, key) in left_out:
                continue
            if value is None or not math.isfinite(value):
                raise InputError(f"{path}: the score of {slot.name} {key} is {value}; correct it")
    return table
