import os

import pytest

from hot.errors import InputError
from hot.lut import find_luts
from hot.server.listing import MOST_BYTES, list_luts, list_runs, run_files, stamp


def make(path, text="{}"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_luts_are_those_that_ship_and_those_of_the_folder(tmp_path):
    one, two = make(tmp_path / "one.json"), make(tmp_path / "cpu" / "two.json")
    make(tmp_path / "cpu" / "deep" / "three.json")
    make(tmp_path / "notes.txt")
    assert list_luts(None) == dict(sorted(find_luts().items()))
    found = list_luts(tmp_path)
    assert {name: found[name] for name in found.keys() - find_luts().keys()} == {
        "one": one,
        "cpu/two": two,
    }


def test_runs_are_folders_with_a_configuration_three_levels_deep_at_most(tmp_path):
    for name in ("a", "b/c", "b/d/e", "b/d/f/g"):
        make(tmp_path / name / "config.yaml")
    (tmp_path / "empty").mkdir()
    assert list_runs(tmp_path) == {name: tmp_path / name for name in ("a", "b/c", "b/d/e")}
    assert list_runs(tmp_path / "a") == {"a": tmp_path / "a"}
    assert list_runs(None) == {}
    assert list_runs(tmp_path / "missing") == {}


def test_links_that_lead_out_of_the_folder_are_left_out(tmp_path):
    outside = make(tmp_path / "outside" / "config.yaml").parent
    make(outside / "lut.json")
    inside = make(tmp_path / "runs" / "mine" / "config.yaml").parent
    (tmp_path / "runs" / "theirs").symlink_to(outside)
    (inside / "lut.json").symlink_to(outside / "lut.json")
    (tmp_path / "runs" / "leaked.json").symlink_to("/etc/passwd")
    own = make(inside / "candidates" / "a.json")
    assert list_runs(tmp_path / "runs") == {"mine": inside}
    assert run_files(inside) == [own]
    assert list_luts(tmp_path / "runs").keys() - find_luts().keys() == set()


@pytest.mark.parametrize("name", [b"broken-\xff", "snow ☃ <b>".encode()])
def test_every_name_has_a_json_form(tmp_path, name):
    try:
        (tmp_path / os.fsdecode(name)).mkdir()
    except OSError:
        pytest.skip("this file system refuses the name")
    make(tmp_path / os.fsdecode(name) / "config.yaml")
    (found,) = list_runs(tmp_path)
    assert found.encode("utf-8").decode() == name.decode("utf-8", "replace")


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    path = make(tmp_path / "a.json")
    os.truncate(path, MOST_BYTES + 1)
    with pytest.raises(InputError, match="more than is read"):
        stamp([path])


def test_the_stamp_changes_with_the_content(tmp_path):
    path = make(tmp_path / "a.json", "1")
    before = stamp([path])
    assert stamp([path]) == before
    path.write_text("22")
    assert stamp([path]) != before
