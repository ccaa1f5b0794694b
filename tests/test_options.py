import json

import pytest
from click.testing import CliRunner

from hot.cli import hot
from hot.devices import DEVICES, DeviceRow
from hot.errors import InputError
from hot.options import make_target


class Board:
    """A device with options of two kinds."""

    def __init__(self, threads=1, memory_mode="shared", trials=0):
        self.options = (threads, memory_mode, trials)


@pytest.fixture(autouse=True)
def board(monkeypatch):
    monkeypatch.setitem(DEVICES, "board", DeviceRow(Board, "estimated", "a board"))


def test_options_of_the_device_go_with_its_threads():
    made = make_target("board", 2, ["memory-mode=dedicated", "trials = 8"])
    assert made.options == (2, "dedicated", 8)
    assert make_target("board", None).options == (1, "shared", 0)


def test_a_value_may_hold_an_equals_sign():
    assert make_target("board", None, ["memory_mode=a=b"]).options == (1, "a=b", 0)


@pytest.mark.parametrize("pair", ["trials", "trials=", "=8", ""])
def test_an_option_without_key_or_value_is_refused(pair):
    with pytest.raises(InputError, match="--device-option takes KEY=VALUE"):
        make_target("board", None, [pair])


def test_an_option_given_twice_is_refused():
    with pytest.raises(InputError, match="'trials' of the device 'board' is given twice"):
        make_target("board", None, ["trials=1", "trials=2"])
    with pytest.raises(InputError, match="'threads' of the device 'board' is given twice"):
        make_target("board", 2, ["threads=2"])


def test_an_unknown_option_is_refused_with_the_known_ones():
    with pytest.raises(
        InputError, match="'board' has no option 'trial'; it has memory_mode, threads, trials"
    ):
        make_target("board", None, ["trial=8"])


def test_a_finished_lut_refuses_options_of_a_device():
    done = CliRunner().invoke(hot, ["autosearch", "--lut", "any", "--device-option", "trials=8"])
    assert done.exit_code == 2
    assert "--device-option has no effect on a finished LUT" in done.output


def test_devices_tell_options_and_what_is_missing(monkeypatch):
    lacking = DeviceRow(Board, "measured", "another", lambda: "no board on any port; connect one")
    monkeypatch.setitem(DEVICES, "absent", lacking)
    document = json.loads(CliRunner().invoke(hot, ["devices", "--json"]).stdout)
    rows = {row["name"]: row for row in document["devices"]}
    assert rows["board"]["missing"] is None
    assert rows["board"]["options"] == {"threads": 1, "memory_mode": "shared", "trials": 0}
    assert rows["absent"]["missing"] == "no board on any port; connect one"
