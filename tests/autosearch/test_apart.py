"""Diverse picks at a size that no listing reaches."""

import itertools
import logging

import numpy as np

from hot.autosearch import Objective, Program, SumLimit, as_rows, solve


def make_program(n_slots, n_choices, seed):
    rng = np.random.default_rng(seed)
    gain, cost = rng.random((2, n_slots, n_choices))
    limit = 0.6 * cost.min(axis=1).sum() + 0.4 * cost.mean(axis=1).sum()
    return Program(
        Objective("gain", as_rows(gain)), (SumLimit("cost", as_rows(cost), float(limit)),)
    )


def test_picks_differ_pairwise_in_enough_slots_and_are_proven_best_first():
    program = make_program(40, 12, 0)
    answer = solve(program, 6, min_distance=7)
    assert len(answer.solutions) == 6 and answer.is_complete
    for one, other in itertools.combinations([s.choices for s in answer.solutions], 2):
        assert sum(a != b for a, b in zip(one, other, strict=True)) >= 7
    values = [s.value for s in answer.solutions]
    assert values == sorted(values, reverse=True)
    assert answer.solutions[0] == solve(program, 1).solutions[0]


def test_a_distance_of_one_is_the_plain_ranking():
    program = make_program(6, 4, 1)
    plain = [s.choices for s in solve(program, 5).solutions]
    assert [s.choices for s in solve(program, 5, min_distance=1).solutions] == plain


def test_when_the_time_is_up_the_picks_so_far_are_there(caplog):
    with caplog.at_level(logging.WARNING):
        answer = solve(make_program(80, 16, 2), 50, time_limit_s=1.0, min_distance=30)
    assert not answer.is_complete and len(answer.solutions) < 50
