"""Quality of every choice of a space, as one table; higher is better."""

from hot.quality.contract import Evidence, Scorer
from hot.quality.correct import agreement, correct_quality, order_agreement
from hot.quality.counts import score_macs, score_params
from hot.quality.file import load_quality
from hot.quality.measures import MEASURES
from hot.quality.networks import images_per_network, measure_plugged
from hot.quality.scorers import (
    SCORERS,
    check_corrections,
    known_scorers,
    needs_of,
    score,
    score_network,
)
from hot.quality.settings import check_distill

__all__ = [
    "MEASURES",
    "SCORERS",
    "Evidence",
    "Scorer",
    "agreement",
    "check_corrections",
    "check_distill",
    "correct_quality",
    "images_per_network",
    "known_scorers",
    "load_quality",
    "measure_plugged",
    "needs_of",
    "order_agreement",
    "score",
    "score_macs",
    "score_network",
    "score_params",
]
