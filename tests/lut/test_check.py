import contextlib
from dataclasses import replace

import numpy as np
import pytest

from hot.errors import LutError
from hot.lut import LutStore, check_lut, check_luts, correct_lut, import_lut, load_lut, save_lut
from hot.lut.check import compare
from hot.pipeline import check_file
from hot.records import LutEntry
from hot.space import SpaceSpec


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


@pytest.fixture
def corrected(tiny, tiny_lut, reference):
    """The LUT, its table corrected by some networks."""
    rising = {k: LutEntry(1.3 * e.latency_ms) for k, e in tiny_lut.entries.items()}
    wrong = replace(tiny_lut, entries=rising)
    found = correct_lut(replace(wrong, check=check_lut(wrong, tiny, reference, n=8)), tiny)
    assert found.corrected is not None
    return found


def test_networks_that_corrected_a_table_do_not_check_it(tiny, corrected, reference):
    again = check_lut(corrected, tiny, reference, n=5)
    assert not set(again.architectures) & set(corrected.check.architectures)


def test_a_corrected_table_of_another_lut_or_of_no_numbers_is_refused(tiny, corrected, tmp_path):
    table = corrected.corrected
    for wrong in (
        replace(table, latency_ms=table.latency_ms[:-1]),
        replace(table, precision="int8"),
    ):
        with pytest.raises(LutError, match="is of another LUT"):
            replace(corrected, corrected=wrong).table(tiny)
    row = (-1.0, *table.latency_ms[0][1:])
    damaged = replace(table, latency_ms=(row, *table.latency_ms[1:]))
    with pytest.raises(LutError, match="no finite number"):
        save_lut(replace(corrected, corrected=damaged), tmp_path)


def test_a_database_keeps_no_verdict_of_a_table_that_it_does_not_keep(tiny, corrected, tmp_path):
    with contextlib.closing(LutStore(tmp_path / "luts.db")) as store:
        key = import_lut(store, save_lut(corrected, tmp_path))
        kept = store.load(key)
    assert (kept.corrected, kept.check) == (None, None)
    assert kept.entries == corrected.entries


def test_the_file_of_a_corrected_lut_changes_only_by_another_correction(
    tiny_file, corrected, reference, tmp_path
):
    path = save_lut(replace(corrected, spec=SpaceSpec(str(tiny_file))), tmp_path)
    before = path.read_bytes()
    told = check_file(str(path), reference, 4, 3, None)
    assert path.read_bytes() == before
    assert told.check.n_networks == 4
    assert told.check.mean_error < 0.05
    check_file(str(path), reference, 8, 3, None, is_correcting=True)
    assert path.read_bytes() != before
    assert load_lut(path).corrected is not None
