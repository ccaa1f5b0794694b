import math

import pytest
import torch
from torch import nn

from hot.records import Recipe
from hot.training.schedule import OPTIMIZERS, learning_rate, make_optimizer


def rates(recipe, steps_per_epoch=1):
    return [
        learning_rate(recipe, step, steps_per_epoch)
        for step in range(recipe.epochs * steps_per_epoch)
    ]


def test_warm_up_rises_linearly_to_the_full_rate():
    recipe = Recipe(epochs=4, warmup_epochs=2, learning_rate=0.8)
    assert rates(recipe, 2)[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8])


def test_the_cosine_falls_to_zero():
    recipe = Recipe(epochs=4, warmup_epochs=0, learning_rate=1.0)
    half = math.sqrt(0.5)
    assert rates(recipe) == pytest.approx([1.0, (1 + half) / 2, 0.5, (1 - half) / 2])


def test_the_step_schedule_acts_at_its_milestones():
    recipe = Recipe(
        epochs=8,
        warmup_epochs=0,
        learning_rate=1.0,
        schedule="step",
        gamma=0.1,
        milestones=(0.5, 0.75),
    )
    assert rates(recipe) == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])


def test_a_training_of_warm_up_alone_has_a_rate_everywhere():
    assert rates(Recipe(epochs=2, warmup_epochs=5, learning_rate=1.0)) == [0.5, 1.0]


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_biases_and_norms_do_not_decay(name):
    module = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Linear(4, 2))
    optimizer = make_optimizer(module, Recipe(optimizer=name, weight_decay=0.3))
    decay = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    expected = {id(p): 0.3 if p.ndim > 1 else 0.0 for p in module.parameters()}
    assert decay == expected


def test_sgd_takes_a_nesterov_step():
    module = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        module.weight.fill_(1.0)
    optimizer = make_optimizer(module, Recipe(learning_rate=0.1, momentum=0.5, weight_decay=0.0))
    module(torch.ones(1, 1)).sum().backward()
    optimizer.step()
    # gradient 1, velocity 1, step = rate * (gradient + momentum * velocity)
    assert float(module.weight.detach()) == pytest.approx(1 - 0.1 * 1.5)
