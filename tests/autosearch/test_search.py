"""AutoSearch on real spaces: what it picks is what an exhaustive search picks."""

import logging
import math
from dataclasses import replace

import numpy as np
import pytest

from hot.autosearch import OBJECTIVES, Tables, autosearch, baseline, build_program
from hot.errors import InfeasibleError, InputError, LutError
from hot.records import (
    Budget,
    Candidate,
    DeviceInfo,
    LatencyTable,
    LeftOut,
    PairTerm,
    QualityTable,
    from_document,
    parse_quality,
    to_document,
)
from hot.space import load_space

SPACE = load_space("resnet18")  # 14 choices at each of four slots: small enough to list
DEVICE = DeviceInfo("analytic", "estimated", ("fp32",), {"made": "for tests"})


def make_table(space=SPACE, seed=0, **changes):
    """Latencies in tenths of a ms, so that sums are exact decimals; energy is 5 mJ a ms."""
    rng = np.random.default_rng(seed)
    rows = tuple(
        tuple(float(x) / 10 for x in rng.integers(1, 40, len(slot.choices))) for slot in space.slots
    )
    energy = tuple(tuple(5 * x for x in row) for row in rows)
    table = LatencyTable(space.key, DEVICE, "fp32", "isolated", rows, 0.7, energy, 3.5)
    return replace(table, **changes)


def tenths(table, architecture):
    """The latency of a whole network in tenths of a ms, as an integer."""
    rows = zip(table.latency_ms, SPACE.indices(architecture), strict=True)
    return 7 + sum(round(10 * row[i]) for row, i in rows)


def spread(rows, fixed, join=np.add):
    """The cost of every architecture, one axis a slot."""
    total = np.array(fixed)
    for row in rows:
        total = join(total[..., None], np.array(row))
    return total


def count_all(read, join=np.add):
    rows = [[read(SPACE.count_choice(s, c)) for c in s.choices] for s in SPACE.slots]
    return spread(rows, read(SPACE.fixed_counts), join)


MACS = count_all(lambda counts: counts.macs)
PARAMS = count_all(lambda counts: counts.params)
WEIGHTS = count_all(lambda counts: counts.weight_bytes("fp32"))
PEAKS = count_all(lambda counts: counts.activation_bytes("fp32"), np.maximum)


def all_tenths(table):
    rows = [[round(10 * x) for x in row] for row in table.latency_ms]
    return spread(rows, 7)


def list_all(table, budget, cost):
    """Keys of the eight architectures within the budget of least cost, ties by indices."""
    amounts = {
        "latency_ms": all_tenths(table) / 10,
        "energy_mj": all_tenths(table) / 2,
        "macs": MACS,
        "weight_bytes": WEIGHTS,
        "activation_bytes": PEAKS,
    }
    fits = np.ones(MACS.shape, dtype=bool)
    for name, amount in amounts.items():
        if getattr(budget, name) is not None:
            fits &= amount <= getattr(budget, name)
    places = np.flatnonzero(fits.ravel())
    places = places[np.argsort(cost.ravel()[places], kind="stable")][:8]
    indices = [tuple(map(int, np.unravel_index(p, MACS.shape))) for p in places]
    return [SPACE.architecture(i).key for i in indices]


BUDGETS = [
    Budget(latency_ms=4.0),
    Budget(latency_ms=6.0, weight_bytes=20_000_000),
    Budget(weight_bytes=15_000_000, activation_bytes=6_000_000),
    Budget(latency_ms=7.5, weight_bytes=25_000_000, activation_bytes=7_000_000, macs=1.5e9),
    Budget(energy_mj=40.0, macs=1e9),
    Budget(latency_ms=0.8),
]


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
@pytest.mark.parametrize("objective", sorted(OBJECTIVES))
def test_the_picks_are_those_of_an_exhaustive_search(budget, objective):
    table = make_table()
    costs = {"accuracy": -MACS, "latency": all_tenths(table), "energy": all_tenths(table)}
    wanted = list_all(table, budget, costs[objective])
    if not wanted:
        with pytest.raises(InfeasibleError):
            autosearch(SPACE, table, budget, objective)
        return
    picks = autosearch(SPACE, table, budget, objective)
    assert [pick.architecture for pick in picks] == wanted
    assert [pick.rank for pick in picks] == list(range(1, len(wanted) + 1))
    assert all(pick.is_proven for pick in picks)


