from dataclasses import replace

import pytest

from hot.errors import LutError
from hot.lut import compare_luts
from hot.space import load_space


def scaled(lut, factor, only=None):
    """The LUT with the latencies of some work keys, or all, times `factor`."""
    entries = {
        key: replace(entry, latency_ms=entry.latency_ms * factor)
        if only is None or only(key)
        else entry
        for key, entry in lut.entries.items()
    }
    return replace(lut, entries=entries, corrected=None)


def test_half_the_time_everywhere_is_a_ratio_of_one_half_everywhere(tiny, tiny_lut):
    found = compare_luts(tiny_lut, scaled(tiny_lut, 0.5), tiny)
    for slot in found.slots:
        for choice, ratio in slot.ratios.items():
            assert ratio is None if choice == "skip" else ratio == pytest.approx(0.5)
        assert slot.fastest[0] == slot.fastest[1]
    assert found.median_ratio == pytest.approx(0.5)
    assert found.spearman == pytest.approx(1.0)
    assert found.original_ms[1] == pytest.approx(0.5 * found.original_ms[0])
    assert found.fixed_ms[1] == pytest.approx(0.5 * found.fixed_ms[0])


def test_what_got_slower_is_seen_at_its_own_operator_alone(tiny, tiny_lut):
    slower = scaled(tiny_lut, 10.0, lambda key: key.startswith("fused"))
    found = compare_luts(tiny_lut, slower, tiny)
    ratios = {choice: ratio for slot in found.slots[:2] for choice, ratio in slot.ratios.items()}
    assert {round(ratios[c], 6) for c in ("fused-e2-k3", "fused-e2-k5")} == {10.0}
    assert {round(ratios[c], 6) for c in ("ir-e1-k3", "ir-e2-k3")} == {1.0}
    assert not any(slot.fastest[1].startswith("fused") for slot in found.slots)


def test_tables_that_rank_the_other_way_have_a_negative_spearman(tiny, tiny_lut):
    most = max(entry.latency_ms for entry in tiny_lut.entries.values())
    entries = {
        key: replace(entry, latency_ms=most - entry.latency_ms)
        for key, entry in tiny_lut.entries.items()
    }
    found = compare_luts(tiny_lut, replace(tiny_lut, entries=entries, corrected=None), tiny)
    assert found.spearman < 0


def test_tables_of_two_spaces_are_not_compared(tiny, tiny_lut):
    with pytest.raises(LutError, match="the LUT was made for the space"):
        compare_luts(tiny_lut, tiny_lut, load_space("digits"))
