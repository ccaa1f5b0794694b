"""From profiled parts and unprofiled totals of the same networks to one latency for each work.

The profiler adds a cost to every node, and a part runs slower in a network whose weights crowd the
caches. Both are seen by comparing what the parts add up to with what the whole network takes
without the profiler. With t_w the mean profiled time of work w, over all its occurrences, the
model of a network's total is

    T = sum_w (1 + z_w) (t_w + a n_w + b m_w) + c                                          (1)

n_w the nodes of the work, m_w the bytes of its weights. First a (the profiler's overhead, not above
zero), b (what a byte of weights costs the rest of the network) and c (the constant cost of an
inference, not below zero) are fitted to all totals at z = 0, then z_w by ridge regression; both by
relative error and with Huber's weights, so that a network which was disturbed counts less.

An estimate's parts add up to its total: nothing is to be corrected, a = b = c = 0, and z_w tells
only in which networks a work is dearer than on average.

References:
    Huber, Robust estimation of a location parameter, 1964. Hoerl and Kennard, Ridge regression,
    1970.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import lsq_linear

from hot.devices.robust import robust_spread
from hot.lut.attribute import PartTime
from hot.records import HEAD, STEM, LutEntry

Array = NDArray[np.float64]

# On 102 networks of the mobilenetv2 space at 96x96 the error on networks left out is flat between
# 0.1 and 1.0 (relative corrections of the order of the error itself).
_RIDGE = 0.3
_HUBER = 0.03  # relative error beyond which a network counts less
_ROUNDS = 10
_LEAST_SHARE = 0.2  # of its profiled time; no correction may take more away


@dataclass(frozen=True)
class NetworkTime:
    """One network of the layout: its unprofiled total and its profiled parts."""

    total_ms: float
    parts: tuple[PartTime, ...]
    energy_mj: float | None = None


def calibrate(networks: Sequence[NetworkTime], weight_bytes: dict[str, int]) -> dict[str, LutEntry]:
    """The entry of every work that occurs in `networks`; eq. (1).

    The constant c counts to the head, or to the stem where no head is told apart. Energy, where the
    device tells it, is shared in proportion to latency.
    """
    samples: dict[str, list[PartTime]] = {}
    for network in networks:
        for part in network.parts:
            samples.setdefault(part.work_key, []).append(part)
    keys = list(samples)
    profiled = np.array([np.mean([p.latency_ms for p in samples[key]]) for key in keys])
    nodes = np.array([np.mean([p.n_nodes for p in samples[key]]) for key in keys])
    counts = _count_matrix(networks, keys)
    totals = np.array([network.total_ms for network in networks])
    constant = HEAD if HEAD in samples else STEM
    is_head = np.array([float(key == constant) for key in keys])
    weights = np.array([weight_bytes[key] for key in keys], dtype=float)
    values = profiled
    if not _add_up(networks):
        values = _fit_overheads(counts, totals, profiled, nodes, weights, is_head)
    values = _fit_corrections(counts, totals, values)
    power_w = _power(networks)
    return {
        key: LutEntry(
            float(values[i]),
            robust_spread([p.latency_ms for p in samples[key]]),
            len(samples[key]),
            None if power_w is None else float(values[i]) * power_w,
        )
        for i, key in enumerate(keys)
    }


def _add_up(networks: Sequence[NetworkTime]) -> bool:
    """Whether the parts of every network take, together, just what it takes."""
    return all(
        math.isclose(sum(part.latency_ms for part in network.parts), network.total_ms, rel_tol=1e-9)
        for network in networks
    )


def _count_matrix(networks: Sequence[NetworkTime], keys: list[str]) -> Array:
    column = {key: index for index, key in enumerate(keys)}
    counts = np.zeros((len(networks), len(keys)))
    for row, network in enumerate(networks):
        for part in network.parts:
            counts[row, column[part.work_key]] += 1
    return counts


def _fit_overheads(
    counts: Array, totals: Array, profiled: Array, nodes: Array, weights: Array, is_head: Array
) -> Array:
    """t_w + a n_w + b m_w, with c at the head."""
    features = [f / max(np.abs(f).max(), 1e-12) for f in (nodes, weights, is_head)]
    basis = np.stack(features, axis=1)
    design = counts @ basis / totals[:, None]
    residual = 1.0 - counts @ profiled / totals
    bounds = ((-np.inf, -np.inf, 0.0), (0.0, np.inf, np.inf))
    solution = _reweighted(design, residual, lambda d, r: lsq_linear(d, r, bounds).x)
    return np.maximum(profiled + basis @ solution, _LEAST_SHARE * profiled)


def _fit_corrections(counts: Array, totals: Array, values: Array) -> Array:
    """(1 + z_w) times the values."""
    design = counts * values / totals[:, None]
    residual = 1.0 - counts @ values / totals
    ridge = _RIDGE * np.eye(design.shape[1])
    correction = _reweighted(
        design, residual, lambda d, r: np.linalg.solve(d.T @ d + ridge, d.T @ r)
    )
    return values * np.maximum(1.0 + correction, _LEAST_SHARE)


def _reweighted(
    design: Array, residual: Array, solve: Callable[[Array, Array], NDArray[Any]]
) -> Array:
    """argmin_x of Huber's loss of (residual - design x), by rounds of weighted least squares."""
    trust: Array = np.ones(len(residual))
    solution: Array = np.zeros(design.shape[1])
    for _ in range(_ROUNDS):
        root = np.sqrt(trust)
        solution = np.asarray(solve(design * root[:, None], residual * root), dtype=float)
        error = np.abs(residual - design @ solution)
        trust = np.asarray(np.minimum(1.0, _HUBER / np.maximum(error, 1e-12)), dtype=float)
    return solution


def _power(networks: Sequence[NetworkTime]) -> float | None:
    """Energy over latency of all networks, in W (mJ over ms); None where a network tells none."""
    energies = [network.energy_mj for network in networks if network.energy_mj is not None]
    if len(energies) < len(networks):
        return None
    return sum(energies) / sum(network.total_ms for network in networks)
