"""Training: one loop, and the search for its hyper-parameters over many processes."""

from hot.training.checkpoint import load_weights
from hot.training.evaluate import evaluate
from hot.training.fit import fit
from hot.training.hpo import PRUNERS, SAMPLERS, HpoSettings, check_settings
from hot.training.recipe import check_recipe
from hot.training.schedule import OPTIMIZERS, SCHEDULES
from hot.training.workers import optimise

__all__ = [
    "OPTIMIZERS",
    "PRUNERS",
    "SAMPLERS",
    "SCHEDULES",
    "HpoSettings",
    "check_recipe",
    "check_settings",
    "evaluate",
    "fit",
    "load_weights",
    "optimise",
]
