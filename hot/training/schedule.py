"""The optimiser of a recipe, and its learning rate at every step."""

import math
from collections.abc import Callable

import torch
from torch import nn

from hot.records import Recipe


def make_optimizer(module: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser; biases and normalisation parameters do not decay."""
    flat = [p for p in module.parameters() if p.ndim <= 1]
    rest = [p for p in module.parameters() if p.ndim > 1]
    groups: list[dict[str, object]] = [
        {"params": flat, "weight_decay": 0.0},
        {"params": rest, "weight_decay": recipe.weight_decay},
    ]
    return OPTIMIZERS[recipe.optimizer](groups, recipe)


def _sgd(groups: list[dict[str, object]], recipe: Recipe) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        groups,
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=recipe.momentum > 0,
        foreach=True,
    )


def _adam(groups: list[dict[str, object]], recipe: Recipe) -> torch.optim.Optimizer:
    return torch.optim.Adam(groups, lr=recipe.learning_rate, foreach=True)


def _adamw(groups: list[dict[str, object]], recipe: Recipe) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, foreach=True)


OPTIMIZERS: dict[str, Callable[[list[dict[str, object]], Recipe], torch.optim.Optimizer]] = {
    "sgd": _sgd,
    "adam": _adam,
    "adamw": _adamw,
}


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """The learning rate at `step`, counted from 0 over the whole training.

    It rises linearly over the warm-up epochs; then the schedule acts on the epochs that are left.

    >>> recipe = Recipe(epochs=4, warmup_epochs=0, learning_rate=0.8, schedule="step", gamma=0.5)
    >>> [learning_rate(recipe, step, steps_per_epoch=1) for step in range(4)]
    [0.8, 0.8, 0.4, 0.2]
    """
    warmup = min(recipe.warmup_epochs, recipe.epochs) * steps_per_epoch
    if step < warmup:
        return recipe.learning_rate * (step + 1) / warmup
    total = recipe.epochs * steps_per_epoch
    return recipe.learning_rate * SCHEDULES[recipe.schedule](recipe, step, warmup, total)


def _cosine(recipe: Recipe, step: int, warmup: int, total: int) -> float:
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


def _step(recipe: Recipe, step: int, warmup: int, total: int) -> float:
    return recipe.gamma ** sum(step >= fraction * total for fraction in recipe.milestones)


SCHEDULES: dict[str, Callable[[Recipe, int, int, int], float]] = {
    "cosine": _cosine,
    "step": _step,
}
