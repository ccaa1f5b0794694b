"""Fronts of real spaces: what is said at a budget is what a search at that budget picks."""

import dataclasses

import numpy as np
import pytest

from hot.autosearch import autosearch, front
from hot.errors import InfeasibleError, InputError
from hot.records import (
    Budget,
    DeviceInfo,
    Front,
    LatencyTable,
    PairTerm,
    QualityTable,
    load_record,
    save_record,
)
from hot.space import load_space

SPACE = load_space("resnet18")  # 14 choices at each of four slots: small enough to list
DEVICE = DeviceInfo("analytic", "estimated", ("fp32",), {"made": "for tests"})


def make_latency(**changes):
    rng = np.random.default_rng(0)
    rows = tuple(
        tuple(float(x) / 10 for x in rng.integers(1, 90, len(slot.choices))) for slot in SPACE.slots
    )
    energy = tuple(tuple(5 * x for x in row) for row in rows)
    table = LatencyTable(SPACE.key, DEVICE, "fp32", "isolated", rows, 0.7, energy, 3.5)
    return dataclasses.replace(table, **changes)


def make_quality(**changes):
    rng = np.random.default_rng(1)
    rows = tuple(tuple(map(float, rng.integers(0, 99, len(s.choices)))) for s in SPACE.slots)
    return dataclasses.replace(QualityTable(SPACE.key, "test", rows, fixed=7.0), **changes)


def sums(rows, fixed):
    total = np.array(fixed)
    for row in rows:
        total = total[..., None] + np.array(row)
    return total


def list_front(cost, value, fits, highest):
    """(cost, value) of what no architecture within the limits beats in both."""
    points = sorted({(c, -v) for c, v in zip(cost[fits], value[fits], strict=True) if c <= highest})
    kept = []
    for c, minus in points:
        if not kept or -minus > kept[-1][1]:
            kept.append((c, -minus))
    return kept


def tenths(table):
    return sums([[round(10 * x) for x in row] for row in table.latency_ms], 7)


def bytes_of(precision):
    rows = [
        [SPACE.count_choice(s, c).weight_bytes(precision) for c in s.choices] for s in SPACE.slots
    ]
    return sums(rows, SPACE.fixed_counts.weight_bytes(precision))


@pytest.mark.parametrize("memory", [None, 20e6])
def test_the_front_over_latency_is_that_of_an_exhaustive_search(memory):
    table, quality = make_latency(), make_quality()
    found = front(
        SPACE, table, Budget(weight_bytes=memory), "latency", highest=20.0, quality=quality
    )
    weights = bytes_of("fp32")
    fits = weights <= (np.inf if memory is None else memory)
    wanted = list_front(tenths(table), sums(quality.values, 7), fits, 200)
    assert [(round(10 * p.amount), round(p.value)) for p in found.points] == wanted
    assert len(wanted) > 5 and found.is_proven and found.step is None
    assert found.budget == Budget(latency_ms=20.0, weight_bytes=memory)
    for point in found.points:
        assert point.predicted.latency_ms == pytest.approx(point.amount)
        assert point.predicted.quality == point.value
        assert point.predicted.weight_bytes <= (memory or np.inf)


@pytest.mark.parametrize(
    ("resource", "name"), [("memory", "weight_bytes"), ("energy", "energy_mj"), ("macs", "macs")]
)
def test_every_resource_that_adds_up_can_be_swept(resource, name):
    table, quality = make_latency(), make_quality()
    costs = {
        "weight_bytes": bytes_of("fp32"),
        "energy_mj": tenths(table) / 2,
        "macs": sums(
            [[SPACE.count_choice(s, c).macs for c in s.choices] for s in SPACE.slots],
            SPACE.fixed_counts.macs,
        ),
    }[name]
    highest = float(np.quantile(costs, 0.4))
    budget = dataclasses.replace(Budget(latency_ms=15.0), **{name: highest})
    found = front(SPACE, table, budget, resource, quality=quality)
    wanted = list_front(costs, sums(quality.values, 7), tenths(table) <= 150, highest)
    assert [(p.amount, p.value) for p in found.points] == [
        (pytest.approx(c), pytest.approx(v)) for c, v in wanted
    ]
    assert found.resource == name and found.highest == highest


def test_between_two_budgets_every_point_is_the_pick_of_a_search_at_its_amount():
    first = PairTerm(0, 1, 1, 2, -1.3), PairTerm(1, 3, 2, 4, 0.6)
    table = make_latency(pairs=first)
    quality = make_quality(pairs=(PairTerm(0, 2, 3, 5, 20.0), PairTerm(2, 1, 3, 1, -30.0)))
    found = front(SPACE, table, Budget(), lowest=6.0, highest=12.0, quality=quality)
    assert found.points[0].amount <= 6.0 < found.points[1].amount <= 12.0
    for point in found.points:
        pick = autosearch(SPACE, table, Budget(latency_ms=point.amount), quality=quality, k=1)[0]
        assert pick.value == point.value
    least = autosearch(SPACE, table, Budget(latency_ms=6.0), quality=quality, k=1)[0]
    assert found.points[0].value == least.value


def test_a_choice_without_a_score_is_on_no_front():
    values = make_quality().values
    best = max(range(len(values[0])), key=lambda j: values[0][j])
    row = tuple(None if j == best else v for j, v in enumerate(values[0]))
    quality = make_quality(values=(row, *values[1:]))
    found = front(SPACE, make_latency(), Budget(), highest=30.0, quality=quality)
    keys = {SPACE.indices(SPACE.parse(p.architecture))[0] for p in found.points}
    assert found.points and best not in keys


def test_a_front_has_one_file_form(tmp_path):
    found = front(SPACE, make_latency(), Budget(), highest=9.0, quality=make_quality(), step=0.5)
    save_record(tmp_path / "front.json", found)
    assert load_record(tmp_path / "front.json", Front) == found
    assert found.step == 0.5


def test_wrong_sweeps_are_named():
    table = make_latency()
    with pytest.raises(InputError, match="did you mean 'latency'"):
        front(SPACE, table, Budget(), "latencyy", highest=9.0)
    with pytest.raises(InputError, match="needs its highest budget"):
        front(SPACE, table, Budget())
    with pytest.raises(InputError, match="above the lowest"):
        front(SPACE, table, Budget(), lowest=9.0, highest=8.0)
    with pytest.raises(InputError, match="hot build-lut"):
        front(SPACE, None, Budget(), highest=8.0)
    with pytest.raises(InfeasibleError, match=r"latency <= 0\.5 ms"):
        front(SPACE, table, Budget(), highest=0.5)
