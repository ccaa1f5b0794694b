"""The in-process exact search: branch and bound over the core, many nodes at a time.

A node is a set of open choices for every slot. Its bound is the Lagrangian bound of `core.py`,
sharpened by a few Polyak steps on the multipliers, which start from those of its parent and aim
below the target: the aim is to close the node, not to know its bound. What survives loses the
choices that cannot reach the target or cannot fit, and is split over the choices of one slot. All
of it is done on arrays of some hundred nodes, so that the interpreter costs little. Pair terms
enter the bound of every node by `chain.py`.

The target starts just below the relaxation's bound, where the core is small. A search that ends
with k solutions at or above its target has proven them; one that ends with fewer lowers the target
and starts again. So no heuristic has to guess a good solution first.

References:
    B. T. Polyak, Minimization of unsmooth functionals, 1969 (step to a target value).
"""

import bisect
import itertools
import math
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hot.autosearch.answer import Found
from hot.autosearch.chain import max_marginals
from hot.autosearch.core import Core, Relaxation, cut_core, first_target, lower_target, relax
from hot.autosearch.reduce import BoolArray, FloatArray, IntArray, Reduced, sum_taken

# Chosen by trials on 46 x 197 with 2 to 4 limits, independent and strongly correlated.
_BATCH = 256
_LINK_CELLS = 2_000_000  # places of links in a batch: 16 MB an array
_STEPS = 8
_NEAR = 0.5
_THIN_OUT = frozenset({1, 2, 4})
# Float error of a sum of n terms, relative to the sum of their sizes: n * eps, with a margin of 4.
_NOISE = 4 * float(np.finfo(float).eps)


@dataclass
class Ranking:
    """The k best solutions met so far: (gain, classes), best first, ties by classes."""

    k: int
    _keys: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)

    def offer(self, gain: int, classes: tuple[int, ...]) -> None:
        """Take a solution in, unless it is known or too poor."""
        key = (-gain, classes)
        place = bisect.bisect_left(self._keys, key)
        if place < self.k and (place == len(self._keys) or self._keys[place] != key):
            self._keys.insert(place, key)
            del self._keys[self.k :]

    @property
    def solutions(self) -> list[tuple[int, tuple[int, ...]]]:
        """(gain, classes), best first."""
        return [(-loss, classes) for loss, classes in self._keys]

    @property
    def last(self) -> tuple[int, tuple[int, ...]] | None:
        """The k-th best, or None while there are fewer."""
        return self.solutions[-1] if len(self._keys) == self.k else None


def search(reduced: Reduced, k: int, deadline: float | None = None) -> Found:
    """The k best solutions of `reduced`, canonical ones, proven.

    Args:
        deadline: `time.monotonic()` at which to stop with what is proven by then.
    """
    if not reduced.is_feasible:
        return Found([], -1, True, 0, 0)
    relaxation = relax(reduced)
    ranking = Ranking(k)
    target = first_target(relaxation)
    n_nodes = 0
    while True:
        core = cut_core(reduced, relaxation, target)
        tree = _Tree(reduced, core, relaxation, ranking, target)
        tree.run(deadline)
        n_nodes += tree.n_nodes
        last = ranking.last
        if tree.stack:
            return Found(ranking.solutions, tree.open_bound(), False, core.n_choices, n_nodes)
        if target <= 0 or (last is not None and last[0] >= target):
            bound = -1 if last is None else last[0]
            return Found(ranking.solutions, bound, True, core.n_choices, n_nodes)
        target = lower_target(relaxation, target, 0 if last is None else last[0])


@dataclass(frozen=True, eq=False)
class _Nodes:
    """A batch of nodes: open choices (N, S, w) or packed, prices (N, R), bound (N,)."""

    is_open: NDArray[Any]
    price: FloatArray
    bound: FloatArray

    def __len__(self) -> int:
        return len(self.bound)

    def take(self, index: NDArray[np.generic] | slice) -> "_Nodes":
        return _Nodes(self.is_open[index], self.price[index], self.bound[index])