def test_predictions_are_those_of_the_whole_network():
    table = make_table()
    pick = autosearch(SPACE, table, Budget(latency_ms=6.0), k=1)[0]
    architecture = SPACE.parse(pick.architecture)
    counts = SPACE.counts(architecture)
    assert pick.predicted.latency_ms == pytest.approx(tenths(table, architecture) / 10)
    assert pick.predicted.energy_mj == pytest.approx(tenths(table, architecture) / 2)
    assert pick.predicted.macs == counts.macs and pick.predicted.params == counts.params
    assert pick.predicted.weight_bytes == counts.weight_bytes("fp32")
    assert pick.value == pick.predicted.quality == counts.macs
    assert pick.name == "accuracy-1" and pick.space == SPACE.key


def test_the_least_latency_keeps_the_quality_asked_for():
    table = make_table()
    least = float(SPACE.counts(SPACE.original).macs)
    picks = autosearch(SPACE, table, Budget(), "latency", min_quality=least, k=3)
    costs = np.where(least <= MACS, all_tenths(table), 10**6)
    assert [pick.architecture for pick in picks] == list_all(table, Budget(), costs)[:3]
    assert [round(10 * pick.value) for pick in picks] == np.sort(costs.ravel())[:3].tolist()


def test_any_quality_table_takes_the_place_of_macs():
    rng = np.random.default_rng(1)
    rows = tuple(tuple(rng.integers(0, 50, len(s.choices)).tolist()) for s in SPACE.slots)
    quality = QualityTable(SPACE.key, "test", rows, fixed=100.0)
    pick = autosearch(SPACE, None, Budget(), quality=quality, k=1)[0]
    assert pick.value == 100 + sum(map(max, rows))
    assert pick.predicted.latency_ms is None and pick.predicted.energy_mj is None


def test_the_head_counts_against_the_memory_budget():
    # M_budget = M_max - M_head: a budget of just stem, head and the smallest blocks has one answer.
    smallest = int(WEIGHTS.min())
    assert autosearch(SPACE, None, Budget(weight_bytes=smallest), k=1)
    with pytest.raises(InfeasibleError, match="weight memory") as caught:
        autosearch(SPACE, None, Budget(weight_bytes=smallest - 1), k=1)
    assert caught.value.nearest == {"weight_bytes": float(smallest)}


def test_int8_networks_take_the_bytes_of_int8():
    table = make_table(precision="int8")
    pick = autosearch(SPACE, table, Budget(), k=1)[0]
    counts = SPACE.counts(SPACE.parse(pick.architecture))
    assert pick.predicted.weight_bytes == counts.weight_bytes("int8")
    assert pick.predicted.activation_bytes == counts.activation_bytes("int8")


def make_quality(seed=1, **changes):
    rng = np.random.default_rng(seed)
    rows = tuple(tuple(map(float, rng.integers(0, 50, len(s.choices)))) for s in SPACE.slots)
    return replace(QualityTable(SPACE.key, "test", rows), **changes)


def test_pair_terms_of_both_tables_are_in_the_picks_and_in_their_predictions():
    rng = np.random.default_rng(2)
    n = len(SPACE.slots[0].choices)

    def pairs(size):
        return tuple(
            PairTerm(
                s, int(rng.integers(n)), s + 1, int(rng.integers(n)), float(rng.integers(size))
            )
            for s in range(3)
            for _ in range(40)
        )

    quality, table = make_quality(pairs=pairs(30)), make_table(pairs=pairs(4))
    value, cost = spread(quality.values, 0.0), spread(table.latency_ms, 0.7)
    for total, terms in ((value, quality.pairs), (cost, table.pairs)):
        for pair in terms:
            place = [slice(None)] * 4
            place[pair.slot], place[pair.other_slot] = pair.choice, pair.other_choice
            total[tuple(place)] += pair.value
    budget = Budget(latency_ms=7.95)
    best = np.sort(value[cost <= 7.95])[::-1][:5]
    picks = autosearch(SPACE, table, budget, quality=quality, k=5)
    assert [pick.value for pick in picks] == best.tolist()
    for pick in picks:
        place = tuple(SPACE.indices(SPACE.parse(pick.architecture)))
        assert pick.predicted.quality == value[place]
        assert pick.predicted.latency_ms == pytest.approx(cost[place])


