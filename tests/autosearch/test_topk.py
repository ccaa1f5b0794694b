"""The k best against exhaustive search, on programs small enough to list."""

import dataclasses
import itertools
import math
import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hot.autosearch import (
    LeftOutChoice,
    Objective,
    PeakLimit,
    Program,
    SumLimit,
    as_rows,
    solve,
)
from hot.errors import InfeasibleError, InputError
from hot.records import PairTerm


def exact(number):
    """The decimal that a user wrote, as a fraction."""
    return Fraction(repr(float(number)))


def list_all(program):
    """All feasible choices, best first, ties by indices, in exact fractions."""
    goal = program.objective
    found = []
    for choices in itertools.product(*(range(len(row)) for row in goal.values)):

        def total(part, choices=choices):
            rows = zip(part.values, choices, strict=True)
            alone = exact(part.fixed) + sum(exact(row[j]) for row, j in rows)
            return alone + sum(exact(pair.value) for pair in part.pairs if pair.applies(choices))

        fits = all(
            total(limit) >= exact(limit.limit)
            if limit.is_floor
            else total(limit) <= exact(limit.limit)
            for limit in program.sums
        )
        for peak in program.peaks:
            values = [float(row[j]) for row, j in zip(peak.values, choices, strict=True)]
            fits = fits and max(peak.fixed, *values) <= peak.limit
        if fits and not any(choices[x.slot] == x.choice for x in program.left_out):
            value = total(goal)
            found.append((-value if goal.is_maximised else value, choices))
    return [choices for _, choices in sorted(found)]


@st.composite
def programs(draw):
    """Small programs; few distinct numbers, so that ties, equal choices and slots are common."""
    numbers = draw(
        st.sampled_from(
            [
                st.integers(0, 3).map(float),
                st.integers(-9, 9).map(lambda i: i / 10),
                st.floats(0, 100).map(lambda x: round(x, 3)),
            ]
        )
    )
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))

    def rows():
        table = [draw(st.lists(numbers, min_size=n, max_size=n)) for n in sizes]
        for s in range(1, len(sizes)):
            if sizes[s] == sizes[s - 1] and twins[s]:
                table[s] = table[s - 1]
        return as_rows(table)

    twins = [draw(st.booleans()) for _ in sizes]
    limits = st.floats(0, 30).map(lambda x: round(x, 1))
    sums = [
        SumLimit(f"sum{i}", rows(), draw(limits), draw(st.booleans()), draw(numbers))
        for i in range(draw(st.integers(0, 3)))
    ]
    peaks = [
        PeakLimit(f"peak{i}", rows(), draw(limits), draw(numbers))
        for i in range(draw(st.integers(0, 1)))
    ]
    goal = Objective("goal", rows(), draw(st.booleans()), draw(numbers))
    return Program(goal, tuple(sums), tuple(peaks))


@st.composite
def linked_programs(draw):
    """The same with pair terms of both signs in any sum, and choices that are left out."""
    program = draw(programs())
    sizes = [len(row) for row in program.objective.values]
    numbers = st.integers(-15, 15).map(lambda i: i / draw(st.sampled_from([1, 5])))

    def link(part):
        pairs = []
        for _ in range(draw(st.integers(0, 6)) if len(sizes) > 1 else 0):
            slot = draw(st.integers(0, len(sizes) - 2))
            other = draw(st.integers(slot + 1, len(sizes) - 1))
            one = draw(st.integers(0, sizes[slot] - 1))
            pairs.append(
                PairTerm(slot, one, other, draw(st.integers(0, sizes[other] - 1)), draw(numbers))
            )
        return dataclasses.replace(part, pairs=tuple(pairs))

    closed = tuple(
        LeftOutChoice(s, draw(st.integers(0, n - 1)), "it crashed")
        for s, n in enumerate(sizes)
        if n > 1 and draw(st.booleans())
    )
    return dataclasses.replace(
        program,
        objective=link(program.objective),
        sums=tuple(map(link, program.sums)),
        left_out=closed,
    )


