"""A run folder is made once, continued with the same configuration, and stands alone."""

import pytest

from hot.errors import InputError, StorageError
from hot.records import Budget, RunFolder
from hot.space import SpaceSpec, space_files


def test_a_run_goes_on_with_the_same_configuration_only(tmp_path):
    run = RunFolder.create(tmp_path / "run", "a: 1\n")
    run.save(Budget(), "budget.json")
    assert RunFolder.create(tmp_path / "run", "a: 1\n").load(Budget, "budget.json") == Budget()
    run.save(Budget(), "candidates", "first.json")
    with pytest.raises(InputError, match="another configuration"):
        RunFolder.create(tmp_path / "run", "a: 2\n")


def test_a_run_without_candidates_takes_a_mended_configuration(tmp_path):
    RunFolder.create(tmp_path / "run", "a: 1\n").save_space(SpaceSpec("digits"))
    run = RunFolder.create(tmp_path / "run", "a: 2\n")
    assert run.file("config.yaml").read_text() == "a: 2\n"
    assert not run.file("space.json").exists()
    run.file("config.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="cannot read the configuration"):
        RunFolder.create(tmp_path / "run", "a: 2\n")


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="not empty"):
        RunFolder.create(tmp_path, "a: 1\n")


def test_opening_what_is_no_run_says_so(tmp_path):
    with pytest.raises(InputError, match="no run folder"):
        RunFolder.open(tmp_path)


def test_a_file_in_the_way_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        RunFolder.create(tmp_path / "file" / "run", "a: 1\n")


def test_the_run_keeps_its_own_copy_of_the_space(tmp_path):
    source = tmp_path / "mine.yaml"
    source.write_text(space_files()["digits"].read_text())
    run = RunFolder.create(tmp_path / "run", "")
    run.save_space(SpaceSpec(str(source), width=0.7))
    source.unlink()
    assert run.space().width == 0.7


def test_records_of_a_folder_come_in_order_of_name(tmp_path):
    run = RunFolder.create(tmp_path / "run", "")
    assert run.load_all(Budget, "budgets") == []
    run.save(Budget(macs=2.0), "budgets", "b.json")
    run.save(Budget(macs=1.0), "budgets", "a.json")
    assert [b.macs for b in run.load_all(Budget, "budgets")] == [1.0, 2.0]
