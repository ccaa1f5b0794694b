import pytest

from hot.devices import DEVICES, known_devices, make_device
from hot.errors import InputError


def test_descriptions_are_devices_of_their_own_name():
    assert {"cpu", "analytic", "stm32h743", "gap8", "reference"} <= known_devices().keys()
    assert make_device("stm32h743").describe().name == "stm32h743"


def test_the_analytic_device_takes_a_description_by_name():
    assert make_device("analytic", description="gap8").describe().name == "gap8"


def test_options_may_be_text():
    assert make_device("cpu", threads="1").describe().fingerprint["threads"] == "1"


def test_a_wrong_name_gets_the_near_match():
    with pytest.raises(InputError, match="did you mean 'stm32h743'"):
        make_device("stm32h734")


def test_a_wrong_option_gets_the_known_ones():
    with pytest.raises(InputError, match="no option 'thread'; it has threads"):
        make_device("cpu", thread=2)
    with pytest.raises(InputError, match="it has none"):
        make_device("gap8", description="stm32h743")


def test_an_option_of_the_wrong_form_is_refused():
    with pytest.raises(InputError, match="'threads' of the device 'cpu' must be int, not 'many'"):
        make_device("cpu", threads="many")


def test_every_row_tells_its_kind_as_its_device_does():
    for name, row in known_devices().items():
        assert row.make().describe().kind == row.kind, name
    assert DEVICES["cpu"].kind == "measured"