@given(st.one_of(programs(), linked_programs()), st.integers(1, 64))
def test_the_k_best_are_those_of_an_exhaustive_search(program, k):
    k = min(k, program.size)
    wanted = list_all(program)
    if not wanted:
        with pytest.raises(InfeasibleError):
            solve(program, k)
        return
    answer = solve(program, k)
    assert [solution.choices for solution in answer.solutions] == wanted[:k]
    assert answer.is_complete
    assert all(s.is_proven and s.gap == 0 and s.bound == s.value for s in answer.solutions)
    values = [solution.value for solution in answer.solutions]
    assert values == sorted(values, reverse=program.objective.is_maximised)


@given(st.one_of(programs(), linked_programs()))
def test_every_nearest_value_is_the_least_loosening_that_helps(program):
    if list_all(program):
        return
    with pytest.raises(InfeasibleError) as caught:
        solve(program, 1)
    assert set(caught.value.nearest) == {limit.name for limit in program.limits}
    for name, nearest in caught.value.nearest.items():
        amounts = [program.amount(name, choices) for choices in list_all(without(program, name))]
        is_floor = any(limit.name == name and limit.is_floor for limit in program.sums)
        if not amounts:
            assert nearest is None
            continue
        assert nearest == (max(amounts) if is_floor else min(amounts))
        solve(with_limit(program, name, nearest), 1)  # the value can be given back


def without(program, name):
    return dataclasses.replace(
        program,
        sums=tuple(limit for limit in program.sums if limit.name != name),
        peaks=tuple(limit for limit in program.peaks if limit.name != name),
    )


def with_limit(program, name, value):
    def turn(limit):
        return dataclasses.replace(limit, limit=value) if limit.name == name else limit

    return dataclasses.replace(
        program, sums=tuple(map(turn, program.sums)), peaks=tuple(map(turn, program.peaks))
    )


def linked_program(n_slots, n_choices, n_pairs, seed, n_limits=2):
    """A random program with pairs of neighbouring slots, a third as large as the values."""
    rng = np.random.default_rng(seed)

    def pairs():
        return tuple(
            PairTerm(
                int(s), int(rng.integers(n_choices)), int(s) + 1, int(rng.integers(n_choices)),
                float(rng.normal() / 3),
            )
            for s in rng.integers(0, n_slots - 1, n_pairs)
        )  # fmt: skip

    plain = random_program(n_slots, n_choices, n_limits, seed)
    linked = dataclasses.replace(plain.sums[0], pairs=pairs())
    return dataclasses.replace(
        plain,
        objective=dataclasses.replace(plain.objective, pairs=pairs()),
        sums=(linked, *plain.sums[1:]),
    )


@pytest.mark.parametrize("seed", range(2))
def test_hundreds_of_pairs_of_neighbours_are_proven_within_seconds(seed):
    start = time.monotonic()
    answer = solve(linked_program(17, 19, 300, seed), 8)
    assert answer.is_complete and len(answer.solutions) == 8
    assert time.monotonic() - start < 20  # about 1 s alone; the margin is for a busy machine


def test_pairs_of_neighbours_agree_with_dynamic_programming():
    rng = np.random.default_rng(8)
    gain, cost = rng.integers(0, 500, (12, 9)), rng.integers(0, 30, (12, 9))
    extra = rng.integers(-200, 200, (11, 9, 9))
    best = np.full((9, 101), -np.inf)  # by the last choice and the cost so far
    for j in range(9):
        best[j, cost[0, j]] = gain[0, j]
    for s in range(1, 12):
        after = np.full_like(best, -np.inf)
        for j in range(9):
            reach = (best + extra[s - 1, :, j][:, None]).max(axis=0) + gain[s, j]
            after[j, cost[s, j] :] = reach[: 101 - cost[s, j]]
        best = after
    pairs = tuple(
        PairTerm(int(s), int(a), int(s) + 1, int(b), float(extra[s, a, b]))
        for s, a, b in np.ndindex(extra.shape)
    )
    program = Program(
        Objective("gain", as_rows(gain), pairs=pairs), (SumLimit("cost", as_rows(cost), 100),)
    )
    assert solve(program, 1).solutions[0].value == best.max()


