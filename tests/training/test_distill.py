import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from hot.errors import InputError
from hot.nn import Library, build, seeded
from hot.records import Recipe
from hot.space import SpaceSpec, load_spec
from hot.tasks import load_images
from hot.training import evaluate, fit
from hot.training.distill import feature_loss, logit_loss, make_teacher

CPU = torch.device("cpu")


def train(space, architecture, data, recipe, folder, **more):
    return fit(space, architecture, data, recipe, folder, n_threads=1, device="cpu", **more)


def weights(folder):
    return torch.load(folder / "best.pt", weights_only=True)


def are_equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


@pytest.fixture(scope="module")
def small(space):
    return space.architecture((0,) * len(space.slots))


@pytest.fixture(scope="module")
def short():
    return Recipe(epochs=2, batch_size=64, learning_rate=0.05, precision="fp32")


@pytest.fixture(scope="module")
def digits(space):
    """Enough images to learn from."""
    return load_images("digits", space.stem_input)


@pytest.fixture(scope="module")
def original(space, digits, short, tmp_path_factory):
    """A trained original network, and its training's result."""
    folder = tmp_path_factory.mktemp("original")
    result = train(space, space.original, digits, replace(short, epochs=4), folder)
    module = build(space, space.original)
    module.load_state_dict(weights(folder))
    return module, result


@pytest.fixture
def library(space, original, tmp_path):
    made = Library(tmp_path / "library", space)
    made.save_original(original[0], original[1].val_metric)
    return made


# The losses --------------------------------------------------------------------------------------


def test_the_logit_loss_is_the_divergence_times_the_squared_temperature():
    ours, theirs = [0.5, -1.0, 2.0], [1.0, 0.0, -0.5]
    t = 2.0

    def softmax(scores):
        powers = [math.exp(score / t) for score in scores]
        return [power / sum(powers) for power in powers]

    by_hand = t**2 * sum(
        q * math.log(q / p) for p, q in zip(softmax(ours), softmax(theirs), strict=True)
    )
    batch = torch.tensor([ours, theirs]), torch.tensor([theirs, theirs])  # the second is a copy
    assert float(logit_loss(*batch, t)) == pytest.approx(by_hand / 2, rel=1e-5)


def test_the_feature_loss_is_relative_to_each_slots_own_scale():
    theirs = [torch.tensor([1.0, -1.0]), torch.tensor([100.0, 300.0])]
    assert float(feature_loss(theirs, theirs)) == 0
    assert float(feature_loss([torch.zeros(2)] * 2, theirs)) == pytest.approx(1.0)
    half = [theirs[0], theirs[1] / 2]  # errors 0 and 1/4
    assert float(feature_loss(half, theirs)) == pytest.approx(0.125)
    assert math.isfinite(float(feature_loss([torch.ones(2)], [torch.zeros(2)])))


def test_the_teachers_share_is_taken_from_the_tasks_loss(library, space, small, data):
    recipe = Recipe(distill_logits=0.25, distill_temperature=2.0, distill_features=3.0)
    teacher = make_teacher(library, recipe, CPU)
    with seeded(0):
        student = build(space, small).eval()
        images = torch.randn(4, *data.train.images.shape[1:])
        ours, theirs, module = [images], [images], library.original()
        for outputs, network in ((ours, student), (theirs, module)):
            x = network.stem(images)
            for slot in network.slots.values():
                x = slot(x)
                outputs.append(x)
            outputs[0] = network.head(x)
        loss = teacher.loss(student, images, lambda outputs: 8.0 * outputs.mean())
    relative = [
        ((a - b) ** 2).mean() / (b**2).mean() for a, b in zip(ours[1:], theirs[1:], strict=True)
    ]
    expected = (
        0.75 * 8.0 * ours[0].mean()
        + 0.25 * logit_loss(ours[0], theirs[0], 2.0)
        + 3.0 * sum(relative) / len(relative)
    )
    assert float(loss) == pytest.approx(float(expected), rel=1e-4)


def test_the_teacher_stays_as_it_is_and_no_hook_is_left(library, space, small, data):
    teacher = make_teacher(library, Recipe(distill_logits=0.5, distill_features=1.0), CPU)
    before = {key: value.clone() for key, value in teacher.module.state_dict().items()}
    student = build(space, small).train()
    images = torch.randn(4, *data.train.images.shape[1:])
    teacher.loss(student, images, lambda outputs: outputs.mean()).backward()
    assert are_equal(teacher.module.state_dict(), before)
    assert not teacher.module.training
    assert all(weight.grad is None for weight in teacher.module.parameters())
    assert all(weight.grad is not None for weight in student.slots.parameters())
    assert not any(part._forward_hooks for part in [*student.modules(), *teacher.module.modules()])


