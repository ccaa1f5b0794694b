"""Every operator gives the shape its layer asks for, and its torch body agrees."""

import pytest
import torch

from hot.nn import build_block
from hot.space import OPERATORS, Choice, Layer, Rules, Shape, make_divisible

LAYERS = [Layer(Shape(16, 9, 9), 16), Layer(Shape(16, 9, 9), 24), Layer(Shape(16, 9, 9), 24, 2)]


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_an_operator_maps_to_the_layers_output(name, layer):
    choice = Choice(name, 2.0, 3)
    if not choice.is_legal(layer):
        assert name == "original" or (name == "skip" and not layer.is_same_shape)
        return
    block = choice.block(layer, Rules())
    side = -(-9 // layer.stride)
    expected = Shape(layer.out_channels, side, side)
    assert block.output(layer.input) == expected
    out = build_block(block, Rules())(torch.randn(2, *layer.input))
    assert out.shape == (2, *expected)


def test_the_sandglass_reduces_by_its_expansion_and_joins_the_wide_ends():
    block = Choice("sandglass", 6, 3).block(Layer(Shape(96, 7, 7), 96), Rules())
    depthwise, down, up, last = block.convs
    assert (depthwise.groups, down.out_channels, up.out_channels, last.groups) == (96, 16, 96, 96)
    assert [c.has_activation for c in block.convs] == [True, False, True, False]
    assert block.shortcut == ()


def test_the_fused_twin_has_one_standard_convolution_for_two():
    block = Choice("fused", 6, 5).block(Layer(Shape(16, 7, 7), 24, 2), Rules())
    assert [(c.kernel, c.stride, c.groups) for c in block.convs] == [(5, 2, 1), (1, 1, 1)]
    assert block.shortcut is None


def test_an_identity_shortcut_adds_the_input():
    block = Choice("ir", 2, 3).block(Layer(Shape(8, 5, 5), 8), Rules())
    module = build_block(block, Rules()).eval()
    x = torch.randn(1, 8, 5, 5)
    assert torch.allclose(module(x), module.convs(x) + x)


@pytest.mark.parametrize(("value", "rounded"), [(22.4, 24), (3, 8), (12, 16), (91, 88)])
def test_channels_are_rounded_as_mobilenet_does(value, rounded):
    assert make_divisible(value) == rounded
