import numpy as np
import pytest
import torch
from torch import nn

from hot.tasks import TASKS
from hot.training.evaluate import Normalise, evaluate, evaluate_loss


class Constant(nn.Module):
    """Says class 3 whatever it sees, with probability e / (e + 9)."""

    def __init__(self):
        super().__init__()
        self.scores = nn.Parameter(torch.nn.functional.one_hot(torch.tensor(3), 10).float())

    def forward(self, x):
        return self.scores.expand(len(x), 10)


def test_batches_are_normalised_as_the_data_say(data):
    batch = Normalise(data, torch.device("cpu"))(torch.from_numpy(data.val.images))
    np.testing.assert_array_equal(batch.numpy(), data.normalise(data.val.images))


def test_accuracy_and_loss_are_those_counted_by_hand(data):
    share = float((data.train.labels == 3).mean())
    loss, accuracy = evaluate_loss(Constant(), data.train, data, TASKS["classification"])
    assert accuracy == pytest.approx(share)
    assert loss == pytest.approx(np.log(np.e + 9) - share, rel=1e-5)
    assert evaluate(Constant(), data.train, data) == accuracy


def test_the_mode_of_the_network_comes_back(data):
    for mode in (True, False):
        module = Constant().train(mode)
        evaluate(module, data.val, data)
        assert module.training is mode
