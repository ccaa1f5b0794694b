"""Scores of untrained networks, against their equations written out."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from hot.errors import InputError
from hot.quality import Evidence, score
from hot.quality.naswot import naswot
from hot.quality.synflow import synflow
from hot.quality.zico import zico
from hot.tasks import TASKS

TASK = TASKS["classification"]


def linear(weights):
    layer = nn.Linear(len(weights[0]), len(weights), bias=False)
    layer.weight.data = torch.tensor(weights)
    return layer


def test_naswot_is_the_log_determinant_of_agreeing_units():
    weights = [[1.0, -1.0], [0.5, 1.0], [-1.0, 0.2], [1.0, 1.0]]
    images = torch.tensor([[1.0, 0.2], [-0.5, 1.0], [0.3, -0.8]])
    codes = [[float(np.dot(w, x) > 0) for w in weights] for x in images.tolist()]
    kernel = [[4 - sum(a != b for a, b in zip(c, d, strict=True)) for d in codes] for c in codes]
    wanted = math.log(abs(np.linalg.det(np.array(kernel, float))))
    network = nn.Sequential(linear(weights), nn.ReLU6(inplace=True))
    assert naswot(network, [images], [], TASK) == pytest.approx(wanted)


def test_naswot_of_two_images_with_one_code_is_not_finite():
    network = nn.Sequential(linear([[1.0, 1.0]]), nn.ReLU())
    assert naswot(network, [torch.ones(2, 2)], [], TASK) == -math.inf


def test_naswot_needs_activations():
    with pytest.raises(InputError, match="activations"):
        naswot(linear([[1.0]]), [torch.ones(2, 1)], [], TASK)


def test_synflow_is_every_layers_share_of_the_product_of_absolute_weights():
    first, second = [[2.0], [-3.0]], [[-5.0, 7.0]]
    network = nn.Sequential(linear(first), nn.BatchNorm1d(2), nn.ReLU6(), linear(second))
    flow = 2.0 * 5.0 + 3.0 * 7.0  # R; beyond the 6 that ReLU6 would cut at
    # a chain is homogeneous of degree 1 in each of its two layers: each adds R
    assert synflow(network, [torch.ones(1, 1)], [], TASK) == pytest.approx(math.log(2 * flow))


def test_synflow_sees_through_norms_and_keeps_scales():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.gamma = nn.Parameter(torch.tensor([-0.5]))
            self.bias = nn.Parameter(torch.tensor([9.0]))
            self.norm = nn.LayerNorm(1)

        def forward(self, x):
            return self.gamma * self.norm(x) + self.bias

    # R = 0.5; gamma alone is a weight: |gamma dR/dgamma| = 0.5
    assert synflow(Scaled(), [torch.ones(1, 1)], [], TASK) == pytest.approx(math.log(0.5))


def test_synflow_leaves_the_network_as_it_is():
    network = nn.Sequential(linear([[-2.0]]), nn.ReLU())
    synflow(network, [torch.ones(1, 1)], [], TASK)
    assert network[0].weight.item() == -2.0
    assert isinstance(network[1], nn.ReLU)


def test_synflow_of_a_hundred_layers_is_finite():
    torch.manual_seed(0)
    layers = [nn.Conv2d(256, 256, 3, padding=1, bias=False) for _ in range(100)]
    for layer in layers:
        nn.init.constant_(layer.weight, 0.1)  # each layer multiplies by up to 230
    assert synflow(nn.Sequential(*layers[:1] * 100), [torch.ones(1, 256, 4, 4)], [], TASK) > 400


def test_zico_is_the_mean_gradient_over_its_deviation():
    weights = np.array([[0.3, -0.2], [0.1, 0.4]])
    batches = [np.array([[1.0, 0.5], [0.2, -1.0]]), np.array([[-0.7, 0.1], [0.9, 0.8]])]
    labels = [np.array([0, 1]), np.array([1, 1])]
    gradients = []
    for x, y in zip(batches, labels, strict=True):
        scores = np.exp(x @ weights.T)
        error = scores / scores.sum(1, keepdims=True) - np.eye(2)[y]
        gradients.append(np.abs(error.T @ x / 2))
    a, b = gradients
    wanted = math.log((((a + b) / 2) / (np.abs(a - b) / 2)).sum())
    found = zico(
        linear(weights.tolist()),
        [torch.tensor(x, dtype=torch.float32) for x in batches],
        [torch.tensor(y) for y in labels],
        TASK,
    )
    assert found == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("name", ["naswot", "synflow", "zico"])
def test_the_originals_own_choices_change_nothing(space, data, name):
    table = score(space, name, Evidence(data=data, n_threads=1))
    for slot, row in zip(space.slots, table.values, strict=True):
        assert row[slot.choices.index(slot.original)] == 0.0


@pytest.mark.parametrize(
    ("failure", "words"),
    [(RuntimeError("no such block"), "no such block"), (None, "its score is -inf")],
)
def test_a_choice_that_cannot_be_scored_is_left_out(space, data, monkeypatch, failure, words):
    bad = space.slots[1].choices[1]
    blocks = {bad.block(layer, space.rules) for layer in space.slots[1].layers}
    real = __import__("hot.nn", fromlist=["build_block"]).build_block

    def make(block, rules):
        module = real(block, rules)
        if block in blocks:
            if failure is not None:
                raise failure
            module.register_forward_hook(lambda m, x, out: out * math.nan)
        return module

    monkeypatch.setattr("hot.quality.untrained.build_block", make)
    table = score(space, "synflow", Evidence(data=data, n_threads=1))
    assert table.values[1][1] is None
    (row,) = table.left_out
    assert (row.slot, row.choice) == (space.slots[1].name, bad.key)
    assert words in row.reason


def test_a_slot_of_which_no_choice_can_be_scored_is_an_error(space, data, monkeypatch):
    def fail(block, rules):
        raise RuntimeError("nothing works")

    monkeypatch.setattr("hot.quality.untrained.build_block", fail)
    with pytest.raises(InputError, match=r"no choice of slot .* nothing works"):
        score(space, "synflow", Evidence(n_threads=1))


def test_another_seed_gives_other_scores(space, data):
    evidence = Evidence(data=data, n_threads=1)
    other = replace(evidence, seed=7)
    assert score(space, "naswot", evidence).values != score(space, "naswot", other).values
