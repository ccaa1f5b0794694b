"""The core of a program: what a bound leaves open once a target value is set.

For multipliers m >= 0 the Lagrangian bound

    L(m) = sum_s max_j r[s][j] + m . room,    r[s][j] = gain[s][j] - m . load[s][j]

is no less than the gain of any solution, and L(m) - (max_j r[s] - r[s][j]) no less than that of any
solution with choice j at slot s. So a choice whose loss exceeds L(m) - t is in no solution of gain
t or more: with t the k-th best gain, in none of the k best. The best m are the multipliers of the
linear relaxation, whose reduced costs the losses then are. (Dropping dominated choices instead is
wrong from the second best on: the second best may well take a dominated choice.)

With pair terms, max_j r is the best total of `chain.py` and the losses are those of its
max-marginals. The multipliers then come of cutting planes: each bound met is a plane under L.

References:
    M. Fisher, The Lagrangian relaxation method for solving integer programming problems, 1981.
    J. Kelley, The cutting-plane method for solving convex programs, 1960.
    D. Pisinger, A minimal algorithm for the multiple-choice knapsack problem, 1995 (cores).
"""

import math
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse
from scipy.optimize import linprog

from hot.autosearch.chain import max_marginals
from hot.autosearch.reduce import BoolArray, FloatArray, IntArray, Reduced, sum_taken

# Price of exceeding a limit by one standard deviation of its loads, in standard deviations of the
# gain: far above any real multiplier, so that the relaxation of an infeasible program exists too.
_ELASTIC_PRICE = 1e5
# Chosen by trials on 46 x 197 with 2 to 4 limits, independent and strongly correlated.
_CORE_PER_SLOT = 4.0
_WIDEN = 4.0
# Cutting planes end at this share of a typical difference of gains, or after so many.
_PLANES_GAP = 1e-3
_MAX_PLANES = 80


@dataclass(frozen=True, eq=False)
class Relaxation:
    """The Lagrangian bound at the linear relaxation's multipliers.

    Attributes:
        multipliers: (R,) gain per unit of load.
        bound: no solution gains more.
        loss: (S, W) what the bound falls by when the choice is taken; inf at the padding.
    """

    multipliers: FloatArray
    bound: float
    loss: FloatArray


@dataclass(frozen=True, eq=False)
class Core:
    """The choices that may be in a solution of at least some gain, as (S, w) of least w.

    Attributes:
        column: (S, w) the class of the reduced program at every place.
        unit: (R,) a typical difference of loads, to divide limits by for the float bounds.
        link_gain, link_load: (E, w, w) and (R, E, w, w) of the program's links.
    """

    gain: FloatArray
    load: FloatArray
    room: FloatArray
    is_open: BoolArray
    column: IntArray
    unit: FloatArray
    link_gain: FloatArray
    link_load: FloatArray

    @property
    def n_choices(self) -> int:
        """Number of 0-1 variables left."""
        return int(self.is_open.sum())


def relax(reduced: Reduced) -> Relaxation:
    """The linear relaxation's bound and reduced costs.

    The multipliers come from a float solver, the bound is computed from them: an inexact solve
    makes the bound weaker, never wrong.
    """
    multipliers = _multipliers(reduced) if len(reduced.room) else np.zeros(0)
    if len(reduced.links) and len(reduced.room):
        multipliers = _cut_planes(reduced, multipliers)
    marginal, _ = price(reduced, multipliers)
    top = float(marginal.max(axis=1).min())
    bound = top + float(multipliers @ reduced.room) + rounding(reduced, multipliers)
    return Relaxation(multipliers, bound, top - marginal)


def price(reduced: Reduced, multipliers: FloatArray) -> tuple[FloatArray, IntArray]:
    """(S, W) the best priced total through every class, and (S,) classes of the best."""
    priced = reduced.gain - np.tensordot(multipliers, reduced.load, axes=1)
    priced[~reduced.is_open] = -np.inf
    if not len(reduced.links):
        top = priced.max(axis=1, keepdims=True)
        return top.sum() - (top - priced), priced.argmax(axis=1)
    links = reduced.link_gain - np.tensordot(multipliers, reduced.link_load, axes=1)
    marginal, taken = max_marginals(priced[None], reduced.links, links[None])
    return marginal[0], taken[0]


