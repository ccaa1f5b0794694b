from dataclasses import replace

import pytest

from hot.errors import InputError, TrainingError
from hot.records import Recipe
from hot.training.hpo import (
    SAMPLERS,
    HpoSettings,
    check_settings,
    count_trials,
    open_storage,
    open_study,
)

BASE = Recipe(epochs=4, schedule="step")
RANGES = HpoSettings(
    n_trials=6,
    learning_rate=(0.01, 0.5),
    weight_decay=(1e-5, 1e-3),
    gamma=(0.1, 0.9),
    optimizers=("sgd", "adamw"),
)


@pytest.fixture
def storage(tmp_path):
    with open_storage(f"sqlite:///{tmp_path / 'study.db'}") as opened:
        yield opened


def make(storage, settings, name="c", seed=0, base=BASE):
    return open_study(storage, name, settings, base, seed, is_maximised=True, subject="s")


def merit(recipe):
    return recipe.weight_decay + recipe.gamma


def run_all(study, n):
    recipes = []
    for _ in range(n):
        asked = study.ask()
        asked.finish(merit(asked.recipe), is_pruned=False)
        recipes.append(asked.recipe)
    return recipes


@pytest.mark.parametrize("sampler", sorted(set(SAMPLERS) - {"grid"}))
def test_every_trial_lies_in_its_ranges_and_the_same_seed_repeats_it(storage, sampler):
    settings = replace(RANGES, sampler=sampler)
    recipes = run_all(make(storage, settings, "a"), 5)
    for number, recipe in enumerate(recipes):
        factor = 1.0 if recipe.optimizer == "sgd" else 0.02
        assert 0.01 * factor <= recipe.learning_rate <= 0.5 * factor
        assert 1e-5 <= recipe.weight_decay <= 1e-3
        assert 0.1 <= recipe.gamma <= 0.9
        assert recipe.seed == number
    assert len({(r.learning_rate, r.weight_decay, r.gamma) for r in recipes}) == 5
    assert run_all(make(storage, settings, "b"), 5) == recipes
    assert run_all(make(storage, settings, "d", seed=1), 5) != recipes


def test_a_search_that_is_opened_again_makes_the_trials_it_would_have_made(storage):
    whole = run_all(make(storage, RANGES, "whole"), 6)
    first = run_all(make(storage, RANGES, "cut"), 3)
    left = make(storage, RANGES, "cut").ask()
    (again,) = make(storage, RANGES, "cut").unfinished()
    assert again.number == left.number == 3
    assert again.recipe == left.recipe
    again.finish(merit(again.recipe), is_pruned=False)
    assert [*first, again.recipe, *run_all(make(storage, RANGES, "cut"), 2)] == whole


def test_a_trial_left_before_its_parameters_were_drawn_gets_the_same_ones(storage):
    whole = run_all(make(storage, RANGES, "whole"), 1)
    make(storage, RANGES, "cut").study.ask()
    (again,) = make(storage, RANGES, "cut").unfinished()
    assert again.recipe == whole[0]


def test_a_grid_visits_every_point_once(storage):
    settings = HpoSettings(
        n_trials=99,
        sampler="grid",
        learning_rate=(0.1, 0.01, 0.001),
        optimizers=("sgd", "adam"),
        adaptive_factor=1.0,
    )
    assert count_trials(settings) == 6
    recipes = run_all(make(storage, settings), 6)
    points = {(recipe.learning_rate, recipe.optimizer) for recipe in recipes}
    assert points == {(r, o) for r in (0.1, 0.01, 0.001) for o in ("sgd", "adam")}


def test_fewer_trials_than_points_end_the_grid_early():
    settings = HpoSettings(n_trials=2, sampler="grid", learning_rate=(0.1, 0.01, 0.001))
    assert count_trials(settings) == 2


def test_without_ranges_trials_differ_in_their_seed_alone(storage):
    recipes = run_all(make(storage, HpoSettings(n_trials=2), seed=5), 2)
    assert recipes == [replace(BASE, seed=5), replace(BASE, seed=6)]


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_a_hopeless_trial_is_given_up_and_a_good_one_is_not(storage, pruner):
    base = replace(BASE, epochs=9)
    study = make(storage, replace(RANGES, pruner=pruner), base=base)
    for _ in range(5):
        asked = study.ask()
        assert [asked.report(epoch, 0.9) for epoch in range(9)] == [False] * 9
        asked.finish(0.9, is_pruned=False)
    good, poor = study.ask(), study.ask()
    assert not any(good.report(epoch, 0.95) for epoch in range(9))
    good.finish(0.95, is_pruned=False)
    assert any(poor.report(epoch, 0.1) for epoch in range(9))


def test_without_a_pruner_nothing_is_given_up(storage):
    study = make(storage, RANGES)
    for value in (0.9, 0.9, 0.9, 0.9, 0.0):
        asked = study.ask()
        assert not any(asked.report(epoch, value) for epoch in range(4))
        asked.finish(value, is_pruned=False)


def test_failed_trials_count_and_keep_their_reason(storage):
    study = make(storage, RANGES)
    study.ask().fail("the loss is not finite")
    assert (study.n_started, study.n_finished) == (1, 1)
    assert study.with_result() == []
    assert study.last_error() == "the loss is not finite"


def test_another_search_under_the_same_name_is_refused_more_trials_are_not(storage):
    make(storage, RANGES)
    make(storage, replace(RANGES, n_trials=9))
    with pytest.raises(TrainingError, match="another settings"):
        make(storage, replace(RANGES, gamma=(0.2, 0.3)))
    with pytest.raises(TrainingError, match="another base, seed"):
        make(storage, RANGES, seed=3, base=replace(BASE, epochs=5))


def test_a_damaged_database_is_one_clear_error(tmp_path):
    path = tmp_path / "study.db"
    path.write_bytes(b"no database " * 100)
    with (
        pytest.raises(TrainingError, match="cannot open the studies"),
        open_storage(f"sqlite:///{path}"),
    ):
        pass


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n_trials": 0}, "n_trials"),
        ({"sampler": "tpee"}, "did you mean 'tpe'"),
        ({"pruner": "mediann"}, "did you mean 'median'"),
        ({"optimizers": ("sdg",)}, "did you mean 'sgd'"),
        ({"learning_rate": (0.1,)}, "two ends"),
        ({"learning_rate": (0.5, 0.1)}, "two ends"),
        ({"weight_decay": (0.0, 0.1)}, "weight_decay must lie in"),
        ({"gamma": (0.5, 1.5)}, r"gamma must lie in \(0, 1\]"),
    ],
)
def test_settings_that_cannot_be_searched_are_refused(change, words):
    with pytest.raises(InputError, match=words):
        check_settings(replace(RANGES, **change), BASE)


def test_gamma_is_not_searched_where_it_does_nothing():
    with pytest.raises(InputError, match="acts on the step schedule only"):
        check_settings(RANGES, replace(BASE, schedule="cosine"))
