import numpy as np
import pytest
import torch

from hot.space import load_space
from hot.tasks import TASKS, DataOptions

SPACE = load_space("digits")


@pytest.fixture(params=sorted(TASKS))
def task(request):
    return TASKS[request.param]


@pytest.fixture
def data(task):
    return task.load("digits", SPACE.stem_input, DataOptions(n_train=60, n_test=30))


def outputs_for(targets, n_classes, scale):
    return scale * torch.nn.functional.one_hot(targets, n_classes).float()


def test_a_batch_holds_the_images_and_targets_of_its_indices(task, data):
    images, targets = task.collate(data.train, np.array([4, 1]))
    assert images.dtype == torch.uint8
    assert images.shape == (2, *SPACE.stem_input)
    np.testing.assert_array_equal(images[1].numpy(), data.train.images[1])
    assert len(targets) == 2


def test_the_head_of_the_space_fits(task, data):
    task.check_head(SPACE, data)


def test_the_loss_is_a_finite_scalar_that_falls_with_better_outputs(task, data):
    _, targets = task.collate(data.train, np.arange(20))
    poor, good = (task.loss(outputs_for(targets, 10, s), targets, 0.0) for s in (-3.0, 3.0))
    assert good.shape == ()
    assert torch.isfinite(good)
    assert good < poor


def test_the_metric_points_in_its_direction(task, data):
    _, targets = task.collate(data.train, np.arange(20))
    poor, good = (task.score(outputs_for(targets, 10, s), targets) for s in (-3.0, 3.0))
    assert (good > poor) is task.higher_is_better
    assert task.metric
