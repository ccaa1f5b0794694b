import torch
from torch import nn

from hot.export.tflite_pool import pool_input
from hot.space import Shape


def test_a_head_without_convolution_pools_over_a_fixed_size():
    head = nn.Sequential(nn.Identity(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))
    x = torch.randn(1, 6, 5, 7)
    before = head(x)
    fixed = pool_input(head, Shape(6, 5, 7))
    assert isinstance(fixed[1], nn.AvgPool2d)
    torch.testing.assert_close(fixed(x), before)


def test_a_pool_after_a_convolution_stays():
    network = nn.Sequential(nn.Conv2d(3, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert isinstance(pool_input(network, Shape(3, 8, 8))[1], nn.AdaptiveAvgPool2d)


def test_a_pool_alone_is_replaced_and_one_to_other_sizes_is_not():
    assert isinstance(pool_input(nn.AdaptiveAvgPool2d(1), Shape(3, 8, 8)), nn.AvgPool2d)
    assert isinstance(pool_input(nn.AdaptiveAvgPool2d(2), Shape(3, 8, 8)), nn.AdaptiveAvgPool2d)
