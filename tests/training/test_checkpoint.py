import pytest
import torch
from torch import nn

from hot.errors import StorageError, TrainingError
from hot.records import EpochRow
from hot.training.checkpoint import (
    LATEST,
    PREVIOUS,
    Checkpoint,
    load_checkpoint,
    load_weights,
    save_checkpoint,
)


def checkpoint(n_epochs, fingerprint="f" * 64):
    module = nn.Linear(2, 2)
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    history = tuple(EpochRow(i, 1.0, 0.5, 0.25, 0.1, 2.0) for i in range(n_epochs))
    state = module.state_dict()
    return Checkpoint(
        fingerprint, "fp32", history, n_epochs - 1, state, state, None, optimizer.state_dict()
    )


def test_what_is_saved_comes_back(tmp_path):
    saved = checkpoint(2)
    save_checkpoint(tmp_path, saved)
    loaded = load_checkpoint(tmp_path, saved.fingerprint)
    assert loaded.history == saved.history
    assert loaded.best_epoch == 1
    assert torch.equal(loaded.model["weight"], saved.model["weight"])
    assert torch.equal(
        loaded.optimizer["state"][0]["exp_avg"], saved.optimizer["state"][0]["exp_avg"]
    )


def test_an_empty_folder_has_no_checkpoint(tmp_path):
    assert load_checkpoint(tmp_path, "f") is None


@pytest.mark.parametrize("damage", [b"", bytes(100), None], ids=["empty", "zeros", "cut"])
def test_a_damaged_checkpoint_is_passed_over_for_the_previous_one(tmp_path, damage):
    for n_epochs in (1, 2):
        save_checkpoint(tmp_path, checkpoint(n_epochs))
    path = tmp_path / LATEST
    path.write_bytes(path.read_bytes()[:300] if damage is None else damage)
    assert len(load_checkpoint(tmp_path, "f" * 64).history) == 1


def test_a_kill_between_the_two_renames_leaves_the_previous_one(tmp_path):
    for n_epochs in (1, 2):
        save_checkpoint(tmp_path, checkpoint(n_epochs))
    (tmp_path / LATEST).unlink()
    assert len(load_checkpoint(tmp_path, "f" * 64).history) == 1


def test_where_all_checkpoints_are_damaged_the_training_starts_anew(tmp_path, caplog):
    for name in (LATEST, PREVIOUS):
        (tmp_path / name).write_bytes(b"junk")
    assert load_checkpoint(tmp_path, "f" * 64) is None
    assert all(f"{name} is damaged" in caplog.text for name in (LATEST, PREVIOUS))


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    save_checkpoint(tmp_path, checkpoint(1, "a" * 64))
    with pytest.raises(TrainingError, match="belongs to another training"):
        load_checkpoint(tmp_path, "b" * 64)


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        save_checkpoint(tmp_path / "file" / "folder", checkpoint(1))


def test_weights_that_are_missing_damaged_or_of_another_network_are_refused(tmp_path):
    path = tmp_path / "best.pt"
    with pytest.raises(TrainingError, match="no weights"):
        load_weights(path, nn.Linear(2, 2))
    path.write_bytes(b"junk")
    with pytest.raises(TrainingError, match="damaged"):
        load_weights(path, nn.Linear(2, 2))
    torch.save(nn.Linear(3, 2).state_dict(), path)
    with pytest.raises(TrainingError, match="another architecture"):
        load_weights(path, nn.Linear(2, 2))
