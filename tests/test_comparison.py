import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from hot.cli import hot, main
from hot.devices import make_device
from hot.lut import build_lut, save_lut
from hot.space import SpaceSpec, load_spec


@pytest.fixture(scope="module")
def luts(tmp_path_factory):
    """Files of the LUT of an estimated device, and of the same with every latency doubled."""
    folder = tmp_path_factory.mktemp("luts")
    space = load_spec(SpaceSpec("digits"))
    lut = build_lut(space, make_device("reference"), store=folder / "luts.db")
    noted = replace(lut.device, notes=("untuned: many times slower than it could be",))
    entries = {k: replace(e, latency_ms=2 * e.latency_ms) for k, e in lut.entries.items()}
    doubled = replace(lut, entries=entries, device=noted)
    return str(save_lut(lut, folder / "a")), str(save_lut(doubled, folder / "b"))


def test_every_operator_shows_its_ratio(luts):
    done = CliRunner().invoke(hot, ["compare-luts", *luts])
    assert done.exit_code == 0, done.output
    assert "another choice is the fastest in 0 of 5 slots" in done.output
    assert "median ratio of all choices: 2.00" in done.output
    assert "Spearman of the predictions of" in done.output
    assert "energy on reference: modelled" in done.output
    assert "note: reference: untuned: many times slower" in done.output
    rows = [line for line in done.output.splitlines() if "ir-e" in line]
    assert rows
    assert all("2.00" in row for row in rows)


def test_json_holds_both_tables_and_every_choice(luts):
    document = json.loads(CliRunner().invoke(hot, ["compare-luts", *luts, "--json"]).stdout)
    assert document["second"]["device"]["notes"] == ["untuned: many times slower than it could be"]
    slots = document["comparison"]["slots"]
    assert len(slots) == 5
    assert all(slot["ratios"].keys() == slot["first_ms"].keys() for slot in slots)


def test_tables_of_two_spaces_are_refused(luts, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["compare-luts", luts[0], str(other_space(tmp_path))])
    assert ended.value.code == 2
    assert "was made for the space" in capsys.readouterr().err


def other_space(folder):
    lut = build_lut(
        load_spec(SpaceSpec("digits", width=0.5)), make_device("reference"), store=folder / "l.db"
    )
    return save_lut(lut, folder)
