"""Two look-up tables of one space side by side, for example int8 beside fp32."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from hot.records import Lut
from hot.space import Space

_NETWORKS = 1000


@dataclass(frozen=True)
class SlotComparison:
    """One slot: every choice in ms in both tables, and the second over the first.

    Attributes:
        ratios: by choice; None where the first takes no time.
        fastest: the fastest choice of the first table, and of the second.
    """

    slot: str
    first_ms: dict[str, float]
    second_ms: dict[str, float]
    ratios: dict[str, float | None]
    fastest: tuple[str, str]


@dataclass(frozen=True)
class Comparison:
    """What two tables of one space say of the same choices.

    Attributes:
        fixed_ms: stem, head and the constant cost of an inference.
        original_ms: the original network.
        median_ratio: of all choices of all slots.
        spearman: of the two predictions over `n_networks` random networks: whether both tables
            would pick alike.
    """

    slots: tuple[SlotComparison, ...]
    fixed_ms: tuple[float, float]
    original_ms: tuple[float, float]
    median_ratio: float | None
    spearman: float
    n_networks: int


def compare_luts(first: Lut, second: Lut, space: Space, seed: int = 0) -> Comparison:
    """The second LUT over the first, choice by choice and over whole networks.

    Raises:
        LutError: one of them was not made for `space`.
    """
    tables = first.table(space), second.table(space)
    slots = []
    for index, slot in enumerate(space.slots):
        a, b = (dict(zip(slot.keys, table.latency_ms[index], strict=True)) for table in tables)
        ratios = {key: b[key] / a[key] if a[key] > 0 else None for key in slot.keys}
        fastest = min(a, key=a.__getitem__), min(b, key=b.__getitem__)
        slots.append(SlotComparison(slot.name, a, b, ratios, fastest))
    known = [ratio for slot in slots for ratio in slot.ratios.values() if ratio is not None]
    rng = np.random.default_rng(seed)
    networks = {a.key: a for a in (space.sample(rng) for _ in range(_NETWORKS))}.values()
    x, y = ([table.predict_ms(space, a) for a in networks] for table in tables)
    original = space.original
    return Comparison(
        tuple(slots),
        (tables[0].fixed_ms, tables[1].fixed_ms),
        (tables[0].predict_ms(space, original), tables[1].predict_ms(space, original)),
        float(np.median(known)) if known else None,
        float(spearmanr(x, y).statistic),
        len(x),
    )
