"""Every non-dominated point of a program along one limit, by dynamic programming over the slots.

A label is a choice for each of the first slots. Of labels that agree where later slots look back
(pair terms), one that costs no less in the swept sum and in every other limit and gains no more
than another is dominated and dropped. A label is dropped, too, when no completion can improve the
front known so far: the Lagrangian bound of `core.py` at multipliers m bounds every completion,

    gain + best of the rest at m + m . (room - load),

and a label lives while it may answer a question (b, g): "is there a solution within budget b that
gains at least g?" With every question asked at the multipliers that bound it best, all those of
one m come down to one number that the label must reach. Two passes that keep a limited number of
labels find a good front first; the last pass keeps all, and proves it.

References:
    H. Weingartner, D. Ness, Methods for the solution of the multidimensional 0/1 knapsack problem,
    1967 (bounds in dynamic programming); J. Figueira et al., Algorithmic improvements on dynamic
    programming for the bi-objective {0,1} knapsack problem, 2013.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hot.autosearch.core import relax, rounding
from hot.autosearch.reduce import BoolArray, FloatArray, IntArray, Reduced, sum_taken

# Multipliers along the swept budgets, and labels that the passes before the last one keep.
_N_ANCHORS = 48
_BEAMS = (1_000, 10_000)
# How many neighbours in each order a label is compared with where there are other limits.
_NEIGHBOURS = 24

# Load of the swept limit, gain, classes.
Point = tuple[int, int, tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class _Labels:
    """Partial solutions: classes (n, s), gain (n,), load (n, R), slack (n, A) to every anchor."""

    path: NDArray[np.int16]
    gain: FloatArray
    load: FloatArray
    slack: FloatArray

    def __len__(self) -> int:
        return len(self.gain)

    def take(self, index: NDArray[np.generic]) -> "_Labels":
        return _Labels(self.path[index], self.gain[index], self.load[index], self.slack[index])


@dataclass(frozen=True, eq=False)
class Swept:
    """A front over the first limit of a program.

    Attributes:
        points: by load.
        is_thinned: only the points that are best within the coarse budgets are there.
        is_proven: every point is best within its budget, and none is missing.
    """

    points: list[Point]
    is_thinned: bool
    is_proven: bool


def sweep(
    reduced: Reduced,
    lowest: int,
    budgets: Sequence[int] | None,
    coarse: Sequence[int] = (),
    deadline: float | None = None,
) -> Swept:
    """The best solution within every budget from `lowest` to the room of the first limit.

    Of solutions of one gain it is one of the least load.

    Args:
        lowest: a room of the first limit; -1 for the least there is.
        budgets: ask for these alone.
        coarse: ask for these alone as soon as the front is known to have more points than these.
        deadline: `time.monotonic()` at which to stop with the front known by then.
    """
    if not reduced.is_feasible:
        return Swept([], False, True)
    table, highest, is_thinned = _Table(reduced, lowest), int(reduced.room[0]), False
    front = table.first_points()
    for beam in (*_BEAMS, None):
        found = table.run(_ask(front, lowest, highest, budgets), beam, deadline)
        if found is not None:
            front = _merge(front, found[0])
        answers = _answers(front, lowest, budgets)
        if budgets is None and coarse and len(answers) > len(coarse):
            # A whole front stays proven when it is thinned; a beam's is asked for anew.
            budgets, is_thinned = coarse, True
            answers = _answers(front, lowest, budgets)
        if found is None or found[1]:
            break
    return Swept(answers, is_thinned, found is not None)


def _merge(front: list[Point], labels: _Labels) -> list[Point]:
    """The non-dominated of both, by load."""
    rows = zip(labels.load[:, 0].tolist(), labels.gain.tolist(), labels.path.tolist(), strict=True)
    found = [(int(load), int(gain), tuple(path)) for load, gain, path in rows]
    kept: list[Point] = []
    for point in sorted([*front, *found], key=lambda p: (p[0], -p[1], p[2])):
        if not kept or point[1] > kept[-1][1]:
            kept.append(point)
    return kept


def _best_within(front: list[Point], budget: int) -> Point | None:
    inside = [point for point in front if point[0] <= budget]
    return inside[-1] if inside else None


def _answers(front: list[Point], lowest: int, budgets: Sequence[int] | None) -> list[Point]:
    """The points that are best within some budget that was asked for."""
    if budgets is not None:
        best = [_best_within(front, budget) for budget in budgets]
        return sorted({point for point in best if point is not None})
    first = _best_within(front, lowest)
    return [point for point in front if point[0] > lowest or point == first]


def _ask(
    front: list[Point],
    lowest: int,
    highest: int,
    budgets: Sequence[int] | None,
) -> list[tuple[int, int]]:
    """(budget, gain): whatever improves the front answers one of these."""
    asked = []
    for budget in [lowest] if budgets is None else budgets:
        best = _best_within(front, budget)
        asked.append((budget, 0 if best is None else best[1] + 1))
        if best is not None:  # the same gain for less
            asked.append((best[0] - 1, best[1]))
    if budgets is None:
        gain = 0
        for load, after, _ in front:
            if load > lowest:
                asked.append((load - 1, gain))
            gain = after + 1
        asked.append((highest, gain))
    return [(budget, gain) for budget, gain in asked if budget >= 0]


class _Table:
    """The bounds of every anchor by slot and class, and the passes over the slots."""

    def __init__(self, reduced: Reduced, lowest: int) -> None:
        self.reduced = reduced
        self.n_slots, self.width = reduced.gain.shape
        least = reduced.load.copy()
        least[:, ~reduced.is_open] = np.inf
        self.least = np.cumsum(least.min(axis=2)[:, ::-1], axis=1)[:, ::-1]  # (R, S) of slots >= s
        most = np.where(reduced.is_open, reduced.load, 0.0).max(axis=2)
        self.most = np.cumsum(most[:, ::-1], axis=1)[:, ::-1] + reduced.link_load.max(
            axis=(2, 3), initial=0
        ).sum(axis=1, keepdims=True)
        start = max(lowest, float(self.least[0, 0]))
        budgets = np.unique(np.linspace(start, reduced.room[0], _N_ANCHORS).round())
        anchors = [
            relax(replace(reduced, room=np.array([budget, *reduced.room[1:]]))).multipliers
            for budget in budgets
        ]
        self.anchors = np.unique(np.array(anchors), axis=0)
        self.noise = np.array([2 * rounding(reduced, m) for m in self.anchors])
        links = {tuple(link): e for e, link in enumerate(reduced.links.tolist())}
        self.steps = {other: e for (one, other), e in links.items() if other == one + 1}
        self.jumps = [(e, one, other) for (one, other), e in links.items() if other > one + 1]
        self._bound()

    def _bound(self) -> None:
        """Priced values (A, S, W), priced links (A, E, W, W), and the best of the rest."""
        reduced = self.reduced
        value = reduced.gain - np.tensordot(self.anchors, reduced.load, axes=1)
        value[:, ~reduced.is_open] = -np.inf
        self.link = reduced.link_gain - np.tensordot(self.anchors, reduced.link_load, axes=1)
        # A jumping link is charged to its first slot at the most it can add there.
        self.most_of_jump = {}
        for e, one, other in self.jumps:
            reach = np.where(reduced.is_open[other], self.link[:, e], -np.inf).max(axis=2)
            self.most_of_jump[e] = reach
            value[:, one] += reach
        rest = np.zeros_like(value)
        for s in range(self.n_slots - 2, -1, -1):
            rest[:, s] = self._onward(value, rest, s + 1).max(axis=2)
        self.value, self.rest = value, rest
        self.top = (value[:, 0] + rest[:, 0]).max(axis=1)

    def _onward(self, value: FloatArray, rest: FloatArray, slot: int) -> FloatArray:
        """(A, W or 1, W) the best from `slot` on by the class before and the class there."""
        here = (value[:, slot] + rest[:, slot])[:, None, :]
        return here + self.link[:, self.steps[slot]] if slot in self.steps else here

    def first_points(self) -> list[Point]:
        """The solutions at the anchors' multipliers that are within the limits, as a front."""
        taken = np.empty((len(self.anchors), self.n_slots), dtype=np.int64)
        rows = np.arange(len(taken))
        taken[:, 0] = (self.value[:, 0] + self.rest[:, 0]).argmax(axis=1)
        for s in range(1, self.n_slots):
            onward = self._onward(self.value, self.rest, s)
            before = taken[:, s - 1] if onward.shape[1] > 1 else np.zeros_like(rows)
            taken[:, s] = onward[rows, before].argmax(axis=1)
        labels = _Labels(
            taken.astype(np.int16),
            sum_taken(self.reduced.gain, self.reduced.links, self.reduced.link_gain, taken),
            self._loads(taken),
            np.zeros((len(taken), 0)),
        )
        return _merge([], labels.take(self._fits(labels.load)))

    def _loads(self, taken: IntArray) -> FloatArray:
        reduced = self.reduced
        loads = zip(reduced.load, reduced.link_load, strict=True)
        return np.array([sum_taken(a, reduced.links, b, taken) for a, b in loads]).T

    def _fits(self, load: FloatArray) -> BoolArray:
        return np.asarray((load <= self.reduced.room).all(axis=1))

    def _root_slack(self, asked: Sequence[tuple[int, int]]) -> FloatArray:
        """(A,) what may be lost from each anchor's bound before none of its questions is met."""
        budget, gain = (np.array(x, dtype=np.float64) for x in zip(*asked, strict=True))
        others = self.anchors[:, 1:] @ self.reduced.room[1:]
        spare = (
            self.top + others + self.noise - gain[:, None] + np.outer(budget, self.anchors[:, 0])
        )
        slack = np.full(len(self.anchors), -np.inf)
        np.maximum.at(slack, spare.argmin(axis=1), spare.min(axis=1))
        return slack

    def run(
        self, asked: Sequence[tuple[int, int]], beam: int | None, deadline: float | None
    ) -> tuple[_Labels, bool] | None:
        """The whole solutions that answer a question; if none was dropped for the beam's sake.

        None when the deadline has passed.
        """
        if not asked:
            return _no_labels(self.n_slots, len(self.reduced.room)), True
        slack = self._root_slack(asked)
        hopeful = np.flatnonzero(slack >= 0)
        labels = _Labels(
            np.zeros((1, 0), dtype=np.int16),
            np.zeros(1),
            np.zeros((1, len(self.reduced.room))),
            slack[None, hopeful],
        )
        is_whole = True
        for slot in range(self.n_slots):
            if deadline is not None and time.monotonic() >= deadline:
                return None
            labels = self._extend(labels, slot, hopeful)
            labels = labels.take(self._undominated(labels, slot))
            if beam is not None and len(labels) > beam:
                labels, is_whole = labels.take(_best_each(labels.slack, beam)), False
        return labels, is_whole

    def _extend(self, labels: _Labels, slot: int, hopeful: IntArray) -> _Labels:
        """Every label with every class that may still answer a question and fit."""
        reduced, before = self.reduced, labels.path[:, -1] if slot else None
        loss = self._losses(slot)[hopeful]
        by_class = before is not None and loss.shape[1] > 1
        alive = np.zeros((len(labels), self.width), dtype=np.bool_)
        for a in range(len(hopeful)):
            able = np.flatnonzero(labels.slack[:, a] >= 0)
            lost = loss[a][before[able]] if by_class and before is not None else loss[a]
            alive[able] |= lost <= labels.slack[able, a][:, None]
        least = self.least[:, slot + 1] if slot + 1 < self.n_slots else np.zeros(len(reduced.room))
        for r, room in enumerate(reduced.room):
            alive &= labels.load[:, r, None] + reduced.load[r, slot] + least[r] <= room
        parent, taken = np.nonzero(alive)
        path, gain, load = labels.path[parent], labels.gain[parent], labels.load[parent]
        lost = loss[:, path[:, -1], taken] if by_class else loss[:, 0, taken]
        slack = labels.slack[parent] - lost.T
        gain = gain + reduced.gain[slot, taken]
        load = load + reduced.load[:, slot, taken].T
        for e, (one, other) in enumerate(reduced.links.tolist()):
            if other == slot:
                places = (path[:, one], taken)
                gain = gain + reduced.link_gain[e][places]
                load = load + reduced.link_load[:, e][:, *places].T
                if e in self.most_of_jump:
                    most, link = self.most_of_jump[e][hopeful], self.link[hopeful, e]
                    slack = slack - (most[:, path[:, one]] - link[:, *places]).T
        made = _Labels(
            np.concatenate([path, taken[:, None].astype(np.int16)], axis=1), gain, load, slack
        )
        lives = (slack >= 0).any(axis=1) & (load + least <= reduced.room).all(axis=1)
        return made.take(np.asarray(lives))

    def _losses(self, slot: int) -> FloatArray:
        """(A, W or 1, W) what the bound falls by, by the class before and the class taken."""
        if slot == 0:
            here = (self.value[:, 0] + self.rest[:, 0])[:, None, :]
            return self.top[:, None, None] - here
        onward = self._onward(self.value, self.rest, slot)
        return np.asarray(onward.max(axis=2, keepdims=True) - onward)

    def _undominated(self, labels: _Labels, slot: int) -> IntArray:
        """Places, ascending, of labels that no other makes needless."""
        links = self.reduced.links.tolist()
        looked_at = sorted({one for one, other in links if one <= slot < other})
        key = np.zeros(len(labels), dtype=np.int64)
        for s in looked_at:
            key = np.unique(key * self.width + labels.path[:, s], return_inverse=True)[1]
        others = labels.load[:, 1:]
        if slot + 1 < self.n_slots:  # a load that can no longer reach its limit is as good as none
            free = self.reduced.room[1:] - self.most[1:, slot + 1]
            others = np.maximum(others, free)
        else:
            others = np.zeros_like(others)
        if not others.shape[1] or (others == others[:1]).all():
            return _undominated_plain(key, labels.load[:, 0], labels.gain)
        return _undominated_near(key, labels.load[:, 0], labels.gain, others)


