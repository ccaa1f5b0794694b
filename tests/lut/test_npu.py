"""LUTs of a device whose compiler estimates: its rows add up, its blocks only in some systems."""

import os
from dataclasses import replace

import pytest

from hot.devices import known_devices, make_device
from hot.lut import build_lut, check_lut, find_luts, load_lut

MISSING = known_devices()["ethos-u55-128"].missing()
NEEDS_VELA = pytest.mark.skipif(
    MISSING is not None and os.environ.get("CI") != "true", reason=str(MISSING)
)


class InContext:
    """The reference device, which says that blocks alone do not add up on it."""

    def __init__(self):
        self.inner = make_device("reference")
        self.measure, self.measure_all = self.inner.measure, self.inner.measure_all

    def describe(self):
        return replace(self.inner.describe(), method="in-context")


def test_a_device_says_which_method_suits_it(tiny, tmp_path):
    assert build_lut(tiny, InContext(), store=tmp_path / "a.db").method == "in-context"
    alone = build_lut(tiny, InContext(), method="isolated", store=tmp_path / "a.db")
    assert alone.method == "isolated"


@NEEDS_VELA
def test_the_default_system_is_filled_from_blocks_alone(tiny, tmp_path):
    device = make_device("ethos-u55-128")
    lut = build_lut(tiny, device, "int8", store=tmp_path / "luts.db")
    assert lut.method == "isolated"
    check = check_lut(lut, tiny, device, 3)
    assert check.mean_error < 0.2  # of maps of 8x8; see the test below for real ones


@NEEDS_VELA
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ethos-u85-256", {"memory_mode": "Dedicated_Sram_384KB"}),
        ("ethos-u55-128", {"optimise": "Size"}),
    ],
)
def test_where_blocks_do_not_add_up_rows_of_whole_networks_do(tiny, tmp_path, name, options):
    device = make_device(name, **options)
    lut = build_lut(tiny, device, "int8", store=tmp_path / "luts.db")
    assert lut.method == "in-context"
    assert lut.unnamed_share == 0.0
    assert check_lut(lut, tiny, device, 4).mean_error < 0.03


@pytest.mark.parametrize("name", [name for name in find_luts() if name.startswith("ethos-u")])
def test_every_shipped_lut_says_how_well_it_predicts_whole_networks(name):
    lut = load_lut(find_luts()[name])
    assert lut.device.kind == "estimated"
    assert lut.check.n_networks == 30
    assert lut.check.spearman > 0.99
    assert lut.check.mean_error <= 0.02