def leave_out(quality, slot, choice):
    row = tuple(None if j == choice else v for j, v in enumerate(quality.values[slot]))
    values = (*quality.values[:slot], row, *quality.values[slot + 1 :])
    where = SPACE.slots[slot]
    reason = LeftOut(where.name, where.keys[choice], "training diverged")
    return replace(quality, values=values, left_out=(*quality.left_out, reason))


@pytest.mark.parametrize("objective", ["accuracy", "latency"])
def test_a_choice_without_a_score_is_never_picked_and_the_reason_is_told(objective, caplog):
    quality, table = make_quality(), make_table()
    costs = {"accuracy": -spread(quality.values, 0), "latency": all_tenths(table)}[objective]
    first = SPACE.indices(SPACE.parse(list_all(table, Budget(latency_ms=9.0), costs)[0]))[0]
    costs[first] = 10**6
    with caplog.at_level(logging.WARNING):
        picks = autosearch(
            SPACE, table, Budget(latency_ms=9.0), objective, quality=leave_out(quality, 0, first)
        )
    assert [p.architecture for p in picks] == list_all(table, Budget(latency_ms=9.0), costs)
    assert "never picked: training diverged" in caplog.text
    assert SPACE.slots[0].keys[first] in caplog.text


def test_an_infeasible_search_names_what_was_left_out():
    quality = leave_out(make_quality(), 1, 3)
    with pytest.raises(InfeasibleError, match=r"could not be scored.*training diverged"):
        autosearch(SPACE, make_table(), Budget(latency_ms=0.8), quality=quality)


def test_a_slot_without_any_score_is_named():
    quality = make_quality()
    for j in range(len(SPACE.slots[2].choices)):
        quality = leave_out(quality, 2, j)
    with pytest.raises(InputError, match=f"{SPACE.slots[2].name}.*training diverged"):
        autosearch(SPACE, make_table(), Budget(), quality=quality)


def test_a_baseline_that_could_not_be_scored_has_no_value_and_says_why():
    original = SPACE.indices(SPACE.original)[1]
    tables = Tables(SPACE, make_table(), leave_out(make_quality(), 1, original))
    base = baseline(tables)
    assert base.value is None and base.predicted.quality is None
    assert "training diverged" in base.notes[0]
    assert baseline(tables, "latency").value == pytest.approx(
        tenths(make_table(), SPACE.original) / 10
    )
    with pytest.raises(InputError, match="could not be scored"):
        parse_quality("90%", base.predicted)
    assert from_document(to_document(base), Candidate, "here") == base


def test_picks_apart_are_the_greedy_sequence_and_fewer_are_said_to_be_all(caplog):
    quality = make_quality()
    order = np.argsort(-spread(quality.values, 0).ravel(), kind="stable")
    wanted = []
    for place in order:
        here = np.array(np.unravel_index(place, MACS.shape))
        if all((here != other).sum() >= 3 for other in wanted):
            wanted.append(here)
        if len(wanted) == 6:
            break
    picks = autosearch(SPACE, None, Budget(), quality=quality, k=6, min_distance=3)
    assert [p.architecture for p in picks] == [
        SPACE.architecture(tuple(map(int, w))).key for w in wanted
    ]
    n = len(SPACE.slots[0].choices)  # no more than n networks can differ in every slot
    with caplog.at_level(logging.WARNING):
        picks = autosearch(SPACE, None, Budget(), quality=quality, k=n + 1, min_distance=4)
    assert len(picks) <= n
    assert f"only {len(picks)} picks, not {n + 1}" in caplog.text
    with pytest.raises(InputError, match="differ in 1 to 4 slots, not 5"):
        autosearch(SPACE, None, Budget(), min_distance=5)


