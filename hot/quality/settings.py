"""What evidence may ask for, and what it means on this machine."""

import contextlib
from collections.abc import Iterator

import torch

from hot.errors import InputError, unknown_name
from hot.quality.contract import Evidence
from hot.quality.measures import MEASURES
from hot.quality.teach import OPTIMIZERS
from hot.records import DistillSettings
from hot.training.machine import count_cores, find_device
from hot.training.precision import PRECISIONS


def check_distill(settings: DistillSettings) -> None:
    """Raise `InputError` unless every number and name is allowed; names it."""
    for kind, name, known in (
        ("optimizer", settings.optimizer, OPTIMIZERS),
        ("precision", settings.precision, PRECISIONS),
        ("measure", settings.measure, MEASURES),
    ):
        if name not in known:
            raise InputError(unknown_name(kind, name, known))
    for name, is_valid, allowed in (
        ("steps", settings.steps >= 1, "at least 1"),
        ("batch", settings.batch >= 2, "at least 2 (batch normalisation)"),
        ("learning_rate", settings.learning_rate > 0, "greater than 0"),
        ("n_measure", settings.n_measure >= 2, "at least 2 images"),
        ("feature_mib", settings.feature_mib >= 0, "at least 0 MiB"),
    ):
        if not is_valid:
            raise InputError(f"distill's {name} must be {allowed}, not {getattr(settings, name)}")


def find_processes(evidence: Evidence) -> int:
    """How many processes may work side by side: one a processor core, one for a GPU."""
    if find_device(evidence.device).type == "cuda":
        return 1
    return evidence.n_threads or count_cores()


@contextlib.contextmanager
def cores(n: int) -> Iterator[None]:
    """Inside, torch uses at most `n` processor cores; after it, as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, min(n, before)))
    try:
        yield
    finally:
        torch.set_num_threads(before)
