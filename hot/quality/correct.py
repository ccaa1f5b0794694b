"""Quality tables corrected by whole networks that were measured."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from scipy.stats import spearmanr

from hot.errors import InputError
from hot.lut.correct import fit_correction, merge_pairs
from hot.records import QualityTable
from hot.space import Space

log = logging.getLogger(__name__)


def correct_quality(
    table: QualityTable, space: Space, measured: Mapping[str, float], has_pairs: bool = True
) -> QualityTable:
    """The table corrected by measured qualities of whole networks, in its own unit.

    Networks whose value is not finite, or with a choice that is left out, tell nothing. The table
    stays as it is where the correction would predict no better.

    Args:
        measured: by architecture key.
        has_pairs: whether neighbouring pairs may be corrected.

    Raises:
        InputError: the table belongs to another space.
        SpaceError: a key is no point of the space.
    """
    networks, predicted, truth = _pair_up(table, space, measured)
    found = fit_correction(
        [len(slot.choices) for slot in space.slots], predicted, networks, truth, has_pairs
    )
    log.info(
        "corrected by %d networks: error %.4g before, %.4g after; order agrees to %.2f before, "
        "%.2f after (networks left out in turn)",
        len(truth),
        found.error_before,
        found.error_after,
        order_agreement(predicted, truth),
        order_agreement(found.predicted, truth),
    )
    values = tuple(
        tuple(
            None if value is None else found.scale * value + delta
            for value, delta in zip(row, deltas, strict=True)
        )
        for row, deltas in zip(table.values, found.deltas, strict=True)
    )
    return replace(
        table,
        values=values,
        fixed=found.scale * table.fixed + found.offset,
        pairs=merge_pairs(table.pairs, found.scale, found.pairs),
    )


def agreement(table: QualityTable, space: Space, measured: Mapping[str, float]) -> float:
    """How far the table orders networks as they were measured; see `order_agreement`.

    Args:
        measured: by architecture key; values that are not finite are passed over.
    """
    _, predicted, truth = _pair_up(table, space, measured)
    return order_agreement(predicted, truth)


def order_agreement(predicted: Sequence[float], measured: Sequence[float]) -> float:
    """Spearman's correlation, -1 to 1; 1 for fewer than two networks, 0 where one side is constant.

    >>> order_agreement([1.0, 2.0, 3.0], [10.0, 30.0, 20.0])
    0.5
    """
    if len(predicted) < 2:
        return 1.0
    if len(set(predicted)) < 2 or len(set(measured)) < 2:
        return 0.0
    return float(spearmanr(predicted, measured).statistic)


def _pair_up(
    table: QualityTable, space: Space, measured: Mapping[str, float]
) -> tuple[list[tuple[int, ...]], list[float], list[float]]:
    """Choice indices, prediction and measurement of every network that has both."""
    if table.space != space.key:
        raise InputError(f"the quality table was made for {table.space!r}, not for {space.key!r}")
    networks, predicted, truth = [], [], []
    for key, value in measured.items():
        indices = space.indices(space.parse(key))
        guess = table.predict(indices)
        if guess is not None and math.isfinite(value):
            networks.append(indices)
            predicted.append(guess)
            truth.append(value)
    return networks, predicted, truth
