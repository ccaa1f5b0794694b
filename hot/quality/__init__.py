"""Quality of every choice of a space, as one table; higher is better."""

from hot.quality.counts import score_macs, score_params
from hot.quality.file import load_quality
from hot.quality.scorers import SCORERS, QualityScorer, score

__all__ = ["SCORERS", "QualityScorer", "load_quality", "score", "score_macs", "score_params"]
