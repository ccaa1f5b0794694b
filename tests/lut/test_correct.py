"""Corrections find what was planted in the measurements, and change nothing where nothing is."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from hot.lut import check
from hot.lut.correct import correct_latency, fit_correction, merge_pairs
from hot.records import DeviceInfo, LatencyTable, PairTerm
from hot.space import load_space

N_CHOICES = (3, 4, 3, 5, 3, 4)


def draw(n, seed, noise=0.01):
    """Random networks, an additive table, and what it predicts of them."""
    rng = np.random.default_rng(seed)
    rows = [rng.uniform(1.0, 3.0, size) for size in N_CHOICES]
    networks = np.stack([rng.integers(0, size, n) for size in N_CHOICES], axis=1)
    predicted = sum(row[networks[:, slot]] for slot, row in enumerate(rows))
    return rows, networks, predicted, noise * rng.standard_normal(n)


def apply(found, predicted, networks):
    """A correction on other networks, written out."""
    values = []
    for p, x in zip(predicted, networks, strict=True):
        value = found.scale * p + found.offset
        value += sum(row[i] for row, i in zip(found.deltas, x, strict=True))
        for pair in found.pairs:
            if x[pair.slot] == pair.choice and x[pair.other_slot] == pair.other_choice:
                value += pair.value
        values.append(value)
    return np.array(values)


def test_a_planted_offset_and_scale_are_found():
    _, networks, predicted, noise = draw(20, 0)
    found = fit_correction(N_CHOICES, predicted, networks, 0.5 + 0.7 * predicted + noise)
    assert found.scale == pytest.approx(0.7, abs=0.02)
    assert found.offset == pytest.approx(0.5, abs=0.3)
    assert found.error_after < 0.05 * found.error_before


def test_planted_main_effects_are_found_and_carry_to_other_networks():
    _, networks, predicted, noise = draw(80, 1)
    truth = [np.random.default_rng(slot).normal(0, 0.5, n) for slot, n in enumerate(N_CHOICES)]
    effect = sum(row[networks[:, slot]] for slot, row in enumerate(truth))
    measured = predicted + effect + noise
    found = fit_correction(N_CHOICES, predicted[:40], networks[:40], measured[:40])
    error = apply(found, predicted[40:], networks[40:]) - measured[40:]
    assert np.sqrt(np.mean(error**2)) < 0.25 * np.sqrt(np.mean(effect[40:] ** 2))
    assert found.error_after == pytest.approx(np.sqrt(np.mean(error**2)), rel=0.6)


def test_a_planted_pair_is_found_and_has_a_term_of_its_own():
    _, networks, predicted, noise = draw(90, 2)
    hit = (networks[:, 2] == 1) & (networks[:, 3] == 4)
    found = fit_correction(N_CHOICES, predicted, networks, predicted - 2.0 * hit + noise)
    largest = max(found.pairs, key=lambda pair: abs(pair.value))
    assert (largest.slot, largest.choice, largest.other_slot, largest.other_choice) == (2, 1, 3, 4)
    assert largest.value < -1.0


def test_leave_one_out_is_what_refitting_without_the_network_predicts(monkeypatch):
    _, networks, predicted, noise = draw(12, 3, noise=0.3)
    measured = 1.0 + 0.8 * predicted + noise
    only = (3.0, 1.0, 0.3)
    monkeypatch.setattr("hot.lut.correct._candidates", lambda has_pairs: [only])
    monkeypatch.setattr("hot.lut.correct._OFFSET", 1e4)
    whole = fit_correction(N_CHOICES, predicted, networks, measured)
    # the same prior written as a regression of explicit features, each network left out in turn
    slope = (predicted - predicted.mean()) / predicted.std()
    columns = [100.0 * np.ones(12), np.sqrt(3.0) * slope]
    for slot, n in enumerate(N_CHOICES):
        columns += [np.sqrt(1.0 / 6) * (networks[:, slot] == i) for i in range(n)]
    for slot in range(5):
        for i in range(N_CHOICES[slot]):
            for j in range(N_CHOICES[slot + 1]):
                hit = (networks[:, slot] == i) & (networks[:, slot + 1] == j)
                columns.append(np.sqrt(0.3 / 6) * hit)
    features = np.stack(columns, axis=1).astype(float)
    for out in range(12):
        kept = np.arange(12) != out
        a, target = features[kept], (measured - predicted)[kept]
        weights = np.linalg.solve(a.T @ a + np.eye(a.shape[1]), a.T @ target)
        wanted = predicted[out] + features[out] @ weights
        assert whole.predicted[out] == pytest.approx(wanted, abs=1e-4)


def test_noise_alone_leaves_the_table_as_it_is():
    changed = 0
    for seed in range(8):
        _, networks, predicted, noise = draw(20, seed, noise=0.2)
        found = fit_correction(N_CHOICES, predicted, networks, predicted + noise)
        moved = apply(found, predicted, networks) - predicted
        changed += np.sqrt(np.mean(moved**2)) > 0.2
    assert changed == 0


@pytest.mark.parametrize("n", [0, 3])
def test_too_few_networks_change_nothing(n):
    _, networks, predicted, _ = draw(n, 4)
    found = fit_correction(N_CHOICES, predicted, networks, predicted + 5)
    assert (found.scale, found.offset, found.pairs) == (1.0, 0.0, ())
    assert not any(map(any, found.deltas))


def test_a_table_is_never_turned_round():
    _, networks, predicted, noise = draw(30, 5)
    found = fit_correction(N_CHOICES, predicted, networks, -predicted + noise)
    assert found.scale == pytest.approx(0.1)


def test_numbers_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="finite"):
        fit_correction((2,), [1.0, 2.0], [[0], [1]], [1.0, float("nan")])


def test_earlier_pairs_are_scaled_and_joined_with_new_ones():
    old = (PairTerm(0, 1, 1, 2, 4.0), PairTerm(1, 0, 2, 0, 1.0))
    new = (PairTerm(0, 1, 1, 2, 0.5),)
    assert merge_pairs(old, 0.5, new) == (PairTerm(0, 1, 1, 2, 2.5), PairTerm(1, 0, 2, 0, 0.5))


def test_a_latency_table_is_corrected_by_the_networks_of_its_check():
    space = load_space("digits")
    rng = np.random.default_rng(6)
    rows = tuple(tuple(rng.uniform(0.1, 1.0, len(s.choices)).tolist()) for s in space.slots)
    info = DeviceInfo("test", "estimates", ("fp32",), {})
    table = LatencyTable(space.key, info, "fp32", "isolated", rows, 0.3)
    networks = tuple(space.sample(rng) for _ in range(40))
    slow = space.slots[0].choices[0]
    truth = tuple(
        1.2 * table.predict_ms(space, a) + (0.5 if a.choices[0] == slow else 0.0) for a in networks
    )
    before = check.compare(networks, [table.predict_ms(space, a) for a in networks], truth, 0)
    corrected = correct_latency(table, space, before)
    others = [space.sample(rng) for _ in range(40)]
    wanted = [
        1.2 * table.predict_ms(space, a) + (0.5 if a.choices[0] == slow else 0.0) for a in others
    ]
    found = [corrected.predict_ms(space, a) for a in others]
    np.testing.assert_allclose(found, wanted, rtol=0.05)
    assert spearmanr(found, wanted).statistic > 0.99
    assert corrected.check.mean_error < 0.1 * before.mean_error
    assert replace(corrected, check=None).space == space.key
