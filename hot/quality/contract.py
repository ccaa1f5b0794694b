"""The contract of a scorer: what it may look at, and how it stands in the table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hot.errors import InputError
from hot.nn import Library
from hot.records import DistillSettings, LeftOut, QualityTable
from hot.space import Architecture, Space
from hot.tasks import TASKS, ImageData, Task


@dataclass(frozen=True)
class Evidence:
    """What a scorer may look at.

    Attributes:
        data: images; the test split is never read.
        task: gives loss and metric.
        library: holds the trained original network; distilled blocks are written to it.
        folder: where unfinished work is kept, so that it goes on after a kill; None keeps nothing.
        seed: of weights, order and batches.
        device: `cpu`, `cuda` or None for a GPU where there is one.
        n_threads: processor cores to use; None for all that this process may use.
        distill: the numbers of the scorer `distill`.
    """

    data: ImageData | None = None
    task: Task = TASKS["classification"]
    library: Library | None = None
    folder: Path | None = None
    seed: int = 0
    device: str | None = None
    n_threads: int | None = None
    distill: DistillSettings = field(default_factory=DistillSettings)


def check_left_out(space: Space, left_out: Sequence[LeftOut]) -> None:
    """Raise `InputError` where a slot has no choice with a score beside the original."""
    reasons = {(one.slot, one.choice): one.reason for one in left_out}
    for slot in space.slots:
        others = [(slot.name, choice.key) for choice in slot.choices if choice != slot.original]
        if others and all(key in reasons for key in others):
            raise InputError(
                f"no choice of slot {slot.name!r} could be scored; the first, {others[0][1]}: "
                f"{reasons[others[0]]}"
            )


@dataclass(frozen=True)
class Scorer:
    """A row of `SCORERS`.

    Attributes:
        score: the table of a space; higher is better, a network's score is the sum.
        reference: where the method is from.
        needs: which of `data` and `library` the evidence must hold.
        network: the score of one whole network, where the method gives one without the table.
    """

    score: Callable[[Space, Evidence], QualityTable]
    reference: str
    needs: tuple[str, ...] = ()
    network: Callable[[Space, Architecture, Evidence], float] | None = None