class _Tree:
    """One search for the solutions whose gain is at least `target`, the k best of them.

    Prices are multipliers in units of `core.unit`. Open nodes wait on a stack, best on top, with
    their choices packed to bits.
    """

    def __init__(
        self,
        reduced: Reduced,
        core: Core,
        relaxation: Relaxation,
        ranking: Ranking,
        target: int,
    ) -> None:
        self.core, self.ranking, self.target = core, ranking, target
        self.twins = reduced.twins
        self.n_nodes = 0
        self.links, self.limits = reduced.links, np.arange(len(core.room))
        self.unit_load = core.load / core.unit[:, None, None]
        # Limits without pairs need no pass of their own.
        self.has_links: BoolArray = np.asarray(core.link_load.any(axis=(1, 2, 3)))
        self.unit_link = (
            core.link_load[self.has_links] / core.unit[self.has_links, None, None, None]
        )
        # A limit that counts choices closes few of them: its price and the leaves see to it.
        self.filtering = [
            r for r, load in enumerate(core.load) if load.max() > 1 or self.has_links[r]
        ]
        self.batch = max(min(_BATCH, _LINK_CELLS // max(core.link_gain.size, 1)), 8)
        self.unit_room = core.room / core.unit
        self.slots = np.arange(reduced.n_slots)
        most, n_terms = reduced.most_load + core.room, len(self.slots) + 2 * len(self.links)
        self.gain_noise = _NOISE * n_terms * reduced.most_gain
        self.price_noise = _NOISE * n_terms * most / core.unit
        price = relaxation.multipliers * core.unit
        self.stack: list[_Nodes] = []
        if core.is_open.any(axis=1).all():
            self._push(_Nodes(core.is_open[None], price[None], np.array([relaxation.bound])))

    def run(self, deadline: float | None) -> None:
        """Search until no node is open or the deadline has passed."""
        while self.stack:
            if deadline is not None and time.monotonic() >= deadline:
                return
            nodes = self._keep(self._pop())
            self.n_nodes += len(nodes)
            if len(nodes):
                nodes, loss = self._sharpen(nodes)
            if len(nodes):
                nodes, loss = self._filter(nodes, loss)
            if len(nodes):
                self._split(nodes, loss)

    def open_bound(self) -> int:
        """No solution outside the ranking gains more."""
        most = max(float(nodes.bound.max()) for nodes in self.stack)
        last = self.ranking.last
        return max(math.floor(most + self.gain_noise), self.target - 1, last[0] if last else -1)

    def _push(self, nodes: _Nodes) -> None:
        if not len(nodes):
            return
        packed = np.packbits(nodes.is_open.reshape(len(nodes), -1), axis=1)
        self.stack.append(_Nodes(packed, nodes.price, nodes.bound))

    def _pop(self) -> _Nodes:
        """The last `batch` nodes of the stack, unpacked."""
        parts, n = [], 0
        while self.stack and n < self.batch:
            chunk = self.stack.pop()
            rest = len(chunk) - (self.batch - n)
            if rest > 0:
                self.stack.append(chunk.take(slice(rest)))
                chunk = chunk.take(slice(rest, None))
            parts.append(chunk)
            n += len(chunk)
        packed = np.concatenate([part.is_open for part in parts[::-1]])
        shape = self.core.gain.shape
        bits = np.unpackbits(packed, axis=1, count=shape[0] * shape[1])
        return _Nodes(
            bits.view(np.bool_).reshape(n, *shape),
            np.concatenate([part.price for part in parts[::-1]]),
            np.concatenate([part.bound for part in parts[::-1]]),
        )

    def _goal(self) -> int:
        """What a node must be able to reach to stay open."""
        last = self.ranking.last
        return self.target if last is None else max(self.target, last[0])

    def _noise(self, price: FloatArray) -> FloatArray:
        """(N,) more than the float error of bounds at these prices."""
        return self.gain_noise + price @ self.price_noise

    def _keep(self, nodes: _Nodes) -> _Nodes:
        is_kept = self._may_hold(nodes)
        return nodes if is_kept.all() else nodes.take(is_kept)

    def _may_hold(self, nodes: _Nodes) -> BoolArray:
        """(N,) whether a node may still hold one of the k best."""
        most = np.floor(nodes.bound + self._noise(nodes.price))
        is_kept = most >= self._goal()
        last = self.ranking.last
        if last is not None:
            is_kept &= (most > last[0]) | self._comes_before(nodes.is_open, last[1])
        return is_kept

    def _comes_before(self, is_open: BoolArray, classes: tuple[int, ...]) -> BoolArray:
        """Whether a node's lexicographically first solution comes before `classes`."""
        first = self.core.column[self.slots, is_open.argmax(axis=2)] - np.array(classes)
        place = (first != 0).argmax(axis=1)
        return np.asarray(first[np.arange(len(first)), place] < 0)

    def _sharpen(self, nodes: _Nodes) -> tuple[_Nodes, FloatArray]:
        """The nodes still open after some Polyak steps, with their best prices; and the losses."""
        price, aim = nodes.price, self._goal() - 1
        for step in range(_STEPS):
            if step in _THIN_OUT:
                kept = self._may_hold(nodes)
                nodes, price = nodes.take(kept), price[kept]
            bound, used = self._price(nodes.is_open, price)
            is_better = bound < nodes.bound
            nodes = _Nodes(
                nodes.is_open,
                np.where(is_better[:, None], price, nodes.price),
                np.where(is_better, bound, nodes.bound),
            )
            room = self.unit_room - used / self.core.unit
            room[(price <= 0) & (room > 0)] = 0.0
            length = np.maximum(bound - aim, 0.0) / np.maximum((room**2).sum(axis=1), 1e-30)
            length *= 1.0 if step < 2 else 0.7
            price = np.maximum(price - length[:, None] * room, 0.0)
        nodes = self._keep(nodes)
        return nodes, self._losses(nodes)

    def _price(self, is_open: BoolArray, price: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(N,) bounds at these prices and (N, R) loads of the choices that reach them."""
        priced = self._priced(is_open, price)
        if len(self.links):
            marginal, taken = max_marginals(priced, self.links, self._priced_links(price))
            # Folded links leave float noise between slots: all are bounds, so the least is one.
            top = marginal.max(axis=2).min(axis=1)
        else:
            taken = priced.argmax(axis=2)
            top = np.take_along_axis(priced, taken[:, :, None], axis=2)[:, :, 0].sum(axis=1)
        used = self._used(taken)
        self._offer(taken[self._fits(used)])
        return top + price @ self.unit_room, used

    def _priced(self, is_open: BoolArray, price: FloatArray) -> FloatArray:
        """(N, S, w) gain less priced load; -inf where closed."""
        n, (n_slots, width) = len(is_open), self.core.gain.shape
        flat_load = self.unit_load.reshape(len(self.unit_room), n_slots * width)
        priced = self.core.gain - (price @ flat_load).reshape(n, n_slots, width)
        priced[~is_open] = -np.inf
        return np.asarray(priced)

    def _priced_links(self, price: FloatArray) -> FloatArray:
        """(N, E, w, w), or (1, E, w, w) where no limit has pairs."""
        if not len(self.unit_link):
            return self.core.link_gain[None]
        return self.core.link_gain - np.tensordot(price[:, self.has_links], self.unit_link, axes=1)

    def _used(self, taken: IntArray) -> FloatArray:
        """(N, R) the loads of the choices `taken` (N, S)."""
        used = self.core.load[:, self.slots, taken].sum(axis=2).T
        for r in self.limits[self.has_links]:
            used[:, r] = sum_taken(self.core.load[r], self.links, self.core.link_load[r], taken)
        return np.asarray(used)

    def _losses(self, nodes: _Nodes) -> FloatArray:
        """(N, S, w) what the bound falls by when a choice is taken; inf where it is closed."""
        priced = self._priced(nodes.is_open, nodes.price)
        if len(self.links):
            priced, _ = max_marginals(priced, self.links, self._priced_links(nodes.price))
        return np.asarray(priced.max(axis=2, keepdims=True) - priced)

    def _fits(self, used: FloatArray) -> BoolArray:
        return np.asarray((used <= self.core.room).all(axis=1))

    def _offer(self, taken: IntArray) -> None:
        """Hand solutions, (N, S) and within all limits, to the ranking."""
        gain = sum_taken(self.core.gain, self.links, self.core.link_gain, taken)
        last = self.ranking.last
        if last is not None:
            taken, gain = taken[gain >= last[0]], gain[gain >= last[0]]
        for row, value in zip(taken, gain.tolist(), strict=True):
            columns = self.core.column[self.slots, row].tolist()
            if self._is_canonical(columns):
                self.ranking.offer(int(value), tuple(columns))

    def _is_canonical(self, classes: list[int]) -> bool:
        return all(
            classes[one] <= classes[next_]
            for group in self.twins
            for one, next_ in itertools.pairwise(group)
        )

    def _filter(self, nodes: _Nodes, loss: FloatArray) -> tuple[_Nodes, FloatArray]:
        """Close choices that cannot reach the goal, cannot fit or break the order of twins."""
        slack = nodes.bound + self._noise(nodes.price) - self._goal()
        is_open: BoolArray = np.asarray(loss <= slack[:, None, None])
        for r in self.filtering:
            is_open &= np.asarray(self._least(is_open, r) <= self.core.room[r])
        for group in self.twins:
            self._order(is_open, group)
        count = is_open.sum(axis=2)
        is_leaf: BoolArray = np.asarray((count == 1).all(axis=1))
        if is_leaf.any():
            taken = is_open[is_leaf].argmax(axis=2)
            self._offer(taken[self._fits(self._used(taken))])
        goes_on: BoolArray = np.asarray((count > 0).all(axis=1)) & ~is_leaf
        nodes = _Nodes(is_open[goes_on], nodes.price[goes_on], nodes.bound[goes_on])
        return nodes, np.where(nodes.is_open, loss[goes_on], np.inf)

    def _least(self, is_open: BoolArray, limit: int) -> FloatArray:
        """(N, S, w) no solution with that choice loads the limit less; inf where there is none."""
        cost = np.where(is_open, self.core.load[limit], np.inf)
        if self.has_links[limit]:
            lives: BoolArray = np.asarray(np.asarray(is_open.any(axis=2)).all(axis=1))
            least = np.full_like(cost, np.inf)
            link = self.core.link_load[limit][None]
            least[lives] = -max_marginals(-cost[lives], self.links, -link)[0]
            return least
        low = cost.min(axis=2)
        rest = low.sum(axis=1)  # inf where a slot has no choice left
        return np.asarray(
            cost - np.where(np.isinf(low), 0.0, low)[:, :, None] + rest[:, None, None]
        )

    def _order(self, is_open: BoolArray, group: tuple[int, ...]) -> None:
        """Leave equal slots only ascending choices: every other order is an equal solution."""
        places = np.arange(is_open.shape[2])
        for one, next_ in itertools.pairwise(group):
            first = is_open[:, one].argmax(axis=1)
            is_open[:, next_] &= places >= first[:, None]
        for one, next_ in itertools.pairwise(group[::-1]):
            final = len(places) - 1 - is_open[:, one, ::-1].argmax(axis=1)
            is_open[:, next_] &= places <= final[:, None]

    def _split(self, nodes: _Nodes, loss: FloatArray) -> None:
        """Open one child for every choice of the slot that decides most, best on top."""
        slot = self._deciding_slot(nodes, loss)
        parent, choice = np.nonzero(nodes.is_open[np.arange(len(nodes)), slot])
        bound = nodes.bound[parent] - loss[parent, slot[parent], choice]
        # Equal bounds: the lexicographically first on top, which settles ties soonest.
        order = np.lexsort((-choice, parent, np.floor(bound)))
        parent, choice, bound = parent[order], choice[order], bound[order]
        is_open = nodes.is_open[parent]
        rows = np.arange(len(parent))
        is_open[rows, slot[parent]] = False
        is_open[rows, slot[parent], choice] = True
        self._push(self._keep(_Nodes(is_open, nodes.price[parent], bound)))

    def _deciding_slot(self, nodes: _Nodes, loss: FloatArray) -> IntArray:
        """(N,) the slot where a choice of small loss moves the priced loads most."""
        slack = np.maximum(nodes.bound - self._goal(), 1.0)[:, None, None]
        best = loss.argmin(axis=2)[:, :, None]
        moved = np.zeros_like(loss)
        for load, price in zip(self.unit_load, nodes.price.T, strict=True):
            all_loads = np.broadcast_to(load, loss.shape)
            here = np.take_along_axis(all_loads, best, axis=2)
            moved += price[:, None, None] * np.abs(all_loads - here)
        finite = np.where(nodes.is_open, loss, 0.0)
        weight = np.where(nodes.is_open, np.exp(-finite / (_NEAR * slack)), 0.0)
        score = ((moved + 1e-3 * finite) * weight).max(axis=2)
        is_undecided = nodes.is_open.sum(axis=2) > 1
        score[~is_undecided] = -1.0
        is_tie = nodes.bound + self._noise(nodes.price) < self._goal() + 1
        return np.where(is_tie, is_undecided.argmax(axis=1), score.argmax(axis=1))
