import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
import torch

from hot.errors import DataError, InputError, TrainingError
from hot.nn import Library, build
from hot.records import Recipe, TrainResult, load_record, save_record
from hot.tasks import DataOptions, load_images
from hot.training import HpoSettings, evaluate, fit, load_weights, optimise
from hot.training.hpo import open_storage

OPTIONS = DataOptions(n_train=256, n_val=100, n_test=100)
BASE = Recipe(epochs=3, batch_size=64, learning_rate=0.05, crop_padding=1, precision="fp32")
SEARCH = HpoSettings(n_trials=2, learning_rate=(0.02, 0.2))


def search(run, candidates, settings=SEARCH, base=BASE, **more):
    return optimise(run, candidates, "digits", base, settings, data_options=OPTIONS, **more)


def states(run, name):
    with open_storage(run.study_url) as storage:
        study = optuna.load_study(study_name=name, storage=storage)
        return [trial.state.name for trial in study.get_trials(deepcopy=False)]


def children():
    """Processes that this one started, by id."""
    task = Path(f"/proc/self/task/{threading.main_thread().native_id}/children")
    return [int(pid) for pid in task.read_text().split()]


def wait_for(condition, seconds=120.0):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.02)


def weights(path):
    return torch.load(path, weights_only=True)


def are_equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_every_candidate_ends_with_its_best_trial_and_failed_ones_do_no_harm(
    run, make_candidates, space
):
    candidates = make_candidates(2)
    grid = HpoSettings(n_trials=3, sampler="grid", learning_rate=(0.02, 0.1, 1e30))
    base = replace(BASE, epochs=2, warmup_epochs=0)
    results = search(run, candidates, grid, base, n_workers=2)
    assert [result.candidate for result in results] == ["c0", "c1"]
    data = load_images("digits", space.stem_input, n_train=256, n_val=100, n_test=100)
    for candidate, result in zip(candidates, results, strict=True):
        assert sorted(states(run, candidate.name)) == ["COMPLETE", "COMPLETE", "FAIL"]
        trials = run.file("training", candidate.name).glob("*/result.json")
        values = [load_record(path, TrainResult).val_metric for path in trials]
        assert len(values) == 2
        assert result.val_metric == max(values)
        assert run.load(TrainResult, "results", f"{candidate.name}.json") == result
        module = build(space, space.parse(candidate.architecture))
        load_weights(run.path / result.checkpoint, module)
        assert evaluate(module, data.test, data) == result.test_metric
    assert search(run, candidates, grid, base, n_workers=1) == results


def test_a_killed_workers_trial_goes_on_in_another_process(run, make_candidates, space, tmp_path):
    base = replace(BASE, epochs=4)
    folder = run.file("training", "c0", "trial-0")
    killed, others = [], children()  # earlier tests may have left some

    def kill():
        wait_for((folder / "checkpoint.pt").exists)
        killed.extend(pid for pid in children() if pid not in others)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    (result,) = search(run, make_candidates(1), HpoSettings(), base, seed=4)
    killer.join()
    assert len(killed) == 1
    assert result.recipe == replace(base, seed=4)
    assert states(run, "c0") == ["COMPLETE"]
    assert [row.epoch for row in result.history] == [0, 1, 2, 3]
    data = load_images("digits", space.stem_input, n_train=256, n_val=100, n_test=100)
    fit(space, space.original, data, result.recipe, tmp_path / "t", n_threads=result.n_threads)
    assert are_equal(weights(folder / "best.pt"), weights(tmp_path / "t" / "best.pt"))


SCRIPT = """
import sys
from hot.records import Candidate, Recipe, RunFolder, load_record
from hot.tasks import DataOptions
from hot.training import HpoSettings, optimise
run = RunFolder.open(sys.argv[1])
optimise(run, [load_record(sys.argv[2], Candidate)], "digits", load_record(sys.argv[3], Recipe),
         HpoSettings(n_trials=2, learning_rate=(0.02, 0.2)),
         data_options=DataOptions(n_train=256, n_val=100, n_test=100))
"""


