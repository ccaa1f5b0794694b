"""One suite for every quality scorer of the table."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from hot.errors import InputError
from hot.nn import Library, build
from hot.quality import SCORERS, Evidence, score, score_network
from hot.quality.settings import cores
from hot.records import DistillSettings, QualityTable, from_document, to_document
from hot.space import SpaceSpec, load_spec
from hot.tasks import Split, load_images

EACH = pytest.mark.parametrize("name", sorted(SCORERS))


@pytest.fixture(autouse=True)
def one_core():
    with cores(1):
        yield


@pytest.fixture(scope="module")
def space():
    """The digits space with one alternative a slot."""
    whole = load_spec(SpaceSpec("digits", width=0.7, resolution=8))
    slots = tuple(replace(slot, choices=(slot.choices[1], slot.original)) for slot in whole.slots)
    return replace(whole, name="digits-two", slots=slots, spec=None)


@pytest.fixture
def evidence(space, tmp_path):
    """All that a scorer may ask for, but nothing in the test split."""
    data = load_images("digits", space.stem_input, n_train=100, n_val=50, n_test=10)
    nothing = Split(np.empty((0, *space.stem_input), np.uint8), np.empty(0, np.int64))
    library = Library(tmp_path / "library", space)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        library.save_original(build(space, space.original), 0.1)
    return Evidence(
        data=replace(data, test=nothing),
        library=library,
        n_threads=1,
        distill=DistillSettings(steps=2, batch=16, precision="fp32"),
    )


@EACH
def test_the_table_has_a_finite_score_for_every_choice(name, space, evidence):
    table = score(space, name, evidence)
    assert [len(row) for row in table.values] == [len(slot.choices) for slot in space.slots]
    assert all(math.isfinite(value) for row in table.values for value in row)
    assert math.isfinite(table.fixed)
    assert table.space == space.key
    assert table.scorer.startswith(name)
    assert table.seconds >= 0 and table.n_images >= 0


@EACH
def test_the_same_seed_gives_the_same_scores(name, space, evidence):
    assert score(space, name, evidence).values == score(space, name, evidence).values


@EACH
def test_the_original_predicts_its_own_score(name, space, evidence):
    table = score(space, name, evidence)
    own = score_network(name, space, space.original, evidence)
    assert table.predict(space.indices(space.original)) == pytest.approx(own, rel=1e-6, abs=1e-2)


@EACH
def test_a_table_survives_its_file_form(name, space, evidence):
    table = score(space, name, evidence)
    assert from_document(to_document(table), QualityTable, "here") == table


@EACH
def test_torchs_generator_and_threads_stay_as_they_were(name, space, evidence):
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    score(space, name, evidence)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


@EACH
def test_what_is_missing_is_named(name, space, evidence):
    for need in SCORERS[name].needs:
        with pytest.raises(InputError, match=rf"{name}.* needs .*{need}="):
            score(space, name, replace(evidence, **{need: None}))


@EACH
def test_it_has_a_reference(name):
    assert SCORERS[name].reference
