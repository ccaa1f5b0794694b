"""Whole networks of distilled blocks, measured without training."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from hot.errors import InputError
from hot.nn import fold_norms, seeded
from hot.progress import progress
from hot.quality.contract import Evidence
from hot.quality.lesson import Lesson, prepare
from hot.quality.parallel import in_processes
from hot.quality.plug import run
from hot.quality.settings import cores, find_processes
from hot.quality.teach import calibrating
from hot.records import load_record, save_record
from hot.space import Architecture, Space
from hot.training.precision import autocast

N_CALIBRATION, CALIBRATION_BATCH = 8, 128  # batches and images of them, for batch-norm statistics
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Network:
    """One measured network, as it is kept for a resumed run.

    Attributes:
        weights: digest of the weights that it was measured with.
        scores: by name of `MEASURES`; empty where it failed, for the `reason`.
    """

    architecture: str
    weights: str
    scores: dict[str, float] = field(hash=False)
    reason: str = ""


@dataclass(frozen=True)
class _Networks:
    """The measured networks of one set of numbers."""

    rows: tuple[_Network, ...] = ()


def measure_plugged(
    space: Space, architectures: Sequence[Architecture], evidence: Evidence
) -> list[float]:
    """What whole architectures with distilled weights reach, without training.

    Batch normalisation takes its statistics anew from training images, because every block sees
    what the blocks before it give. In the unit of the table by `distill`: the original network has
    the table's `fixed`. What was measured stays in the folder of the evidence, and is not measured
    again.

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
    with cores(1):
        lesson = prepare(space, evidence)
        known = _measure_missing(lesson, architectures, evidence)
    return [_value(known[one.key], lesson, one) for one in architectures]


def _measure_missing(
    lesson: Lesson, architectures: Sequence[Architecture], evidence: Evidence
) -> dict[str, _Network]:
    """The rows of all architectures, kept ones and new ones."""
    folder = evidence.folder
    file = None if folder is None else lesson.folder(folder) / "whole-networks.json"
    digests = {one.key: lesson.library.digest_of(one) for one in architectures}
    known = {row.architecture: row for row in _load(file)}
    missing = {
        one.key: one
        for one in architectures
        if one.key not in known or known[one.key].weights != digests[one.key]
    }

    def work(one: Architecture) -> _Network:
        return _measure(lesson, one, digests[one.key])

    with progress("measuring networks", len(missing)) as advance:
        for row in in_processes(work, list(missing.values()), find_processes(evidence)):
            known[row.architecture] = row
            if file is not None:
                save_record(file, _Networks(tuple(known.values())))
            advance()
    return known


def _load(file: Path | None) -> tuple[_Network, ...]:
    if file is None or not file.is_file():
        return ()
    try:
        return load_record(file, _Networks).rows
    except InputError as error:
        log.warning("%s; the networks are measured again", error)
        return ()


def _value(row: _Network, lesson: Lesson, architecture: Architecture) -> float:
    if row.reason:
        log.warning("the network %s cannot be measured: %s", architecture.short, row.reason)
        return math.nan
    return row.scores[lesson.settings.measure]


def images_per_network(evidence: Evidence) -> int:
    """What `measure_plugged` costs a network, in images of a training; see `QualityTable`."""
    return round((N_CALIBRATION * CALIBRATION_BATCH + evidence.distill.n_measure) / 3)


def network_distill(space: Space, architecture: Architecture, evidence: Evidence) -> float:
    """The measure of one whole network, plugged together of distilled blocks."""
    (value,) = measure_plugged(space, [architecture], evidence)
    return value


def _measure(lesson: Lesson, architecture: Architecture, weights: str) -> _Network:
    try:
        network = _assemble(lesson, architecture)
        scores = lesson.scores(run(network, lesson.held_out, lesson.precision))
    except Exception as error:  # a choice may come from anywhere; the other networks go on
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return _Network(architecture.key, weights, {}, reason)
    if not all(math.isfinite(value) for value in scores.values()):
        return _Network(architecture.key, weights, {}, f"its scores are not finite: {scores}")
    return _Network(architecture.key, weights, scores)


def _assemble(lesson: Lesson, architecture: Architecture) -> nn.Module:
    with seeded(lesson.seed):  # parts without weights in the library are drawn
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
