import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch

from hot.errors import DataError, InputError, TrainingError
from hot.nn import build
from hot.records import Recipe, TrainResult, load_record
from hot.space import load_space
from hot.tasks import load_images
from hot.training import evaluate, fit, load_weights


def train(space, data, recipe, folder, **more):
    return fit(space, space.original, data, recipe, folder, n_threads=1, device="cpu", **more)


def weights(folder):
    return torch.load(folder / "best.pt", weights_only=True)


def are_equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


class Interrupted(Exception):
    pass


def stop_after(epoch):
    def report(done, value):
        if done == epoch:
            raise Interrupted
        return False

    return report


@pytest.fixture(scope="module")
def whole(space, data, recipe, tmp_path_factory):
    """An undisturbed training: its folder and result."""
    folder = tmp_path_factory.mktemp("whole") / "trial-0"
    return folder, train(space, data, recipe, folder)


def test_digits_are_learned(tmp_path):
    space = load_space("digits", width=0.7)
    data = load_images("digits", space.stem_input)
    recipe = Recipe(epochs=6, batch_size=64, learning_rate=0.05, precision="fp32")
    result = train(space, data, recipe, tmp_path)
    assert result.test_metric >= 0.95
    assert result.state == "complete"


def test_the_result_and_the_weights_are_in_the_folder(space, data, recipe, whole):
    folder, result = whole
    assert load_record(folder / "result.json", TrainResult) == result
    assert sorted(p.name for p in folder.iterdir()) == ["best.pt", "result.json"]
    assert [row.epoch for row in result.history] == [0, 1, 2, 3]
    assert result.val_metric == max(row.val_metric for row in result.history)
    module = build(space, space.original)
    load_weights(folder / result.checkpoint, module)
    assert evaluate(module, data.test, data) == result.test_metric
    assert evaluate(module, data.val, data) == result.val_metric


def test_a_finished_training_is_not_repeated(space, data, recipe, whole):
    def report(epoch, value):
        raise Interrupted

    folder, result = whole
    assert train(space, data, recipe, folder, report=report) == result


def test_the_seed_decides_the_weights(space, data, recipe, whole, tmp_path):
    torch.manual_seed(1234)
    train(space, data, recipe, tmp_path / "same")
    assert are_equal(weights(tmp_path / "same"), weights(whole[0]))
    train(space, data, replace(recipe, seed=1), tmp_path / "other")
    assert not are_equal(weights(tmp_path / "other"), weights(whole[0]))


def test_the_callers_torch_is_left_as_it_was(space, data, recipe, tmp_path):
    torch.manual_seed(7)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    train(space, data, replace(recipe, epochs=1), tmp_path)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


SCRIPT = """
import sys
from pathlib import Path
from hot.records import Recipe, load_record
from hot.space import load_space
from hot.tasks import load_images
from hot.training import fit
space = load_space("digits", width=0.7, resolution=8)
data = load_images("digits", space.stem_input, n_train=256, n_val=100, n_test=100)
recipe = load_record(sys.argv[2], Recipe)
fit(space, space.original, data, recipe, Path(sys.argv[1]), n_threads=1, device="cpu",
    report=lambda epoch, value: print(epoch, flush=True))
"""


def test_a_killed_training_goes_on_to_the_same_weights(space, data, recipe, whole, tmp_path):
    from hot.records import save_record

    save_record(tmp_path / "recipe.json", recipe)
    folder = tmp_path / "trial-0"
    command = [sys.executable, "-c", SCRIPT, str(folder), str(tmp_path / "recipe.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.strip() == "1":
                time.sleep(0.05)  # into the next epoch
                os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert (folder / "checkpoint.pt").is_file()
    assert not (folder / "best.pt").exists()
    seen = []
    result = train(space, data, recipe, folder, report=lambda e, v: bool(seen.append(e)))
    assert seen == [0, 1, 2, 3]
    assert are_equal(weights(folder), weights(whole[0]))
    expected = [replace(row, seconds=0.0) for row in whole[1].history]
    assert [replace(row, seconds=0.0) for row in result.history] == expected
    assert result.test_metric == whole[1].test_metric


def test_a_damaged_checkpoint_costs_an_epoch_and_changes_nothing(
    space, data, recipe, whole, tmp_path
):
    with pytest.raises(Interrupted):
        train(space, data, recipe, tmp_path, report=stop_after(2))
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:1000])
    train(space, data, recipe, tmp_path)
    assert are_equal(weights(tmp_path), weights(whole[0]))