def random_program(n_slots, n_choices, n_limits, seed, correlation=0.0):
    rng = np.random.default_rng(seed)
    gain = rng.random((n_slots, n_choices))
    sums = []
    for i in range(n_limits):
        cost = correlation * gain + (1 - correlation) * rng.random((n_slots, n_choices))
        limit = 0.6 * cost.min(axis=1).sum() + 0.4 * cost.mean(axis=1).sum()
        sums.append(SumLimit(f"cost{i}", as_rows(cost), float(limit)))
    return Program(Objective("gain", as_rows(gain)), tuple(sums))


def test_a_dominated_choice_can_be_second_best():
    # Choice 1 costs more and gains less than choice 0, and still makes the second best.
    program = Program(
        Objective("gain", as_rows([[10, 9, 1]])), (SumLimit("cost", as_rows([[1, 2, 1]]), 5),)
    )
    assert [s.choices for s in solve(program, 3).solutions] == [(0,), (1,), (2,)]


def test_decimal_sums_that_are_equal_on_paper_tie():
    # 0.1 + 0.2 and 0.3 + 0.0 are one value, though their doubles differ; ties go by indices.
    program = Program(Objective("gain", as_rows([[0.3, 0.1], [0.0, 0.2]])))
    answer = solve(program, 4)
    assert [s.choices for s in answer.solutions] == [(0, 1), (0, 0), (1, 1), (1, 0)]
    assert [s.value for s in answer.solutions] == [0.5, 0.3, 0.3, 0.1]


def test_a_sum_exactly_at_its_limit_fits():
    cost = as_rows([[0.1], [0.1], [0.1]])
    program = Program(Objective("gain", as_rows([[1], [1], [1]])), (SumLimit("cost", cost, 0.3),))
    assert solve(program, 1).solutions[0].choices == (0, 0, 0)


def test_the_fixed_parts_count_against_every_budget():
    gain, cost = as_rows([[1.0, 2.0]]), as_rows([[3.0, 6.0]])
    free = Program(Objective("gain", gain), (SumLimit("memory", cost, 10, fixed=4),))
    tight = Program(Objective("gain", gain), (SumLimit("memory", cost, 10, fixed=5),))
    assert solve(free, 1).solutions[0].choices == (1,)
    assert solve(tight, 1).solutions[0].choices == (0,)


def test_few_distinct_numbers_end_at_once_and_ties_go_by_indices():
    rng = np.random.default_rng(5)
    gain, cost = rng.integers(0, 10, (46, 197)), rng.integers(0, 10, (46, 197))
    program = Program(Objective("gain", as_rows(gain)), (SumLimit("cost", as_rows(cost), 115),))
    answer = solve(program, 8, time_limit_s=30)
    assert answer.is_complete
    assert {s.value for s in answer.solutions} == {float(gain.max(axis=1).sum())}
    choices = [s.choices for s in answer.solutions]
    assert choices == sorted(choices)


def test_many_equal_slots_are_no_obstacle():
    # Twelve equal slots: every solution has many permutations of one value.
    rng = np.random.default_rng(0)
    gain = np.repeat(rng.integers(0, 1000, (1, 18)), 12, axis=0)
    cost = np.repeat(rng.integers(0, 1000, (1, 18)), 12, axis=0)
    program = Program(Objective("gain", as_rows(gain)), (SumLimit("cost", as_rows(cost), 4321),))
    answer = solve(program, 64, time_limit_s=30)
    assert answer.is_complete and len({s.choices for s in answer.solutions}) == 64
    best = best_of_equal_slots(gain[0], cost[0], 12, 4321)
    assert answer.solutions[0].value == best


def best_of_equal_slots(gain, cost, n_slots, room):
    """By dynamic programming over the cost."""
    best = np.full(room + 1, -np.inf)
    best[0] = 0
    for _ in range(n_slots):
        after = np.full(room + 1, -np.inf)
        for g, c in zip(gain, cost, strict=True):
            after[c:] = np.maximum(after[c:], best[: room + 1 - c] + g)
        best = after
    return best.max()