def _no_labels(n_slots: int, n_limits: int) -> _Labels:
    empty = np.zeros((0, n_slots), dtype=np.int16)
    return _Labels(empty, np.zeros(0), np.zeros((0, n_limits)), np.zeros((0, 0)))


def _best_each(slack: FloatArray, beam: int) -> IntArray:
    """Places, ascending, of the labels with most slack at each anchor, about `beam` of them."""
    share = max(beam // slack.shape[1], 1)
    if share >= len(slack):
        return np.arange(len(slack))
    best = np.argpartition(-slack, share, axis=0)[:share]
    return np.unique(best)


def _undominated_plain(key: IntArray, load: FloatArray, gain: FloatArray) -> IntArray:
    """Of labels of one key, those that gain more than all that load no more."""
    order = np.lexsort((-gain, load, key))
    # Ranks of gains, one range a key: the running maximum starts anew at every key.
    rank = np.unique(gain, return_inverse=True)[1][order] + key[order] * (len(key) + 1)
    before = np.concatenate([[-1], np.maximum.accumulate(rank)[:-1]])
    starts = np.concatenate([[True], np.diff(key[order]) > 0])
    return np.asarray(np.sort(order[starts | (rank > before)]))


def _undominated_near(
    key: IntArray, load: FloatArray, gain: FloatArray, others: FloatArray
) -> IntArray:
    """Labels that no near one in any order dominates: dropping too few only costs time."""
    numbers = np.column_stack([load, -gain, others])
    is_kept = np.ones(len(key), dtype=np.bool_)
    for first in range(numbers.shape[1]):
        rest = [numbers[:, c] for c in range(numbers.shape[1]) if c != first]
        order = np.lexsort((*rest, numbers[:, first], key))
        order = order[is_kept[order]]
        ordered, keys = numbers[order], key[order]
        beaten = np.zeros(len(order), dtype=np.bool_)
        for d in range(1, min(_NEIGHBOURS, len(order) - 1) + 1):
            is_worse = (ordered[:-d] <= ordered[d:]).all(axis=1) & (keys[:-d] == keys[d:])
            beaten[d:] |= is_worse
        is_kept[order[beaten]] = False
    return np.flatnonzero(is_kept)
