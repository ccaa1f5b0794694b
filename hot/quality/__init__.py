"""Quality of every choice of a space, as one table; higher is better."""

from hot.quality.contract import DistillSettings, Evidence, Scorer
from hot.quality.counts import score_macs, score_params
from hot.quality.file import load_quality
from hot.quality.measures import MEASURES
from hot.quality.scorers import SCORERS, score, score_network

__all__ = [
    "MEASURES",
    "SCORERS",
    "DistillSettings",
    "Evidence",
    "Scorer",
    "load_quality",
    "score",
    "score_macs",
    "score_network",
    "score_params",
]
