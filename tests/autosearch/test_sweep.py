"""Fronts of programs against the fronts of exhaustive searches."""

import dataclasses
import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hot.autosearch import Objective, Program, SumLimit, as_rows, solve, solve_front
from hot.errors import InfeasibleError, InputError
from hot.records import PairTerm


def total(part, choices):
    alone = sum(int(row[j]) for row, j in zip(part.values, choices, strict=True))
    return alone + int(sum(pair.value for pair in part.pairs if pair.applies(choices)))


def list_points(program):
    """(cost, value) of every solution within the other limits; whole numbers throughout."""
    swept, *others = program.sums
    return sorted(
        {
            (total(swept, choices), total(program.objective, choices))
            for choices in itertools.product(*(range(len(r)) for r in program.objective.values))
            if all(total(limit, choices) <= limit.limit for limit in others)
        }
    )


def best_within(points, budget):
    """The most value within a budget, and the least cost it takes."""
    inside = [(value, -cost) for cost, value in points if cost <= budget]
    return None if not inside else (-max(inside)[1], max(inside)[0])


@st.composite
def programs(draw):
    sizes = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    top = draw(st.sampled_from([3, 30]))

    def rows():
        numbers = st.integers(0, top)
        return as_rows([draw(st.lists(numbers, min_size=n, max_size=n)) for n in sizes])

    def pairs():
        if len(sizes) == 1:
            return ()
        made = []
        for _ in range(draw(st.integers(0, 5))):
            s = draw(st.integers(0, len(sizes) - 2))
            t = draw(st.integers(s + 1, len(sizes) - 1))
            places = (draw(st.integers(0, sizes[s] - 1)), draw(st.integers(0, sizes[t] - 1)))
            made.append(PairTerm(s, places[0], t, places[1], float(draw(st.integers(-9, 9)))))
        return tuple(made)

    limits = [
        SumLimit(f"cost{i}", rows(), float(draw(st.integers(0, 3 * top))), pairs=pairs())
        for i in range(draw(st.integers(1, 3)))
    ]
    return Program(Objective("gain", rows(), pairs=pairs()), tuple(limits))


@settings(max_examples=150, deadline=None)
@given(programs(), st.integers(-5, 60))
def test_the_front_is_that_of_an_exhaustive_search(program, lowest):
    highest = program.sums[0].limit
    lowest = min(float(lowest), highest)
    points = list_points(program)
    wanted = {best_within(points, b) for b in np.arange(lowest, highest + 1)} - {None}
    if not wanted:
        with pytest.raises(InfeasibleError):
            solve_front(program, "cost0", lowest)
        return
    answer = solve_front(program, "cost0", lowest)
    assert answer.is_complete and answer.step is None
    assert [point[1:] for point in answer.points] == sorted(wanted)
    for choices, amount, value in answer.points:
        assert program.is_feasible(choices)
        assert (total(program.sums[0], choices), total(program.objective, choices)) == (
            amount,
            value,
        )


@settings(max_examples=100, deadline=None)
@given(programs(), st.integers(0, 40), st.integers(1, 9))
def test_a_step_leaves_the_best_of_every_budget_asked_for(program, lowest, step):
    highest = program.sums[0].limit
    lowest = min(float(lowest), highest)
    points = list_points(program)
    budgets = [*np.arange(lowest, highest, step), highest]
    wanted = {best_within(points, b) for b in budgets} - {None}
    if not wanted:
        with pytest.raises(InfeasibleError):
            solve_front(program, "cost0", lowest, step)
        return
    answer = solve_front(program, "cost0", lowest, step)
    assert [point[1:] for point in answer.points] == sorted(wanted)
    assert answer.step == step and answer.is_complete


@settings(max_examples=50, deadline=None)
@given(programs())
def test_without_a_lowest_budget_the_front_starts_at_the_least_cost(program):
    points = [point for point in list_points(program) if point[0] <= program.sums[0].limit]
    if not points:
        return
    answer = solve_front(program, "cost0")
    assert answer.points[0][1] == points[0][0]
    assert solve_front(program, "cost0", step=1).points[0][1] == points[0][0]


def random_program(n_slots, n_choices, seed, n_limits=1, n_pairs=0):
    rng = np.random.default_rng(seed)
    cost, noise = rng.random((2, n_slots, n_choices))
    gain = 0.8 * cost + 0.2 * noise  # dear choices are good ones, as in look-up tables
    sums = [SumLimit("cost0", as_rows(cost), float(cost.mean(axis=1).sum()))]
    for i in range(1, n_limits):
        more = rng.random((n_slots, n_choices))
        limit = 0.6 * more.min(axis=1).sum() + 0.4 * more.mean(axis=1).sum()
        sums.append(SumLimit(f"cost{i}", as_rows(more), float(limit)))
    pairs = tuple(
        PairTerm(
            int(s), int(rng.integers(n_choices)), int(s) + 1, int(rng.integers(n_choices)),
            float(rng.normal() / 3),
        )
        for s in rng.integers(0, n_slots - 1, n_pairs)
    )  # fmt: skip
    return Program(Objective("gain", as_rows(gain), pairs=pairs), tuple(sums))


@pytest.mark.parametrize(("n_limits", "n_pairs"), [(1, 0), (2, 0), (1, 60)])
def test_every_point_of_a_longer_front_is_the_answer_of_a_search_of_its_own(n_limits, n_pairs):
    program = random_program(8, 12, 0, n_limits, n_pairs)
    start = time.monotonic()
    answer = solve_front(program, "cost0", 0.6 * program.sums[0].limit, max_points=999)
    assert time.monotonic() - start < 20
    assert answer.is_complete and len(answer.points) > 30
    for choices, amount, value in answer.points[::9]:
        limits = (dataclasses.replace(program.sums[0], limit=amount), *program.sums[1:])
        alone = solve(dataclasses.replace(program, sums=limits), 1).solutions[0]
        assert alone.value == value and program.value(choices) == value


def test_a_long_front_is_thinned_to_the_number_of_points_asked_for_and_says_so():
    program = random_program(8, 12, 1)
    whole = solve_front(program, "cost0", max_points=999)
    thin = solve_front(program, "cost0", max_points=10)
    assert len(whole.points) > 10 >= len(thin.points)
    assert set(thin.points) <= set(whole.points) and thin.points[-1] == whole.points[-1]
    assert whole.step is None
    assert thin.step == pytest.approx((program.sums[0].limit - whole.points[0][1]) / 9)


def test_a_time_limit_gives_what_is_known_unproven():
    answer = solve_front(random_program(40, 60, 2, n_limits=3), "cost0", time_limit_s=1.0)
    assert not answer.is_complete
    values = [value for _, _, value in answer.points]
    assert values == sorted(values)


def test_wrong_questions_get_one_clear_message():
    program = random_program(2, 2, 0)
    with pytest.raises(InputError, match="greater than 0"):
        solve_front(program, "cost0", 0.0, step=0.0)
    with pytest.raises(InputError, match="take a larger one"):
        solve_front(program, "cost0", 0.0, step=1e-9)
    with pytest.raises(InputError, match="at least 1 point"):
        solve_front(program, "cost0", max_points=0)
    with pytest.raises(ValueError, match="no upper limit"):
        solve_front(program, "gain")
