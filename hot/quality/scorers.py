"""The scorers by name; third parties add theirs through the group `hot.quality`."""

from functools import cache, partial
from importlib.metadata import entry_points
from pathlib import Path

from hot.errors import InputError, unknown_name
from hot.quality.contract import Evidence, Scorer
from hot.quality.counts import network_macs, network_params, score_macs, score_params
from hot.quality.distill import score_distill
from hot.quality.file import load_quality
from hot.quality.naswot import NASWOT
from hot.quality.networks import network_distill
from hot.quality.synflow import SYNFLOW
from hot.quality.untrained import score_one, score_untrained
from hot.quality.zico import ZICO
from hot.records import QualityTable
from hot.space import Architecture, Space

SCORERS: dict[str, Scorer] = {
    "macs": Scorer(score_macs, "Ozcinar et al. 2022, eq. (1)", network=network_macs),
    "params": Scorer(score_params, "parameters as capacity", network=network_params),
    "naswot": Scorer(
        partial(score_untrained, NASWOT),
        "Mellor et al., ICML 2021",
        needs=("data",),
        network=partial(score_one, NASWOT),
    ),
    "synflow": Scorer(
        partial(score_untrained, SYNFLOW),
        "Tanaka et al., NeurIPS 2020",
        network=partial(score_one, SYNFLOW),
    ),
    "zico": Scorer(
        partial(score_untrained, ZICO),
        "Li et al., ICLR 2023",
        needs=("data",),
        network=partial(score_one, ZICO),
    ),
    "distill": Scorer(
        score_distill,
        "LANA: Molchanov et al., ECCV 2022; Puzzle: Bercovich et al. 2024",
        needs=("data", "library"),
        network=network_distill,
    ),
}
_GIVE = {
    "data": "images: give Evidence(data=...), on the command line --data",
    "library": "the trained original network: give Evidence(library=...)",
}


@cache
def known_scorers() -> dict[str, Scorer]:
    """`SCORERS` and those that installed packages add."""
    added = {point.name: point.load() for point in entry_points(group="hot.quality")}
    return {**added, **SCORERS}


def find_scorer(name: str, evidence: Evidence) -> Scorer:
    """The scorer called `name`, once the evidence has what it needs.

    Raises:
        InputError: there is none, or something it needs is missing.
    """
    scorers = known_scorers()
    if name not in scorers:
        raise InputError(unknown_name("quality", name, scorers) + "; or give a file")
    scorer = scorers[name]
    held = {"data": evidence.data, "library": evidence.library}
    for need in scorer.needs:
        if held[need] is None:
            raise InputError(f"the quality {name!r} needs {_GIVE[need]}")
    return scorer


def needs_of(name_or_file: str) -> tuple[str, ...]:
    """Which of `data` and `library` the scorer of this name needs; nothing for a file."""
    scorers = known_scorers()
    return scorers[name_or_file].needs if name_or_file in scorers else ()


def check_corrections(name_or_file: str, n_rounds: int) -> None:
    """Raise `InputError` where corrections are wanted of a scorer that trains no blocks."""
    if n_rounds and "library" not in needs_of(name_or_file):
        raise InputError(
            f"corrections measure networks of trained blocks, which the quality {name_or_file!r} "
            "does not make; choose the quality 'distill', or 0 corrections"
        )


def score(
    space: Space, name_or_file: str = "macs", evidence: Evidence = Evidence()
) -> QualityTable:
    """The quality table by a known scorer, or from a file.

    Raises:
        InputError: neither a known scorer nor a file, the file does not fit the space, or what the
            scorer needs is missing.
    """
    is_file = Path(name_or_file).exists() or Path(name_or_file).suffix in (".csv", ".json")
    if name_or_file not in known_scorers() and is_file:
        return load_quality(name_or_file, space)
    return find_scorer(name_or_file, evidence).score(space, evidence)


def score_network(
    name: str, space: Space, architecture: Architecture, evidence: Evidence = Evidence()
) -> float:
    """The score of one whole network, not summed over its choices.

    Raises:
        InputError: as `score`, or the scorer scores no whole networks.
    """
    scorer = find_scorer(name, evidence)
    if scorer.network is None:
        raise InputError(f"the quality {name!r} scores choices alone, no whole networks")
    space.check(architecture)
    return scorer.network(space, architecture, evidence)
