"""A LUT becomes a table only when it is whole and belongs to the space and the device."""

import math
from dataclasses import replace

import pytest

from hot.errors import LutError
from hot.records import HEAD, STEM, DeviceInfo, Lut, LutEntry
from hot.space import load_space

SPACE = load_space("digits")
DEVICE = DeviceInfo("cpu", "measured", ("fp32",), {"threads": "1"})


def make_lut(**changes):
    keys = {c.work_key(layer) for s in SPACE.slots for c in s.choices for layer in s.layers}
    entries = {key: LutEntry(0.5) for key in (*keys, STEM, HEAD)} | changes
    return Lut(SPACE.key, DEVICE, "fp32", 16, "isolated", entries)


def test_the_prediction_is_the_sum_of_entries():
    table = make_lut().table(SPACE)
    assert table.predict_ms(SPACE, SPACE.original) == pytest.approx(0.5 * (5 + 2))
    assert table.energy_mj is None


def test_repeated_layers_add_up():
    space = load_space("mobilenetv2")
    keys = {c.work_key(layer) for s in space.slots for c in s.choices for layer in s.layers}
    entries = {key: LutEntry(1.0, energy_mj=2.0) for key in (*keys, STEM, HEAD)}
    table = Lut(space.key, DEVICE, "fp32", 224, "isolated", entries).table(space)
    assert [row[0] for row in table.latency_ms] == [1, 2, 3, 4, 3, 3, 1]
    assert table.energy_mj[3][0] == 8.0 and table.fixed_energy_mj == 4.0


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_an_entry_that_is_no_latency_is_refused(value):
    key = SPACE.slots[1].choices[0].work_key(SPACE.slots[1].layers[0])
    with pytest.raises(LutError, match=key):
        make_lut(**{key: LutEntry(value)}).table(SPACE)


def test_a_missing_entry_is_named_and_never_zero():
    lut = make_lut()
    entries = {k: v for k, v in lut.entries.items() if k != HEAD}
    with pytest.raises(LutError, match="no entry 'head'"):
        replace(lut, entries=entries).table(SPACE)


def test_a_lut_of_another_space_or_device_is_refused_with_both_shown():
    other = load_space("digits", width=0.7)
    with pytest.raises(LutError) as error:
        make_lut().table(other)
    assert SPACE.key in str(error.value) and other.key in str(error.value)
    elsewhere = DeviceInfo("cpu", "measured", ("fp32",), {"threads": "2"})
    with pytest.raises(LutError, match=r"threads: 1 \| 2"):
        make_lut().require(SPACE, elsewhere)
