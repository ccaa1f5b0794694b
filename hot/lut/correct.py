"""What an additive table misses, learned from whole networks that were measured.

A table predicts a network as the sum of its choices. Measured networks tell by how much that is
off; this explains the difference, in this order, by an offset, a scale of the table, an effect of
every choice, and one of every pair of choices at neighbouring slots, each as far as the networks
carry it: all are shrunk towards the table as it is, and how much follows from the evidence.

References:
    Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006: eq. (2.25) the mean,
    (2.30) the evidence, (5.12) leave-one-out.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hot.errors import LutError
from hot.lut.check import compare
from hot.records import CheckResult, LatencyTable, Lut, PairTerm
from hot.space import Space

LEAST_MEASURED = 4  # networks; fewer carry nothing but an offset
_OFFSET = 1e4  # prior variance of the offset over that of the noise: it is free
_VARIANCES = (0.0, 0.1, 1.0, 10.0, 100.0)  # of one kind of effect over the noise's
_LEAST_SCALE = 0.1  # a table is never turned round


@dataclass(frozen=True)
class Correction:
    """What to change in an additive table; `value' = scale * value + delta`.

    Attributes:
        offset: added to the fixed part, after it is scaled.
        deltas: one row a slot, one value a choice; 0 for choices that no network had.
        pairs: for pairs of choices at neighbouring slots that a network had.
        predicted: every network as the correction by all others predicts it (leave-one-out).
        error_before, error_after: root mean square of measured minus predicted, by the table as it
            is, and by the corrections that leave the network out.
    """

    scale: float
    offset: float
    deltas: tuple[tuple[float, ...], ...]
    pairs: tuple[PairTerm, ...]
    predicted: tuple[float, ...]
    error_before: float
    error_after: float


def fit_correction(
    n_choices: Sequence[int],
    predicted: Sequence[float],
    networks: Sequence[Sequence[int]],
    measured: Sequence[float],
    has_pairs: bool = True,
) -> Correction:
    """The correction that measured networks carry; none where it would not predict better.

    Args:
        n_choices: choices of every slot.
        predicted: by the table, one value a network.
        networks: choice indices, one row a network.
        measured: in the table's unit.
        has_pairs: whether neighbouring pairs may be corrected.

    Raises:
        ValueError: lengths differ, or a number is not finite.
    """
    p, y = np.asarray(predicted, float), np.asarray(measured, float)
    x = np.asarray(networks, int).reshape(len(y), len(n_choices))
    if p.shape != y.shape or not (np.isfinite(p).all() and np.isfinite(y).all()):
        raise ValueError("predicted and measured must be finite and of one length")
    residual = y - p
    before = float(np.sqrt(np.mean(residual**2))) if len(y) else 0.0
    nothing = Correction(
        1.0, 0.0, tuple((0.0,) * n for n in n_choices), (), tuple(p.tolist()), before, before
    )
    unit = float(np.std(residual)) if len(y) else 0.0
    if len(y) < LEAST_MEASURED or unit <= 1e-12 * max(1.0, float(np.abs(y).max())):
        return nothing
    kernels = _kernels(p, x, has_pairs)
    target = residual / unit
    variances = max(_candidates(has_pairs), key=lambda v: _evidence(target, _cover(kernels, v)))
    cover = _cover(kernels, variances)
    inverse = np.linalg.inv(cover)
    weights = inverse @ target  # eq. (2.25)
    left_out = unit * weights / np.diag(inverse)  # eq. (5.12): measured minus predicted
    after = float(np.sqrt(np.mean(left_out**2)))
    if after >= before:
        return nothing
    spread, n_slots = float(np.std(p)) or 1.0, x.shape[1]
    slope = unit * variances[0] * float(weights @ (p - p.mean())) / spread**2
    slope = max(slope, _LEAST_SCALE - 1.0)
    return Correction(
        scale=1.0 + slope,
        offset=unit * _OFFSET * float(weights.sum()) - slope * float(p.mean()),
        deltas=_main_effects(n_choices, x, unit * variances[1] / n_slots * weights),
        pairs=_pair_effects(x, unit * variances[2] / n_slots * weights),
        predicted=tuple((y - left_out).tolist()),
        error_before=before,
        error_after=after,
    )


def _kernels(p: np.ndarray, x: np.ndarray, has_pairs: bool) -> list[np.ndarray]:
    """Covariance of two networks by an offset, the scale, main effects and neighbouring pairs."""
    slope = (p - p.mean()) / (np.std(p) or 1.0)
    same = x[:, None, :] == x[None, :, :]
    pairs = (same[..., :-1] & same[..., 1:]).sum(-1) if has_pairs else np.zeros(same.shape[:2])
    n_slots = x.shape[1]
    return [
        np.ones((len(p), len(p))),
        np.outer(slope, slope),
        same.sum(-1) / n_slots,
        pairs / n_slots,
    ]


def _candidates(has_pairs: bool) -> Iterator[tuple[float, float, float]]:
    """Prior variances of scale, main effects and pairs over that of the noise."""
    pairs = _VARIANCES if has_pairs else (0.0,)
    return itertools.product(_VARIANCES, _VARIANCES, pairs)


def _cover(kernels: list[np.ndarray], variances: tuple[float, float, float]) -> np.ndarray:
    constant, slope, main, pairs = kernels
    total: np.ndarray = (
        _OFFSET * constant
        + variances[0] * slope
        + variances[1] * main
        + variances[2] * pairs
        + np.eye(len(constant))
    )
    return total


def _evidence(target: np.ndarray, cover: np.ndarray) -> float:
    """log p(measured | variances), eq. (2.30), at the noise that makes it largest."""
    factor = np.linalg.cholesky(cover)
    white = np.linalg.solve(factor, target)
    n = len(target)
    noise = max(float(white @ white) / n, 1e-12)
    return -0.5 * n * math.log(noise) - float(np.log(np.diag(factor)).sum())


def _main_effects(
    n_choices: Sequence[int], x: np.ndarray, weights: np.ndarray
) -> tuple[tuple[float, ...], ...]:
    return tuple(
        tuple(np.bincount(x[:, slot], weights=weights, minlength=n).tolist())
        for slot, n in enumerate(n_choices)
    )


def _pair_effects(x: np.ndarray, weights: np.ndarray) -> tuple[PairTerm, ...]:
    if not weights.any():
        return ()
    found: dict[tuple[int, int, int], float] = {}
    for row, weight in zip(x.tolist(), weights.tolist(), strict=True):
        for slot, (here, after) in enumerate(itertools.pairwise(row)):
            key = (slot, here, after)
            found[key] = found.get(key, 0.0) + weight
    return tuple(PairTerm(s, i, s + 1, j, value) for (s, i, j), value in sorted(found.items()))


def merge_pairs(
    old: Sequence[PairTerm], scale: float, new: Sequence[PairTerm]
) -> tuple[PairTerm, ...]:
    """Scaled earlier pair terms and new ones, one term a pair of choices."""
    found: dict[tuple[int, int, int, int], float] = {}
    for factor, terms in ((scale, old), (1.0, new)):
        for term in terms:
            key = (term.slot, term.choice, term.other_slot, term.other_choice)
            found[key] = found.get(key, 0.0) + factor * term.value
    return tuple(PairTerm(*key, value) for key, value in sorted(found.items()))


def correct_latency(table: LatencyTable, space: Space, check: CheckResult) -> LatencyTable:
    """The table corrected by the networks that a check of its LUT measured.

    Its `check` then holds what the corrections by all other networks predict of each. Energy stays
    as it is. No choice gets less than 0 ms.

    Raises:
        LutError: the table belongs to another space.
        SpaceError: a network of the check is no point of the space.
    """
    if table.space != space.key:
        raise LutError(f"the table was made for {table.space!r}, not for {space.key!r}")
    architectures = tuple(space.parse(key) for key in check.architectures)
    found = fit_correction(
        [len(slot.choices) for slot in space.slots],
        [table.predict_ms(space, architecture) for architecture in architectures],
        [space.indices(architecture) for architecture in architectures],
        check.measured_ms,
    )
    rows = tuple(
        tuple(
            max(0.0, found.scale * value + delta) for value, delta in zip(row, deltas, strict=True)
        )
        for row, deltas in zip(table.latency_ms, found.deltas, strict=True)
    )
    return replace(
        table,
        latency_ms=rows,
        fixed_ms=max(0.0, found.scale * table.fixed_ms + found.offset),
        pairs=merge_pairs(table.pairs, found.scale, found.pairs),
        check=compare(architectures, list(found.predicted), check.measured_ms, check.seed),
    )


def correct_lut(lut: Lut, space: Space) -> Lut:
    """The LUT with its table corrected by its own check; see `correct_latency`.

    Raises:
        LutError: it was never checked, or belongs to another space.
    """
    if lut.check is None:
        raise LutError(
            f"the LUT of {lut.space} was never checked, so nothing corrects it; run hot check-lut"
        )
    table = correct_latency(replace(lut, corrected=None).table(space), space, lut.check)
    return replace(lut, corrected=table, check=table.check)
