import math

import pytest
import torch

from hot.errors import DataError
from hot.space import load_space
from hot.tasks import Classification, DataOptions, load_images


def test_the_loss_is_the_cross_entropy():
    outputs = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]])
    loss = Classification().loss(outputs, torch.tensor([0, 1]), 0.0)
    assert float(loss) == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)


def test_the_score_is_the_fraction_that_is_right():
    outputs = torch.tensor([[2.0, 1.0], [0.0, 1.0], [5.0, 1.0], [0.1, 0.0]])
    assert Classification().score(outputs, torch.tensor([0, 1, 1, 1])) == 0.5


def test_a_space_of_another_class_count_or_shape_is_refused():
    space = load_space("digits")
    data = load_images("digits", space.stem_input)
    Classification().check_head(space, data)
    with pytest.raises(DataError, match="12 classes, the data have 10"):
        Classification().check_head(load_space("digits", n_classes=12), data)
    with pytest.raises(DataError, match="1x24x24"):
        Classification().check_head(load_space("digits", resolution=24), data)


def test_options_reach_the_loader():
    space = load_space("digits")
    data = Classification().load("digits", space.stem_input, DataOptions(n_train=40, n_test=9))
    assert (len(data.train), len(data.test)) == (40, 9)
