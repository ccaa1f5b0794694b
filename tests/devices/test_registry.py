from dataclasses import replace

import pytest

from hot.devices import (
    DEVICES,
    DeviceRow,
    known_devices,
    make_device,
    needs,
    remake_device,
)
from hot.devices.description import description_files
from hot.errors import DeviceError, InputError


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
    with pytest.raises(InputError, match="it has external_memory"):
        make_device("gap8", description="stm32h743")


def test_an_option_of_the_wrong_form_is_refused():
    with pytest.raises(InputError, match="'threads' of the device 'cpu' must be int, not 'many'"):
        make_device("cpu", threads="many")


def test_every_row_that_is_usable_here_tells_its_kind_as_its_device_does():
    for name, row in known_devices().items():
        if row.missing() is None:
            assert row.make().describe().kind == row.kind, name
    assert DEVICES["cpu"].kind == "measured"


def test_every_row_that_is_not_usable_says_so_when_it_is_made_and_how_to_mend_it():
    for name, row in known_devices().items():
        missing = row.missing()
        if missing is not None:
            with pytest.raises(DeviceError, match="cannot be used here") as refused:
                make_device(name)
            assert missing in str(refused.value)


class Waiting:
    """A device with options of every kind."""

    def __init__(self, threads=1, share=0.5, spins=False, name="one"):
        self.options = (threads, share, spins, name)


@pytest.fixture
def waiting(monkeypatch):
    monkeypatch.setitem(DEVICES, "waiting", DeviceRow(Waiting, "measured", "it waits"))


def test_options_take_the_type_of_their_default(waiting):
    made = make_device("waiting", threads="3", share="0.25", spins="on", name="two")
    assert made.options == (3, 0.25, True, "two")
    assert make_device("waiting", spins=False).options == (1, 0.5, False, "one")


def test_an_option_that_is_on_or_off_takes_nothing_else(waiting):
    with pytest.raises(InputError, match="'spins' of the device 'waiting' must be on or off"):
        make_device("waiting", spins="maybe")


def test_what_is_missing_is_named_with_its_install_line(monkeypatch):
    row = DeviceRow(Waiting, "measured", "it waits", needs("npu", "json", "no_such_module"))
    monkeypatch.setitem(DEVICES, "absent", row)
    line = "no_such_module is not installed: pip install 'hot[npu]'"
    with pytest.raises(DeviceError, match="the device 'absent' cannot be used here") as refused:
        make_device("absent", threads=1)
    assert str(refused.value).endswith(line)


def test_a_description_is_still_made_from_its_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(description_files()["gap8"].read_text())
    assert make_device(str(path)).describe().name == "gap8"
    with pytest.raises(InputError, match="no option 'threads'; it has external_memory"):
        make_device(str(path), threads=1)


def test_a_device_is_made_anew_from_its_record():
    info = make_device("cpu", threads=1).describe()
    assert remake_device(info).describe() == info
    with pytest.raises(InputError, match="unknown device"):
        remake_device(replace(info, name="elsewhere"))
