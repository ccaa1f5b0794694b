"""What a searcher hands on: an architecture, its predictions, and what was proven of it."""

from dataclasses import dataclass

from hot.records.budget import Budget
from hot.records.prediction import Prediction


@dataclass(frozen=True)
class Candidate:
    """An architecture that a searcher picked.

    Attributes:
        name: unique in its run: `baseline`, or the searcher and the rank (`latency-1`).
        architecture: the key that `Space.parse` reads.
        rank: 1 is the best; 0 is the baseline.
        value: the objective's value; `bound` the proven limit that no unseen solution passes. None
            for a baseline whose value the tables do not tell.
        is_proven: whether this is proven the rank-th best.
        notes: warnings a reader must see.
        budget: the limits it was searched under.
    """

    name: str
    space: str
    architecture: str
    rank: int
    objective: str
    value: float | None
    bound: float | None
    is_proven: bool
    predicted: Prediction
    notes: tuple[str, ...] = ()
    budget: Budget | None = None