# Whole trainings ---------------------------------------------------------------------------------


def test_an_inherited_original_starts_as_good_as_it_was(library, space, digits, original, tmp_path):
    still = Recipe(
        epochs=1, batch_size=64, learning_rate=1e-12, weight_decay=0, inherit=True, precision="fp32"
    )
    result = train(space, space.original, digits, still, tmp_path / "t", library=library)
    assert abs(result.val_metric - original[1].val_metric) <= 0.05  # batch statistics move a little
    assert original[1].val_metric > 0.8
    scratch = train(space, space.original, digits, replace(still, inherit=False), tmp_path / "s")
    assert scratch.val_metric < 0.4


def test_inherited_fixed_parts_and_kept_slots_start_better_than_from_scratch(
    library, space, digits, short, tmp_path
):
    choices = list(space.original.choices)
    choices[2] = space.slots[2].choices[1]
    architecture = type(space.original)(tuple(choices))
    inherit = replace(short, inherit=True, distill_logits=0.5, epochs=1)
    result = train(space, architecture, digits, inherit, tmp_path / "i", library=library)
    scratch = train(space, architecture, digits, replace(short, epochs=1), tmp_path / "s")
    assert result.history[0].val_metric > scratch.history[0].val_metric + 0.2


def test_the_result_tells_the_images_seen_and_taught(library, space, small, data, short, tmp_path):
    taught = replace(short, distill_features=1.0)
    result = train(space, small, data, taught, tmp_path / "a", library=library)
    assert len(data.train) == 256
    assert (result.n_images_seen, result.n_images_taught) == (512, 512)
    alone = train(space, small, data, replace(short, batch_size=100), tmp_path / "b")
    assert (alone.n_images_seen, alone.n_images_taught) == (400, 0)


class Interrupted(Exception):
    pass


def test_interrupted_a_taught_training_goes_on_to_the_same_weights(
    library, space, small, data, recipe, tmp_path
):
    taught = replace(recipe, epochs=2, inherit=True, distill_logits=0.5, distill_features=1.0)

    def stop(epoch, value):
        raise Interrupted

    whole = train(space, small, data, taught, tmp_path / "a", library=library)
    with pytest.raises(Interrupted):
        train(space, small, data, taught, tmp_path / "b", library=library, report=stop)
    cut = train(space, small, data, taught, tmp_path / "b", library=library)
    assert are_equal(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert cut.fingerprint == whole.fingerprint
    assert cut.n_images_taught == whole.n_images_taught == 512
    module = build(space, small)
    module.load_state_dict(weights(tmp_path / "b"))
    assert evaluate(module, data.test, data) == cut.test_metric


def test_other_weights_of_the_library_are_another_training(
    library, space, small, data, short, tmp_path
):
    taught = replace(short, epochs=1, distill_logits=0.5)
    first = train(space, small, data, taught, tmp_path / "a", library=library)
    library.save_block("b1.0", space.slots[0].choices[1], torch.nn.Linear(2, 2))
    assert train(space, small, data, taught, tmp_path / "a", library=library) == first
    library.save_original(build(space, space.original), 0.1)
    with pytest.raises(Exception, match="holds another training"):
        train(space, small, data, taught, tmp_path / "a", library=library)


def test_a_recipe_that_asks_for_a_library_without_one_is_told_how_to_get_it(
    space, small, data, short, tmp_path
):
    wanted = replace(short, inherit=True)
    with pytest.raises(InputError, match="none is given; search with the quality 'distill'"):
        train(space, small, data, wanted, tmp_path / "t")
    empty = Library(tmp_path / "library", space)
    with pytest.raises(InputError, match="has no original network; search"):
        train(space, small, data, wanted, tmp_path / "t", library=empty)
    assert not (tmp_path / "t").exists()


def test_a_library_of_another_space_is_refused(library, small, data, short, tmp_path):
    wider = load_spec(SpaceSpec("digits", width=1.0, resolution=8))
    with pytest.raises(InputError, match="give the library of this space"):
        train(wider, wider.original, data, replace(short, inherit=True), tmp_path, library=library)


def test_without_a_teacher_a_library_changes_nothing(library, space, small, data, short, tmp_path):
    short = replace(short, epochs=1)
    one = train(space, small, data, short, tmp_path / "a")
    two = train(space, small, data, short, tmp_path / "b", library=library)
    assert one.fingerprint == two.fingerprint
    assert are_equal(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert np.isfinite(two.val_metric)