@pytest.mark.parametrize("damage", ["result.json cut", "best.pt missing", "both checkpoints cut"])
def test_a_training_of_which_too_little_is_left_is_made_again(
    space, data, recipe, whole, tmp_path, caplog, damage
):
    folder = shutil.copytree(whole[0], tmp_path / "t")
    if damage == "result.json cut":
        (folder / "result.json").write_text('{"schema": 1, "cand')
    elif damage == "best.pt missing":
        (folder / "best.pt").unlink()
    else:
        shutil.rmtree(folder)
        with pytest.raises(Interrupted):
            train(space, data, recipe, folder, report=stop_after(2))
        for path in folder.glob("*.pt"):
            path.write_bytes(path.read_bytes()[:1000])
    result = train(space, data, recipe, folder)
    assert "damaged" in caplog.text or "trained anew" in caplog.text
    assert result.test_metric == whole[1].test_metric
    assert are_equal(weights(folder), weights(whole[0]))
    assert sorted(p.name for p in folder.iterdir()) == ["best.pt", "result.json"]


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_adaptive_optimisers_resume_too(space, data, recipe, optimizer, tmp_path):
    recipe = replace(
        recipe, optimizer=optimizer, learning_rate=0.002, epochs=2, schedule="step", ema_decay=0.0
    )
    train(space, data, recipe, tmp_path / "whole")
    with pytest.raises(Interrupted):
        train(space, data, recipe, tmp_path / "cut", report=stop_after(0))
    train(space, data, recipe, tmp_path / "cut")
    assert are_equal(weights(tmp_path / "cut"), weights(tmp_path / "whole"))


def test_another_recipe_is_refused_before_and_after_the_end(space, data, recipe, whole, tmp_path):
    other = replace(recipe, weight_decay=0.5)
    with pytest.raises(TrainingError, match="holds another training"):
        train(space, data, other, whole[0])
    with pytest.raises(Interrupted):
        train(space, data, recipe, tmp_path, report=stop_after(0))
    with pytest.raises(TrainingError, match="belongs to another training"):
        train(space, data, other, tmp_path)


def test_a_loss_that_is_not_finite_ends_the_training(space, data, recipe, tmp_path):
    mad = replace(recipe, learning_rate=1e30, warmup_epochs=0, ema_decay=0.0)
    with pytest.raises(TrainingError, match=r"not finite in epoch \d.*lower the learning rate"):
        train(space, data, mad, tmp_path)
    assert not (tmp_path / "best.pt").exists()


def test_patience_stops_a_training_that_does_not_improve(space, data, tmp_path):
    idle = Recipe(epochs=9, batch_size=64, learning_rate=1e-12, patience=2, precision="fp32")
    result = train(space, data, idle, tmp_path)
    assert result.state == "stopped"
    assert len(result.history) == result.best_epoch + 3 < 9


def test_the_report_can_prune_but_not_the_last_epoch(space, data, recipe, tmp_path):
    result = train(space, data, recipe, tmp_path / "a", report=lambda e, v: e == 1)
    assert (result.state, len(result.history)) == ("pruned", 2)
    last = recipe.epochs - 1
    result = train(space, data, recipe, tmp_path / "b", report=lambda e, v: e == last)
    assert (result.state, len(result.history)) == ("complete", recipe.epochs)


def test_bfloat16_learns_too_and_the_weights_stay_float32(space, data, recipe, tmp_path):
    recipe = replace(recipe, precision="bf16", epochs=1)
    result = train(space, data, recipe, tmp_path)
    assert result.precision == "bf16"
    assert {v.dtype for v in weights(tmp_path).values()} == {torch.float32, torch.int64}


def test_data_that_do_not_fit_the_space_are_refused(data, recipe, tmp_path):
    with pytest.raises(DataError, match="n_classes=10"):
        train(load_space("digits", width=0.7, resolution=8, n_classes=12), data, recipe, tmp_path)


def test_an_unknown_device_is_refused(space, data, recipe, tmp_path):
    with pytest.raises(InputError, match="'tpu'"):
        fit(space, space.original, data, recipe, tmp_path, device="tpu")
