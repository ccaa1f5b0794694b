"""Training: one loop, and the search for its hyper-parameters over many processes."""

from hot.training.checkpoint import load_weights
from hot.training.evaluate import evaluate
from hot.training.fit import fit

__all__ = ["evaluate", "fit", "load_weights"]