def test_a_pick_with_a_fraction_of_the_parameters_carries_a_warning(caplog):
    assert PARAMS.min() < SPACE.counts(SPACE.original).params / 2
    rows = tuple(
        tuple(-float(SPACE.count_choice(s, c).params) for c in s.choices) for s in SPACE.slots
    )
    quality = QualityTable(SPACE.key, "fewest parameters", rows)
    with caplog.at_level(logging.WARNING):
        picks = autosearch(SPACE, None, Budget(), quality=quality, k=2)
    assert "parameters" in picks[0].notes[0] and "parameters" in caplog.text
    assert not baseline(Tables(SPACE)).notes


def test_the_baseline_is_the_original_with_rank_0():
    table = make_table()
    base = baseline(Tables(SPACE, table), "latency")
    assert base.name == "baseline" and base.rank == 0 and not base.is_proven
    assert base.architecture == SPACE.original.key
    assert base.value == pytest.approx(tenths(table, SPACE.original) / 10)


def test_a_nan_in_a_table_is_named_with_slot_and_choice():
    table = make_table()
    rows = ((math.nan, *table.latency_ms[0][1:]), *table.latency_ms[1:])
    slot = SPACE.slots[0]
    with pytest.raises(InputError, match=rf"{slot.keys[0]}.*{slot.name}.*nan"):
        autosearch(SPACE, replace(table, latency_ms=rows), Budget(latency_ms=5.0))


def test_tables_of_another_space_are_refused():
    other = load_space("resnet18", width=0.7)
    with pytest.raises(LutError, match="made for the space"):
        autosearch(SPACE, make_table(other), Budget())
    quality = QualityTable(other.key, "x", make_table(other).latency_ms)
    with pytest.raises(InputError, match="made for the space"):
        autosearch(SPACE, None, Budget(), quality=quality)


def test_what_the_tables_do_not_tell_is_asked_for():
    with pytest.raises(InputError, match="hot build-lut"):
        autosearch(SPACE, None, Budget(latency_ms=5.0))
    mute = make_table(energy_mj=None, fixed_energy_mj=None)
    with pytest.raises(InputError, match="energy"):
        autosearch(SPACE, mute, Budget(), "energy")
    with pytest.raises(InputError, match="did you mean 'latency'"):
        autosearch(SPACE, mute, Budget(), "latencyy")
    with pytest.raises(InputError, match=f"only {SPACE.size} architectures"):
        autosearch(SPACE, mute, Budget(), k=SPACE.size + 1)


def test_the_program_has_one_limit_a_budget_in_the_users_units():
    program = build_program(Tables(SPACE, make_table()), BUDGETS[3])
    assert [limit.name for limit in program.limits] == [
        "latency_ms",
        "weight_bytes",
        "macs",
        "activation_bytes",
    ]
    assert program.size == SPACE.size


@pytest.mark.parametrize("name", ["mobilenetv2", "mobilenetv2_32", "digits"])
def test_every_shipped_space_is_searched_in_no_time(name):
    space = load_space(name)
    table = make_table(space)
    budget = Budget(latency_ms=make_budget(table))
    picks = autosearch(space, table, budget)
    assert len({pick.architecture for pick in picks}) == 8
    values = [pick.value for pick in picks]
    assert values == sorted(values, reverse=True)
    assert all(pick.predicted.latency_ms <= budget.latency_ms + 1e-9 for pick in picks)


def make_budget(table):
    return 0.7 + sum(0.7 * min(row) + 0.3 * max(row) for row in table.latency_ms)


@pytest.mark.parametrize("seed", range(20))
def test_a_network_fits_a_budget_of_just_what_it_takes(seed):
    space = load_space("mobilenetv2_32")
    rng = np.random.default_rng(seed)
    rows = tuple(tuple(float(x) for x in rng.random(len(slot.choices))) for slot in space.slots)
    table = LatencyTable(space.key, DEVICE, "fp32", "isolated", rows, float(rng.random()))
    values = tuple(
        tuple(float(choice == slot.original) for choice in slot.choices) for slot in space.slots
    )
    limit = Budget(latency_ms=table.predict_ms(space, space.original))
    quality = QualityTable(space.key, "the original is best", values)
    (pick,) = autosearch(space, table, limit, quality=quality, k=1)
    assert pick.architecture == space.original.key
