"""Quality tables corrected by networks of which all choices were plugged in and measured."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import nn

from hot.errors import InputError
from hot.lut.correct import fit_correction, merge_pairs
from hot.nn import fold_norms
from hot.progress import progress
from hot.quality.contract import Evidence
from hot.quality.lesson import Lesson, prepare
from hot.quality.parallel import in_processes
from hot.quality.plug import run
from hot.quality.settings import cores, find_processes
from hot.quality.teach import calibrating
from hot.records import QualityTable
from hot.space import Architecture, Space
from hot.training.precision import autocast

N_CALIBRATION, CALIBRATION_BATCH = 8, 128  # batches and images of them, for batch-norm statistics
log = logging.getLogger(__name__)


def measure_plugged(
    space: Space, architectures: Sequence[Architecture], evidence: Evidence
) -> list[float]:
    """What whole architectures with distilled weights reach, without training.

    Batch normalisation takes its statistics anew from training images, because every block sees
    what the blocks before it give. In the unit of the table by `distill`: the original network has
    the table's `fixed`.

    Returns:
        The settings' measure of every architecture; NaN where it is not finite or the network
        cannot run, which the log explains and a correction passes over.

    Raises:
        InputError: the evidence has no data or no library, or the library no original network.
    """
    if evidence.data is None or evidence.library is None:
        raise InputError(
            "networks are measured with images and a library: give Evidence(data=..., library=...)"
        )
    found = [math.nan] * len(architectures)
    with cores(1), progress("measuring networks", len(architectures)) as advance:
        lesson = prepare(space, evidence)

        def work(index: int) -> tuple[int, float]:
            return index, _measure(lesson, architectures[index])

        numbers = range(len(architectures))
        for index, value in in_processes(work, numbers, find_processes(evidence)):
            found[index] = value
            advance()
    return found


def images_per_network(evidence: Evidence) -> int:
    """What `measure_plugged` costs a network, in images of a training; see `QualityTable`."""
    return round((N_CALIBRATION * CALIBRATION_BATCH + evidence.distill.n_measure) / 3)


def network_distill(space: Space, architecture: Architecture, evidence: Evidence) -> float:
    """The measure of one whole network, plugged together of distilled blocks."""
    (value,) = measure_plugged(space, [architecture], evidence)
    return value


def _measure(lesson: Lesson, architecture: Architecture) -> float:
    wanted = lesson.settings.measure
    try:
        network = _assemble(lesson, architecture)
        value = lesson.scores(run(network, lesson.held_out, lesson.precision))[wanted]
    except Exception as error:  # a choice may come from anywhere; the other networks go on
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        log.warning("the network %s cannot be measured: %s", architecture.short, reason)
        return math.nan
    if not math.isfinite(value):
        log.warning("the network %s is left out: its %s is %s", architecture.short, wanted, value)
        return math.nan
    return value


def _assemble(lesson: Lesson, architecture: Architecture) -> nn.Module:
    with torch.random.fork_rng(devices=[]):  # parts without weights in the library are drawn
        torch.manual_seed(lesson.seed)
        network: Any = lesson.library.assemble(architecture)
    network = network.to(lesson.train.device, memory_format=torch.channels_last)
    if architecture == lesson.space.original:  # its statistics are those it was trained with
        return fold_norms(network.eval())
    n = min(N_CALIBRATION * CALIBRATION_BATCH, len(lesson.train))
    with (
        calibrating(network),
        torch.inference_mode(),
        autocast(lesson.precision, lesson.train.device),
    ):
        for start in range(0, n, CALIBRATION_BATCH):
            network(lesson.train.batch(np.arange(start, min(start + CALIBRATION_BATCH, n))))
    return fold_norms(network)


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
