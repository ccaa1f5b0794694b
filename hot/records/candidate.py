"""What a searcher hands on: an architecture, its predictions, and what was proven of it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Prediction:
    """What is known of an architecture before it is built; the fixed parts are included.

    Attributes:
        latency_ms: from the LUT; None without one.
        energy_mj: from the LUT or the device's description; None where there is none.
        weight_bytes, activation_bytes: at the LUT's precision.
        quality: the score of the quality table, higher is better.
    """

    latency_ms: float | None
    energy_mj: float | None
    macs: int
    params: int
    weight_bytes: int
    activation_bytes: int
    quality: float


@dataclass(frozen=True)
class Candidate:
    """An architecture that a searcher picked.

    Attributes:
        name: unique in its run: `baseline`, or the searcher and the rank (`latency-1`).
        architecture: the key that `Space.parse` reads.
        rank: 1 is the best; 0 is the baseline.
        value: the objective's value; `bound` the proven limit that no unseen solution passes.
        is_proven: whether this is proven the rank-th best.
        notes: warnings a reader must see.
    """

    name: str
    space: str
    architecture: str
    rank: int
    objective: str
    value: float
    bound: float
    is_proven: bool
    predicted: Prediction
    notes: tuple[str, ...] = ()
