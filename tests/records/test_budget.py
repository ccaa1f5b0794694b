"""Budgets are read with their units or refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hot.errors import InputError
from hot.records import Budget, parse_budget


def test_every_budget_is_read_in_its_unit():
    budget = parse_budget("2s", "1.5MiB", "64 KiB", "500uJ", "1.2G")
    assert budget == Budget(2000.0, 1.5 * 2**20, 65536.0, 0.5, 1.2e9)


@pytest.mark.parametrize(
    ("option", "text", "words"),
    [
        ("latency", "30", "latency budget must be a number with one of the units ns, us, ms, s"),
        ("latency", "30MiB", "not '30MiB'"),
        ("latency", "-3ms", "not '-3ms'"),
        ("latency", "0ms", "greater than zero"),
        ("latency", "1e999ms", "finite"),
        ("memory", "2mb", "memory budget"),
        ("memory", "", "memory budget"),
        ("energy", "3", "energy budget"),
        ("macs", "3ms", "MACs budget"),
        ("activations", "nan", "activation memory budget"),
    ],
)
def test_a_budget_with_a_wrong_or_missing_unit_is_refused_by_name(option, text, words):
    with pytest.raises(InputError) as error:
        parse_budget(**{option: text})
    assert words in str(error.value)


@given(st.floats(1e-3, 1e6), st.sampled_from(["ns", "us", "ms", "s"]))
def test_a_latency_is_its_number_times_its_unit(number, unit):
    factor = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1e3}[unit]
    assert parse_budget(latency=f"{number!r} {unit}").latency_ms == pytest.approx(number * factor)


@given(st.text(max_size=12))
def test_any_text_is_a_budget_or_an_input_error(text):
    try:
        assert parse_budget(latency=text).latency_ms > 0
    except InputError as error:
        assert "latency budget" in str(error)


def test_a_budget_reads_as_its_limits():
    assert str(Budget(latency_ms=30, weight_bytes=2**21)) == (
        "latency <= 30 ms, weight memory <= 2.00 MiB"
    )
    assert str(Budget()) == "no budget"
