"""Bounds over slots that pair terms link: dynamic programming along the slots.

Without limits the best choice of every slot depends on its neighbours' alone, so the best total,
and the best total through every choice (its max-marginal), come of one pass forth and one back.
That is exact for links between neighbouring slots. A link that jumps over slots is bounded by what
each of its choices adds at best, half at one end and half at the other; once one of its slots is
decided it is charged to the other end, and the bound is exact in it.

References:
    R. Bellman, Dynamic programming, 1957; A. Viterbi, Error bounds for convolutional codes, 1967.
"""

import numpy as np

from hot.autosearch.reduce import FloatArray, IntArray


def max_marginals(
    values: FloatArray, links: IntArray, link_values: FloatArray
) -> tuple[FloatArray, IntArray]:
    """(N, S, w) no solution with that choice is worth more, and (N, S) choices at the bound.

    Args:
        values: (N, S, w) worth of every choice, -inf where it is closed; every slot has one open.
        links: (E, 2) slots, ascending.
        link_values: (N, E, w, w) or (1, E, w, w), finite.
    """
    steps, jumps = {}, []
    for e, (one, other) in enumerate(links.tolist()):
        if other == one + 1:
            steps[one] = e
        else:
            jumps.append((e, one, other))
    for e, one, other in jumps:
        values = _fold(values, link_values[:, e], one, other)
    n_slots = values.shape[1]
    forth = np.empty_like(values)
    forth[:, 0] = values[:, 0]
    for s in range(1, n_slots):
        before = forth[:, s - 1, :, None]
        if s - 1 in steps:
            before = before + link_values[:, steps[s - 1]]
        forth[:, s] = values[:, s] + before.max(axis=1)
    back = np.zeros_like(values)
    for s in range(n_slots - 2, -1, -1):
        after = (values[:, s + 1] + back[:, s + 1])[:, None, :]
        if s in steps:
            after = after + link_values[:, steps[s]]
        back[:, s] = after.max(axis=2)
    return forth + back, _trace(forth, link_values, steps)


def _fold(values: FloatArray, matrix: FloatArray, one: int, other: int) -> FloatArray:
    """`values` with a jumping link charged to its two ends; never too little."""
    is_first, is_second = np.isfinite(values[:, one]), np.isfinite(values[:, other])
    reach = np.where(is_first[:, :, None] & is_second[:, None, :], matrix, -np.inf)
    share = np.full(len(values), 0.5)
    share[is_second.sum(axis=1) == 1] = 1.0
    share[is_first.sum(axis=1) == 1] = 0.0
    at_first = np.where(is_first, reach.max(axis=2), 0.0)
    at_second = np.where(is_second, reach.max(axis=1), 0.0)
    folded = values.copy()
    folded[:, one] += share[:, None] * at_first
    folded[:, other] += (1 - share)[:, None] * at_second
    return folded


def _trace(forth: FloatArray, link_values: FloatArray, steps: dict[int, int]) -> IntArray:
    n, n_slots = forth.shape[:2]
    rows = np.arange(n)
    of_links = rows if len(link_values) == n else np.zeros_like(rows)
    taken = np.empty((n, n_slots), dtype=np.int64)
    taken[:, -1] = forth[:, -1].argmax(axis=1)
    for s in range(n_slots - 2, -1, -1):
        before = forth[:, s]
        if s in steps:
            before = before + link_values[of_links, steps[s], :, taken[:, s + 1]]
        taken[:, s] = before.argmax(axis=1)
    return taken
