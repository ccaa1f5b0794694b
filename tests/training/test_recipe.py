from dataclasses import replace

import pytest

from hot.errors import InputError
from hot.records import Recipe
from hot.training.recipe import check_recipe


def test_the_default_recipe_is_allowed():
    check_recipe(Recipe())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("batch_size", 1),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("momentum", 1.0),
        ("weight_decay", -1e-4),
        ("gamma", 1.5),
        ("label_smoothing", 1.0),
        ("mixup", -0.1),
        ("ema_decay", 1.0),
        ("seed", -1),
    ],
)
def test_a_number_out_of_its_range_is_named(name, value):
    with pytest.raises(InputError, match=f"recipe's {name} must be"):
        check_recipe(replace(Recipe(), **{name: value}))


@pytest.mark.parametrize(
    ("name", "value", "near"),
    [
        ("optimizer", "adamww", "adamw"),
        ("schedule", "cosin", "cosine"),
        ("precision", "fp31", "fp32"),
    ],
)
def test_a_wrong_name_gets_the_near_match(name, value, near):
    with pytest.raises(InputError, match=f"unknown {name} '{value}'; did you mean '{near}'"):
        check_recipe(replace(Recipe(), **{name: value}))
