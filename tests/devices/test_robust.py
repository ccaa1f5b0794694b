import numpy as np
import pytest

from hot.devices.robust import midmean, robust_median, robust_spread


def test_a_third_of_disturbed_samples_moves_neither_median_nor_spread_far():
    rng = np.random.default_rng(0)
    clean = rng.normal(10.0, 0.2, 2000)
    dirty = np.concatenate([clean, np.full(600, 1000.0)])
    assert robust_median(dirty) == pytest.approx(10.0, rel=0.02)
    assert robust_spread(dirty) == pytest.approx(0.02, rel=0.6)


def test_spread_of_normal_noise_is_its_relative_standard_deviation():
    samples = np.random.default_rng(1).normal(5.0, 0.5, 20_000)
    assert robust_spread(samples) == pytest.approx(0.1, rel=0.05)


def test_equal_samples_have_no_spread():
    assert robust_spread([3.0, 3.0, 3.0]) == 0.0


def test_midmean_of_one_sample_is_the_sample():
    assert midmean([7.0]) == 7.0


def test_midmean_sees_fractions_that_a_median_of_whole_numbers_cannot():
    assert midmean([1, 1, 1, 2, 2, 2, 2, 2]) == pytest.approx(1.75)
