"""Every solver of the table gives the answer of an exhaustive search: same order, same ties."""

import dataclasses
import itertools

import numpy as np
import pytest

from hot.autosearch import (
    SOLVERS,
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


@pytest.fixture(params=sorted(SOLVERS))
def solver(request, skip_unless_ci):
    try:
        solve(Program(Objective("q", as_rows([[1]]))), 1, request.param)
    except InputError as error:
        skip_unless_ci(str(error))
    return request.param


def seeded_program(seed, is_coarse, n_pairs=0):
    """Three to five slots of two to six choices; coarse numbers make ties.

    Pairs of either sign stand in the objective, in one limit and in the floor, three in four of
    them between neighbours.
    """
    rng = np.random.default_rng(seed)
    sizes = rng.integers(2, 7, rng.integers(3, 6))

    def rows():
        if is_coarse:
            return as_rows([rng.integers(0, 4, n) for n in sizes])
        return as_rows([rng.random(n).round(4) for n in sizes])

    def pairs():
        made = []
        for i in range(n_pairs):
            s = int(rng.integers(0, len(sizes) - 1))
            t = s + 1 if i % 4 else int(rng.integers(s + 1, len(sizes)))
            value = float(rng.integers(-2, 3)) if is_coarse else round(float(rng.normal()), 4)
            made.append(
                PairTerm(s, int(rng.integers(sizes[s])), t, int(rng.integers(sizes[t])), value)
            )
        return tuple(made)

    sums = []
    for i in range(2):
        costs = rows()
        least, most = (sum(float(f(r)) for r in costs) for f in (np.min, np.max))
        limit = round(least + 0.45 * (most - least), 3)
        sums.append(SumLimit(f"cost{i}", costs, limit, pairs=pairs() if i else ()))
    floor = rows()
    least = float(sum(r.min() for r in floor)) + 0.5
    sums.append(SumLimit("floor", floor, least, is_floor=True, pairs=pairs()))
    peaks = (PeakLimit("peak", rows(), 3.0 if is_coarse else 0.95),)
    goal = Objective("gain", rows(), is_maximised=bool(seed % 2), pairs=pairs())
    return Program(goal, tuple(sums), peaks)


def list_all(program):
    """Feasible choices best first, ties by indices, in integers of 1e-4."""

    def total(part, choices):
        alone = sum(round(1e4 * float(r[j])) for r, j in zip(part.values, choices, strict=True))
        return alone + sum(round(1e4 * pair.value) for pair in part.pairs if pair.applies(choices))

    found = []
    for choices in itertools.product(*(range(len(r)) for r in program.objective.values)):
        sums_fit = all(
            total(limit, choices) >= round(1e4 * limit.limit)
            if limit.is_floor
            else total(limit, choices) <= round(1e4 * limit.limit)
            for limit in program.sums
        )
        peaks_fit = all(
            float(r[j]) <= peak.limit
            for peak in program.peaks
            for r, j in zip(peak.values, choices, strict=True)
        )
        if (
            sums_fit
            and peaks_fit
            and not any(choices[x.slot] == x.choice for x in program.left_out)
        ):
            value = total(program.objective, choices)
            found.append((-value if program.objective.is_maximised else value, choices))
    return [choices for _, choices in sorted(found)]


def differ(one, other):
    return sum(a != b for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("is_coarse", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_the_answer_is_that_of_an_exhaustive_search(solver, seed, is_coarse):
    program = seeded_program(seed, is_coarse)
    wanted = list_all(program)
    assert wanted, "the seed must give a feasible program"
    answer = solve(program, 6, solver)
    assert [s.choices for s in answer.solutions] == wanted[:6]
    assert answer.is_complete and answer.solver == solver
    assert all(s.is_proven and s.gap == 0 for s in answer.solutions)


@pytest.mark.parametrize("is_coarse", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_pair_terms_count_exactly_in_objective_limits_and_floors(solver, seed, is_coarse):
    program = seeded_program(seed, is_coarse, n_pairs=16)
    wanted = list_all(program)
    assert wanted, "the seed must give a feasible program"
    answer = solve(program, min(6, program.size), solver)
    assert [s.choices for s in answer.solutions] == wanted[:6]
    assert answer.is_complete
    values = [program.value(choices) for choices in wanted[:6]]
    assert [s.value for s in answer.solutions] == values


@pytest.mark.parametrize("distance", [2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_diverse_picks_are_the_greedy_sequence_of_an_exhaustive_search(solver, seed, distance):
    program = seeded_program(seed, is_coarse=bool(seed % 2), n_pairs=6 * (seed % 3))
    left, wanted = list_all(program), []
    while left and len(wanted) < 5:
        wanted.append(left[0])
        left = [choices for choices in left if differ(choices, wanted[-1]) >= distance]
    assert wanted, "the seed must give a feasible program"
    answer = solve(program, 5, solver, min_distance=distance)
    assert [s.choices for s in answer.solutions] == wanted
    assert answer.is_complete and all(s.is_proven for s in answer.solutions)


def test_a_left_out_choice_is_in_no_answer(solver):
    program = seeded_program(1, is_coarse=False)
    best = list_all(program)[0]
    closed = (LeftOutChoice(0, best[0], "it crashed"), LeftOutChoice(2, best[2], "it crashed"))
    without = dataclasses.replace(program, left_out=closed)
    wanted = list_all(without)
    assert wanted and best not in wanted
    assert [s.choices for s in solve(without, 4, solver).solutions] == wanted[:4]


def test_an_infeasible_program_raises(solver):
    program = Program(
        Objective("gain", as_rows([[1, 2], [3, 4]])),
        (SumLimit("cost", as_rows([[1, 2], [3, 4]]), 3.5),),
    )
    with pytest.raises(InfeasibleError) as caught:
        solve(program, 1, solver)
    assert caught.value.nearest == {"cost": 4.0}


def test_equal_slots_give_all_permutations_in_order(solver):
    row = [3, 2, 2, 0]
    program = Program(
        Objective("gain", as_rows([row, row])), (SumLimit("cost", as_rows([row, row]), 5),)
    )
    answer = solve(program, 5, solver)
    wanted = [(0, 1), (0, 2), (1, 0), (2, 0), (1, 1)]
    assert [s.choices for s in answer.solutions] == wanted


def test_fewer_than_k_are_all_there_are(solver):
    program = Program(
        Objective("gain", as_rows([[1, 2], [1, 2.5]])),
        (SumLimit("cost", as_rows([[0, 1], [0, 1]]), 1),),
    )
    answer = solve(program, 4, solver)
    assert [s.choices for s in answer.solutions] == [(0, 1), (1, 0), (0, 0)]
    assert answer.is_complete


def test_numbers_of_very_different_size_do_no_harm(solver):
    gain = as_rows([[1e9, 2e9, 3e9], [5e9, 1e9, 2e9], [1e9, 7e9, 2e9]])
    cost = as_rows([[1e-6, 2e-6, 3e-6], [5e-6, 1e-6, 2e-6], [1e-6, 7e-6, 2e-6]])
    program = Program(Objective("macs", gain), (SumLimit("latency", cost, 1.1e-5),))
    # by hand: all three at 1.1e-5 or less, by gain: (0,0,2)=8, (0,1,1)=9, (0,2,1)=10, (1,1,1)=10,
    # (1,2,1)=11, (2,1,1)=11, (1,0,2)=9, (2,0,2)=10, (2,0,0)=9
    assert [s.choices for s in solve(program, 2, solver).solutions] == [(1, 2, 1), (2, 1, 1)]


def test_a_solver_that_is_absent_says_how_to_get_it():
    from hot.autosearch.external import External

    class Absent:
        def available(self):
            return False

    gone = External("gone", lambda limit: Absent(), "apt-get install gone")
    with pytest.raises(InputError, match="apt-get install gone"):
        gone.search(None, 1)
