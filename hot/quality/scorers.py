"""The scorers by name; third parties add theirs through the group `hot.quality`."""

from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol

from hot.errors import InputError, unknown_name
from hot.quality.counts import score_macs, score_params
from hot.quality.file import load_quality
from hot.records import QualityTable
from hot.space import Space


class QualityScorer(Protocol):
    """Scores every choice of a space; higher is better, a network's score is the sum."""

    def __call__(self, space: Space) -> QualityTable:
        """The table of `space`."""


SCORERS: dict[str, QualityScorer] = {
    "macs": score_macs,
    "params": score_params,
}


@cache
def known_scorers() -> dict[str, QualityScorer]:
    """`SCORERS` and those that installed packages add."""
    added = {point.name: point.load() for point in entry_points(group="hot.quality")}
    return {**added, **SCORERS}


def score(space: Space, name_or_file: str = "macs") -> QualityTable:
    """The quality table by a known scorer, or from a file.

    Raises:
        InputError: neither a known scorer nor a file, or the file does not fit the space.
    """
    scorers = known_scorers()
    if name_or_file in scorers:
        return scorers[name_or_file](space)
    if Path(name_or_file).exists() or Path(name_or_file).suffix in (".csv", ".json"):
        return load_quality(name_or_file, space)
    raise InputError(unknown_name("quality", name_or_file, scorers) + "; or give a file")
