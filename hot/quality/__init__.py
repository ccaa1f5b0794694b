"""Quality of every choice of a space, as one table; higher is better."""

from hot.quality.contract import Evidence, Scorer
from hot.quality.counts import score_macs, score_params
from hot.quality.file import load_quality
from hot.quality.measures import MEASURES
from hot.quality.scorers import SCORERS, known_scorers, needs_of, score, score_network
from hot.quality.settings import check_distill

__all__ = [
    "MEASURES",
    "SCORERS",
    "Evidence",
    "Scorer",
    "check_distill",
    "known_scorers",
    "load_quality",
    "needs_of",
    "score",
    "score_macs",
    "score_network",
    "score_params",
]