def test_one_limit_agrees_with_dynamic_programming():
    rng = np.random.default_rng(3)
    gain, cost = rng.integers(0, 500, (20, 30)), rng.integers(0, 100, (20, 30))
    best = np.full(401, -np.inf)
    best[0] = 0
    for s in range(20):
        after = np.full(401, -np.inf)
        for g, c in zip(gain[s], cost[s], strict=True):
            after[c:] = np.maximum(after[c:], best[: 401 - c] + g)
        best = after
    program = Program(Objective("gain", as_rows(gain)), (SumLimit("cost", as_rows(cost), 400),))
    assert solve(program, 1).solutions[0].value == best.max()


@pytest.mark.parametrize("seed", range(3))
def test_46_slots_of_197_choices_are_proven_within_seconds(seed):
    start = time.monotonic()
    answer = solve(random_program(46, 197, 2, seed), 8)
    assert answer.is_complete and len(answer.solutions) == 8
    assert time.monotonic() - start < 5  # 0.2 s alone; the margin is for a busy machine


def test_a_time_limit_returns_what_was_found_with_the_gap_that_holds():
    program = random_program(46, 197, 4, seed=1)
    short = solve(program, 8, time_limit_s=0.5)
    assert not short.is_complete
    best = solve(random_program(46, 197, 4, seed=1), 1, time_limit_s=60)
    assert best.is_complete
    assert short.bound >= best.solutions[0].value
    for solution in short.solutions:
        assert program.is_feasible(solution.choices)
        if not solution.is_proven:
            gap = (solution.bound - solution.value) / solution.value
            assert math.isclose(solution.gap, gap) and solution.gap > 0


def test_the_same_program_gives_the_same_answer_every_time():
    def run():
        answer = solve(random_program(20, 50, 2, seed=4, correlation=0.5), 16)
        return [(s.choices, s.value) for s in answer.solutions]

    assert run() == run()


def test_an_infeasible_program_names_budget_nearest_value_and_slot():
    program = Program(
        Objective("quality", as_rows([[1, 2], [1, 2]])),
        (
            SumLimit("latency", as_rows([[1.25, 2], [2.5, 4]]), 3.0, fixed=0.5, unit="ms"),
            SumLimit("memory", as_rows([[10, 20], [10, 20]]), 100.0, unit="B"),
        ),
        slot_names=("s1", "s2"),
    )
    with pytest.raises(InfeasibleError) as caught:
        solve(program, 1)
    message = str(caught.value)
    assert "latency <= 3 ms binds" in message and "4.25 ms" in message
    assert "'s2' takes most (2.5 ms)" in message
    assert caught.value.nearest == {"latency": 4.25, "memory": None}


def test_two_budgets_that_no_single_change_mends_say_so():
    program = Program(
        Objective("quality", as_rows([[1, 2]])),
        (SumLimit("latency", as_rows([[5, 6]]), 1), SumLimit("memory", as_rows([[9, 8]]), 1)),
    )
    with pytest.raises(InfeasibleError, match="no single budget") as caught:
        solve(program, 1)
    assert caught.value.nearest == {"latency": None, "memory": None}


@pytest.mark.parametrize(
    ("k", "solver", "limit", "words"),
    [
        (0, "exact", None, "at least 1"),
        (7, "exact", None, "only 6 architectures"),
        (1, "exactt", None, "did you mean 'exact'"),
        (1, "exact", 0.0, "greater than 0 s"),
        (1, "exact", math.nan, "greater than 0 s"),
    ],
)
def test_wrong_questions_get_one_clear_message(k, solver, limit, words):
    program = Program(Objective("quality", as_rows([[1, 2], [1, 2, 3]])))
    with pytest.raises(InputError, match=words):
        solve(program, k, solver, limit)


def test_fewer_than_k_solutions_are_all_there_are():
    program = Program(
        Objective("gain", as_rows([[1, 2], [1, 2]])),
        (SumLimit("cost", as_rows([[0, 1], [0, 1]]), 1),),
    )
    answer = solve(program, 4)
    assert [s.choices for s in answer.solutions] == [(0, 1), (1, 0), (0, 0)]
    assert answer.is_complete and answer.bound is None
