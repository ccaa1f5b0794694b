"""Quality of every choice of a space, as one table; higher is better."""

from hot.quality.contract import Evidence, Scorer
from hot.quality.counts import score_macs, score_params
from hot.quality.file import load_quality
from hot.quality.measures import MEASURES
from hot.quality.scorers import SCORERS, needs_of, score, score_network

__all__ = [
    "MEASURES",
    "SCORERS",
    "Evidence",
    "Scorer",
    "load_quality",
    "needs_of",
    "score",
    "score_macs",
    "score_network",
    "score_params",
]
