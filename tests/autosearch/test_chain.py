"""Max-marginals against a listing of all solutions."""

import itertools

import numpy as np
import pytest

from hot.autosearch.chain import max_marginals

CHAIN = [(0, 1), (1, 2), (3, 4)]
JUMPS = [(0, 2), (1, 4)]


def list_marginals(values, links, matrices):
    """(S, w) the best total through every choice."""
    n_slots, width = values.shape
    best = np.full(values.shape, -np.inf)
    for taken in itertools.product(range(width), repeat=n_slots):
        total = values[range(n_slots), taken].sum()
        total += sum(m[taken[s], taken[t]] for (s, t), m in zip(links, matrices, strict=True))
        for slot, choice in enumerate(taken):
            best[slot, choice] = max(best[slot, choice], total)
    return best


def random_case(links, seed, closed=0.3):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(4, 5, 3))
    is_closed = rng.random(values.shape) < closed
    is_closed[..., 0] = False
    values[is_closed] = -np.inf
    return values, rng.normal(size=(4, len(links), 3, 3))


@pytest.mark.parametrize("seed", range(5))
def test_links_of_neighbours_are_bounded_exactly(seed):
    values, matrices = random_case(CHAIN, seed)
    found, taken = max_marginals(values, np.array(CHAIN), matrices)
    for n in range(len(values)):
        wanted = list_marginals(values[n], CHAIN, matrices[n])
        np.testing.assert_allclose(found[n], wanted, atol=1e-12)
        total = values[n][range(5), taken[n]].sum()
        total += sum(matrices[n, e, taken[n, s], taken[n, t]] for e, (s, t) in enumerate(CHAIN))
        assert total == pytest.approx(wanted.max())


@pytest.mark.parametrize("seed", range(5))
def test_links_that_jump_are_bounded_from_above_and_exactly_once_decided(seed):
    links = CHAIN + JUMPS
    values, matrices = random_case(links, seed)
    found, _ = max_marginals(values, np.array(links), matrices)
    for n in range(len(values)):
        assert (found[n] >= list_marginals(values[n], links, matrices[n]) - 1e-12).all()
    for slot in (0, 1):  # with these decided, every jump has an end that is
        values[:, slot, 1:] = -np.inf
    found, _ = max_marginals(values, np.array(links), matrices)
    for n in range(len(values)):
        wanted = list_marginals(values[n], links, matrices[n])
        np.testing.assert_allclose(found[n], wanted, atol=1e-12)


def test_one_matrix_for_all_nodes_is_as_good_as_a_copy_for_each():
    values, matrices = random_case(CHAIN, 7)
    one = matrices[:1]
    all_of_it = max_marginals(values, np.array(CHAIN), np.repeat(one, 4, axis=0))
    for found, wanted in zip(max_marginals(values, np.array(CHAIN), one), all_of_it, strict=True):
        np.testing.assert_array_equal(found, wanted)
