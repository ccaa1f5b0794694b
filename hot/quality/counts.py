"""Quality by analytic counts: MACs as in the paper, or parameters."""

from collections.abc import Callable

from hot.quality.contract import Evidence
from hot.records import QualityTable
from hot.space import Architecture, Counts, Space


def _score(space: Space, name: str, count: Callable[[Counts], int]) -> QualityTable:
    fixed = float(count(space.fixed_counts))
    return QualityTable(space.key, name, space.count_choices(count), fixed)


def score_macs(space: Space, evidence: Evidence = Evidence()) -> QualityTable:
    """MACs of every choice: `c` of eq. (1) in Ozcinar et al. 2022.

    Assumption: quality grows with MACs. It fails between operators of equal cost, and a network
    with the MACs of the baseline can have a tenth of its parameters.
    """
    return _score(space, "macs", lambda counts: counts.macs)


def score_params(space: Space, evidence: Evidence = Evidence()) -> QualityTable:
    """Parameters of every choice.

    Assumption: quality grows with capacity. It fails where parameters stand at a low resolution
    and see little of the image.
    """
    return _score(space, "params", lambda counts: counts.params)


def network_macs(space: Space, architecture: Architecture, evidence: Evidence) -> float:
    """MACs of a whole network."""
    return float(space.counts(architecture).macs)


def network_params(space: Space, architecture: Architecture, evidence: Evidence) -> float:
    """Parameters of a whole network."""
    return float(space.counts(architecture).params)
