import pytest

from hot.errors import InputError
from hot.records import RunFolder
from hot.report import gather


def test_the_baseline_comes_first_then_the_picks_by_rank(finished):
    found = gather(finished)
    assert [c.name for c in found.candidates] == ["baseline", "accuracy-1", "accuracy-2"]
    assert [d.candidate for d in found.deployments] == ["baseline", "accuracy-1", "accuracy-2"]
    assert [t.candidate for t in found.trials] == ["accuracy-1", "accuracy-2", "baseline"]
    assert found.metric == "accuracy"


def test_the_baseline_is_found_at_the_same_precision_and_device(finished):
    found = gather(finished)
    pick = found.deployments[1]
    assert found.deployment_like("baseline", pick) == found.deployments[0]
    assert found.deployment_like("nobody", pick) is None


def test_an_empty_run_gives_nothing_but_its_provenance(tmp_path):
    found = gather(RunFolder.create(tmp_path / "run", "config: 1\n"))
    assert found.provenance is not None
    assert (found.space, found.lut, found.table, found.quality) == (None, None, None, None)
    assert found.front is None
    assert (found.candidates, found.trials, found.deployments) == ((), (), ())


def test_a_damaged_record_is_named(tmp_path):
    run = RunFolder.create(tmp_path / "run", "config: 1\n")
    run.file("candidates").mkdir()
    run.file("candidates", "one.json").write_text('{"kind": "Candidate", "sch')
    with pytest.raises(InputError, match=r"one\.json is damaged"):
        gather(run)
