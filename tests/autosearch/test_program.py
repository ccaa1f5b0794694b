"""Programs refuse what no solver should see, and count exactly."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hot.autosearch import Objective, PeakLimit, Program, SumLimit, as_rows
from hot.autosearch.program import to_integers
from hot.errors import InputError


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_named_with_slot_and_choice(bad):
    with pytest.raises(InputError, match=r"latency of 'b2' at 's2' is (nan|inf|-inf)"):
        Program(
            Objective("quality", as_rows([[1], [1, 2]])),
            (SumLimit("latency", as_rows([[1], [1, bad]]), 3),),
            slot_names=("s1", "s2"),
            choice_names=(("a1",), ("b1", "b2")),
        )


@pytest.mark.parametrize("what", ["limit", "fixed"])
def test_a_limit_or_fixed_part_that_is_not_finite_is_refused(what):
    numbers = {"limit": 1.0, "fixed": 0.0, what: math.nan}
    with pytest.raises(InputError, match="of memory is nan"):
        Program(
            Objective("q", as_rows([[1]])),
            (SumLimit("memory", as_rows([[1]]), numbers["limit"], fixed=numbers["fixed"]),),
        )


def test_an_empty_slot_and_a_program_without_slots_are_refused():
    with pytest.raises(InputError, match="'slot 1' has no choices"):
        Program(Objective("q", as_rows([[1], []])))
    with pytest.raises(InputError, match="no slots"):
        Program(Objective("q", ()))


def test_rows_of_another_shape_and_repeated_names_are_a_callers_bug():
    goal = Objective("q", as_rows([[1, 2]]))
    with pytest.raises(ValueError, match="other slots or choices"):
        Program(goal, (SumLimit("a", as_rows([[1]]), 1),))
    with pytest.raises(ValueError, match="one name"):
        limit = SumLimit("a", as_rows([[1, 2]]), 1)
        Program(goal, (limit, limit))


def test_a_peak_budget_records_what_it_removes():
    program = Program(
        Objective("q", as_rows([[1, 2], [1, 2]])),
        peaks=(PeakLimit("activations", as_rows([[10, 30], [20, 40]]), 30, unit="B"),),
    )
    removed = [(r.slot, r.choice, r.limit, r.value, r.allowed) for r in program.removals]
    assert removed == [(1, 1, "activations", 40.0, 30)]
    assert [mask.tolist() for mask in program.allowed()] == [[True, True], [True, False]]
    assert program.amount("activations", (1, 0)) == 30
    assert not program.is_feasible((1, 1))


def test_integers_stay_as_they_are():
    scaled = to_integers(as_rows([[3_000_000_001, 2], [7, -1]]))
    assert scaled.scale == 1
    assert scaled.total((0, 1)) == 3_000_000_000


@pytest.mark.parametrize("size", [1e-300, 1e-12, 1.0, 1e12, 1e40, 1e300])
def test_any_range_of_numbers_is_scaled_to_exact_sums(size):
    scaled = to_integers(as_rows([[0.1 * size, 0.25 * size], [0.5 * size, 0.0]]))
    assert scaled.to_float(scaled.total((1, 0))) == pytest.approx(0.75 * size, rel=1e-11)
    assert sum(int(np.abs(row).max()) for row in scaled.values) < 2**53


@given(st.lists(st.decimals(0, 1000, places=4), min_size=1, max_size=20))
def test_decimals_add_up_exactly(numbers):
    scaled = to_integers(as_rows([[float(x)] for x in numbers]))
    assert scaled.to_float(scaled.total([0] * len(numbers))) == float(sum(numbers))


@given(st.integers(1, 10**9), st.integers(0, 10**6))
def test_a_limit_at_an_exact_sum_holds(total, fixed):
    value, extra = total / 1000, fixed / 1000
    program = Program(
        Objective("q", as_rows([[1]])),
        (SumLimit("latency", as_rows([[value]]), value + extra, fixed=extra),),
    )
    assert program.is_feasible((0,))