def _cut_planes(reduced: Reduced, start: FloatArray) -> FloatArray:
    """The multipliers of the least bound, to a thousandth of the gap that the first one left."""
    units, room = load_units(reduced), reduced.room
    gain_unit = max(float(reduced.gain[reduced.is_open].std()), 1.0)
    dearest = np.full(len(room), _ELASTIC_PRICE)
    multipliers, best, least = start, start, np.inf
    slopes, heights = [], []
    for _ in range(_MAX_PLANES):
        marginal, taken = price(reduced, multipliers)
        top = float(marginal.max(axis=1).min())
        bound = top + float(multipliers @ room)
        if bound < least:
            best, least = multipliers, bound
        used = np.array(
            [
                sum_taken(load, reduced.links, link, taken)
                for load, link in zip(reduced.load, reduced.link_load, strict=True)
            ]
        )
        # L(m) >= top at these multipliers + (m - these) . (room - used)
        slope = (room - used) / units
        slopes.append([*slope, -1.0])
        heights.append((multipliers @ (room - used) - bound) / gain_unit)
        master = linprog(
            [*np.zeros(len(room)), 1.0],
            A_ub=np.array(slopes),
            b_ub=np.array(heights),
            bounds=[*((0, most) for most in dearest), (0, None)],
        )
        if master.x is None or least - master.x[-1] * gain_unit <= _PLANES_GAP * gain_unit:
            break
        multipliers = master.x[:-1] * gain_unit / units
    return np.asarray(best)


def rounding(reduced: Reduced, multipliers: FloatArray) -> float:
    """More than the float error of a bound at these multipliers."""
    terms = reduced.most_gain + multipliers @ (reduced.most_load + reduced.room)
    n_terms = reduced.n_slots + 2 * len(reduced.links) + len(reduced.room) + 8
    return float(np.finfo(float).eps * n_terms * terms)


def load_units(reduced: Reduced) -> FloatArray:
    """(R,) a typical difference of loads within a slot, for scaling; never zero."""
    if not len(reduced.room):
        return np.ones(0)
    spread = np.array([load[reduced.is_open].std() for load in reduced.load])
    return np.where(spread > 0, spread, 1.0)


def _multipliers(reduced: Reduced) -> FloatArray:
    slots, columns = np.nonzero(reduced.is_open)
    n, n_limits = len(slots), len(reduced.room)
    gain_unit = reduced.gain[slots, columns].std() or 1.0
    units = load_units(reduced)
    costs = np.concatenate(
        [-reduced.gain[slots, columns] / gain_unit, np.full(n_limits, _ELASTIC_PRICE)]
    )
    limits = sparse.hstack(
        [
            sparse.csr_array(reduced.load[:, slots, columns] / units[:, None]),
            -sparse.eye_array(n_limits),
        ],
        format="csr",
    )
    ones = sparse.csr_array(
        (np.ones(n), (slots, np.arange(n))), shape=(reduced.n_slots, n + n_limits)
    )
    result = linprog(
        costs,
        A_ub=limits,
        b_ub=reduced.room / units,
        A_eq=ones,
        b_eq=np.ones(reduced.n_slots),
        method="highs-ds",
    )
    if result.ineqlin is None or result.ineqlin.marginals is None:
        return np.zeros(n_limits)
    found = np.nan_to_num(-np.asarray(result.ineqlin.marginals), nan=0.0)
    return np.asarray(np.maximum(found, 0.0) * gain_unit / units)


def cut_core(reduced: Reduced, relaxation: Relaxation, target: float) -> Core:
    """The choices that may be in a solution whose gain is at least `target`."""
    slack = relaxation.bound - target + rounding(reduced, relaxation.multipliers)
    is_kept = reduced.is_open & (relaxation.loss <= slack)
    width = max(int(is_kept.sum(axis=1).max()), 1)
    column = np.argsort(~is_kept, axis=1, kind="stable")[:, :width]
    units = load_units(reduced)
    return Core(
        np.take_along_axis(reduced.gain, column, axis=1),
        np.take_along_axis(reduced.load, column[None], axis=2),
        reduced.room,
        np.take_along_axis(is_kept, column, axis=1),
        column,
        units,
        _cut_links(reduced.link_gain, reduced.links, column),
        np.array([_cut_links(link, reduced.links, column) for link in reduced.link_load]).reshape(
            len(reduced.room), len(reduced.links), width, width
        ),
    )


def _cut_links(matrices: FloatArray, links: IntArray, column: IntArray) -> FloatArray:
    """(E, w, w) the links of the classes left."""
    one, other = column[links[:, 0]], column[links[:, 1]]
    rows = np.take_along_axis(matrices, one[:, :, None], axis=1)
    return np.take_along_axis(rows, other[:, None, :], axis=2)


def first_target(relaxation: Relaxation) -> int:
    """A target, from zero up, that leaves a core of a few choices a slot."""
    losses = np.sort(relaxation.loss[np.isfinite(relaxation.loss)])
    place = min(int(_CORE_PER_SLOT * relaxation.loss.shape[0]), losses.size - 1)
    return max(math.ceil(relaxation.bound - max(float(losses[place]), 1.0)), 0)


def lower_target(relaxation: Relaxation, target: int, known: int) -> int:
    """The target after one that was too high; never below a gain that is `known` to be reached."""
    return max(math.floor(relaxation.bound - _WIDEN * (relaxation.bound - target)), known)
