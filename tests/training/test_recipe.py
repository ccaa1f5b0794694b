import json
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
        ("distill_logits", 1.1),
        ("distill_logits", -0.1),
        ("distill_temperature", 0.0),
        ("distill_features", -1.0),
        ("distill_features", float("inf")),
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


def test_a_recipe_without_a_library_is_identified_as_before_there_were_libraries():
    assert json.dumps(Recipe(distill_temperature=9.0).numbers, sort_keys=True) == (
        '{"batch_size": 128, "crop_padding": 0, "dropout": 0.0, "ema_decay": 0.0, "epochs": 20, '
        '"gamma": 0.5, "horizontal_flip": false, "label_smoothing": 0.0, "learning_rate": 0.1, '
        '"milestones": [0.5, 0.75], "mixup": 0.0, "momentum": 0.9, "optimizer": "sgd", '
        '"patience": 0, "precision": "auto", "schedule": "cosine", "seed": 0, '
        '"warmup_epochs": 1, "weight_decay": 0.0001}'
    )


@pytest.mark.parametrize(
    ("recipe", "has_teacher"),
    [
        (Recipe(inherit=True), False),
        (Recipe(distill_logits=0.5), True),
        (Recipe(distill_features=2.0), True),
    ],
)
def test_a_recipe_tells_what_it_needs_of_a_library(recipe, has_teacher):
    assert recipe.needs_library
    assert recipe.has_teacher is has_teacher
    assert recipe.numbers["distill_temperature"] == 4.0
