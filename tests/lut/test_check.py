from dataclasses import replace

import numpy as np
import pytest

from hot.errors import LutError
from hot.lut import check_lut, check_luts
from hot.lut.check import compare
from hot.records import LutEntry


def test_a_right_lut_has_no_error_and_orders_all_networks(tiny, tiny_lut, reference):
    # The layout took up to 12 of the 32 networks and the sentinels up to 3.
    result = check_lut(tiny_lut, tiny, reference, n=10)
    assert result.n_networks == 10
    assert result.mean_error < 0.01
    assert result.spearman > 0.95


def test_networks_of_the_build_and_sentinels_are_not_used(tiny, tiny_lut, reference):
    result = check_lut(tiny_lut, tiny, reference, n=10)
    assert not set(result.architectures) & {*tiny_lut.jobs, *tiny_lut.sentinels}
    assert len(set(result.architectures)) == 10


def test_a_lut_twice_too_slow_is_off_by_all_of_it(tiny, tiny_lut, reference):
    double = {k: LutEntry(2 * e.latency_ms) for k, e in tiny_lut.entries.items()}
    right, wrong = check_luts([tiny_lut, replace(tiny_lut, entries=double)], tiny, reference, n=8)
    assert right.measured_ms == wrong.measured_ms
    assert wrong.mean_error == pytest.approx(1.0, abs=0.02)
    assert wrong.bias == pytest.approx(1.0, abs=0.02)


def test_the_errors_are_those_worked_out_by_hand(tiny):
    networks = tuple(tiny.enumerate())[:3]
    result = compare(networks, [1.1, 1.8, 3.0], (1.0, 2.0, 3.0), seed=4)
    assert result.mean_error == pytest.approx(0.2 / 3)
    assert result.worst_error == pytest.approx(0.1)
    assert result.bias == pytest.approx(0.0)
    assert result.spearman == pytest.approx(1.0)
    assert np.allclose(result.predicted_ms, [1.1, 1.8, 3.0])


def test_more_networks_than_the_space_holds_are_refused(tiny, tiny_lut, reference):
    with pytest.raises(LutError, match="ask for fewer"):
        check_lut(tiny_lut, tiny, reference, n=32)


def test_a_lut_of_another_device_is_refused(tiny, tiny_lut, reference):
    other = replace(tiny_lut, device=replace(tiny_lut.device, fingerprint={"model": "other"}))
    with pytest.raises(LutError, match="this device is"):
        check_lut(other, tiny, reference, n=5)
