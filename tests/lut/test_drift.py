from dataclasses import replace

import pytest

from hot.errors import LutError
from hot.lut import sentinel_drift
from hot.lut.drift import drifted_segments, reference_timing, relative_drift


def test_the_reference_is_the_median_of_all_timings():
    timings = {0: {"a": 1.0}, 1: {"a": 1.1}, 2: {"a": 9.0}}
    assert reference_timing(timings) == {"a": 1.1}


def test_the_drift_is_the_median_over_sentinels():
    assert relative_drift(
        {"a": 1.0, "b": 1.0, "c": 1.0}, {"a": 1.2, "b": 1.2, "c": 7.0}
    ) == pytest.approx(0.2)


def test_segments_on_both_sides_of_a_moved_timing_are_drifted():
    timings = {n: {"a": 2.0 if n == 3 else 1.0} for n in range(7)}
    assert drifted_segments(timings) == {2, 3}


def test_a_steady_device_has_no_drifted_segment():
    assert drifted_segments({n: {"a": 1.0 + 0.01 * (n % 2)} for n in range(5)}) == set()


def test_a_lut_that_holds_gives_no_warning(tiny, tiny_lut, reference, caplog):
    assert sentinel_drift(tiny_lut, tiny, reference) == pytest.approx(0.0)
    assert not caplog.records


def test_a_lut_that_no_longer_holds_warns_with_the_figure(tiny, tiny_lut, reference, caplog):
    fast = replace(tiny_lut, sentinels={k: v / 1.5 for k, v in tiny_lut.sentinels.items()})
    assert sentinel_drift(fast, tiny, reference) == pytest.approx(0.5)
    assert "50 % slower" in caplog.text


def test_a_lut_without_sentinels_says_that_its_drift_is_unknown(tiny, tiny_lut, reference, caplog):
    assert sentinel_drift(replace(tiny_lut, sentinels={}), tiny, reference) == 0.0
    assert "has no sentinels" in caplog.text


def test_a_lut_of_another_device_is_refused(tiny, tiny_lut, reference):
    other = replace(tiny_lut, device=replace(tiny_lut.device, fingerprint={"model": "other"}))
    with pytest.raises(LutError):
        sentinel_drift(other, tiny, reference)
