"""What a recipe may hold."""

import math

from hot.errors import InputError, unknown_name
from hot.records import Recipe
from hot.training.precision import PRECISIONS
from hot.training.schedule import OPTIMIZERS, SCHEDULES


def check_recipe(recipe: Recipe) -> None:
    """Raise `InputError` unless every number and name of the recipe is allowed; names it."""
    for kind, name, known in (
        ("optimizer", recipe.optimizer, OPTIMIZERS),
        ("schedule", recipe.schedule, SCHEDULES),
        ("precision", recipe.precision, PRECISIONS),
    ):
        if name not in known:
            raise InputError(unknown_name(kind, name, known))
    rules = (
        ("epochs", recipe.epochs >= 1, "at least 1"),
        ("batch_size", recipe.batch_size >= 2, "at least 2 (batch normalisation)"),
        ("learning_rate", recipe.learning_rate > 0, "greater than 0"),
        ("momentum", 0 <= recipe.momentum < 1, "in [0, 1)"),
        ("weight_decay", recipe.weight_decay >= 0, "at least 0"),
        ("gamma", 0 < recipe.gamma <= 1, "in (0, 1]"),
        ("warmup_epochs", recipe.warmup_epochs >= 0, "at least 0"),
        ("label_smoothing", 0 <= recipe.label_smoothing < 1, "in [0, 1)"),
        ("crop_padding", recipe.crop_padding >= 0, "at least 0 pixels"),
        ("mixup", recipe.mixup >= 0, "at least 0"),
        ("ema_decay", 0 <= recipe.ema_decay < 1, "in [0, 1)"),
        ("dropout", 0 <= recipe.dropout < 1, "in [0, 1)"),
        ("patience", recipe.patience >= 0, "at least 0 epochs"),
        ("seed", 0 <= recipe.seed < 2**63, "in [0, 2**63)"),
        ("distill_logits", 0 <= recipe.distill_logits <= 1, "in [0, 1]"),
        ("distill_temperature", 0 < recipe.distill_temperature < math.inf, "greater than 0"),
        ("distill_features", 0 <= recipe.distill_features < math.inf, "at least 0"),
    )
    for name, is_valid, allowed in rules:
        if not is_valid:
            raise InputError(f"the recipe's {name} must be {allowed}, not {getattr(recipe, name)}")