@pytest.mark.slow  # three processes that load torch
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_the_same_call_goes_on(run, make_candidates, tmp_path, number):
    save_record(tmp_path / "candidate.json", make_candidates(1)[0])
    save_record(tmp_path / "recipe.json", BASE)
    files = [str(tmp_path / name) for name in ("candidate.json", "recipe.json")]
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(run.path), *files], stderr=subprocess.DEVNULL
    ) as process:
        wait_for(run.file("training", "c0", "trial-0", "checkpoint.pt").exists)
        workers = [
            int(pid)
            for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        ]
        process.send_signal(number)
    assert len(workers) == 1
    wait_for(lambda: not any(is_alive(pid) for pid in workers), 10.0)
    assert states(run, "c0") == ["RUNNING"]
    (result,) = search(run, make_candidates(1))
    assert states(run, "c0") == ["COMPLETE"] * 2
    assert result.trial in (0, 1)


def is_alive(pid):
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.slow
def test_when_every_trial_fails_the_reason_is_told(run, make_candidates):
    mad = replace(BASE, epochs=1, warmup_epochs=0, learning_rate=1e30)
    with pytest.raises(TrainingError, match=r"every trial failed of c0 \(the loss is not finite"):
        search(run, make_candidates(1), HpoSettings(), mad)


def test_a_second_search_in_the_same_run_is_refused_meanwhile(run, make_candidates):
    import fcntl

    path = run.file("training", ".lock")
    path.parent.mkdir()
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(TrainingError, match="another process is training"):
            search(run, make_candidates(1))


def test_what_cannot_work_is_refused_before_anything_is_started(run, make_candidates):
    with pytest.raises(InputError, match="n_workers"):
        search(run, make_candidates(1), n_workers=0)
    with pytest.raises(DataError, match="data source"):
        optimise(run, make_candidates(1), "digitz", BASE)
    with pytest.raises(ValueError, match="same name"):
        search(run, make_candidates(1) * 2)
    with pytest.raises(InputError, match="unknown schedule"):
        search(run, make_candidates(1), base=replace(BASE, schedule="cosin"))
    assert not run.file("study.db").exists()


def test_trials_inherit_from_the_runs_library(run, make_candidates, space, tmp_path):
    candidates = make_candidates(2)[1:]  # not the original
    base = replace(BASE, epochs=1, inherit=True, distill_logits=0.5)
    with pytest.raises(InputError, match="search with the quality 'distill' first"):
        search(run, candidates, HpoSettings(), base)
    assert not run.file("study.db").exists()
    library = Library(run.file("library"), space)
    library.save_original(build(space, space.original), 0.5)
    (result,) = search(run, candidates, HpoSettings(), base)
    assert result.n_images_taught == 256
    data = load_images("digits", space.stem_input, n_train=256, n_val=100, n_test=100)
    architecture = space.parse(candidates[0].architecture)
    alone = fit(
        space,
        architecture,
        data,
        result.recipe,
        tmp_path / "t",
        n_threads=result.n_threads,
        library=library,
    )
    assert are_equal(weights(run.path / result.checkpoint), weights(tmp_path / "t" / "best.pt"))
    assert alone.test_metric == result.test_metric


@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        ("result.json", lambda path: path.write_text("{"), "is damaged"),
        ("best.pt", lambda path: path.unlink(), "are missing"),
    ],
)
def test_a_finished_trial_that_is_damaged_says_how_it_is_made_again(
    run, make_candidates, name, damage, words
):
    base = replace(BASE, epochs=1)
    (before,) = search(run, make_candidates(1), HpoSettings(), base)
    damage(run.file("training", "c0", "trial-0", name))
    with pytest.raises(TrainingError, match=rf"{words}.*remove .*study\.db"):
        search(run, make_candidates(1), HpoSettings(), base)
    run.file("study.db").unlink()
    (after,) = search(run, make_candidates(1), HpoSettings(), base)
    assert after.test_metric == before.test_metric
    assert run.file("training", "c0", "trial-0", name).stat().st_size > 100
