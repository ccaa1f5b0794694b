"""An operator of the user's own, as the README shows it, works like one of hot's."""

import pytest
import torch
from torch import nn

from hot.errors import SpaceError
from hot.nn import build, build_block, space_from_model, torch_operator
from hot.space import (
    OPERATORS,
    Choice,
    Layer,
    Operator,
    Rules,
    Shape,
    parse_choice,
    register_operator,
)


class Ghost(nn.Module):
    def __init__(self, layer, choice, rules):
        super().__init__()
        c_in, half, k = layer.input.channels, layer.out_channels // 2, choice.kernel
        self.main = nn.Sequential(
            nn.Conv2d(c_in, half, 1, layer.stride, bias=False), nn.BatchNorm2d(half), nn.ReLU()
        )
        self.cheap = nn.Conv2d(half, half, k, padding=k // 2, groups=half)

    def forward(self, x):
        y = self.main(x)
        return torch.cat([y, self.cheap(y)], dim=1)


def even(layer):
    return layer.out_channels % 2 == 0


register_operator("ghost", torch_operator(Ghost, "Han et al. 2020", ("kernel",), even))


def test_its_counts_are_those_by_hand():
    body = Choice("ghost", kernel=3).block(Layer(Shape(8, 6, 6), 16, 2), Rules())
    assert body.output(Shape(8, 6, 6)) == Shape(16, 3, 3)
    assert body.counts.macs == (8 * 8 + 8 * 9) * 9
    assert body.counts.params == 8 * 8 + 2 * 8 + 8 * 9 + 8
    assert body.counts.weights == 8 * 8 + 8 * 9
    assert body.counts.biases == 8 + 8


def test_it_is_a_choice_of_a_space(kit):
    menu = [{"operator": "ghost", "kernel": [3, 5]}]
    space = space_from_model(kit.net(kit.own(16)), 16, menu=menu)
    assert space.slots[0].keys == ("original", "ghost-k3", "ghost-k5")
    network = build(space, space.parse("ghost-k5"))
    assert isinstance(network.part("blocks_0.0"), Ghost)
    assert (
        sum(p.numel() for p in network.parameters()) == space.counts(space.parse("ghost-k5")).params
    )


def test_every_module_is_drawn_anew():
    body = parse_choice("ghost-k3").block(Layer(Shape(8, 6, 6), 16), Rules())
    one, other = build_block(body, Rules()), build_block(body, Rules())
    assert not torch.equal(one.cheap.weight, other.cheap.weight)


def test_it_is_not_offered_where_it_is_not_legal():
    assert not parse_choice("ghost-k3").is_legal(Layer(Shape(8, 6, 6), 7))


@pytest.mark.parametrize("name", ["ir", "Ghost", "a-b", "2x", ""])
def test_a_name_that_is_taken_or_malformed_is_refused(name):
    with pytest.raises(SpaceError, match=r"built in|small letters"):
        register_operator(name, OPERATORS["ir"])


def test_a_body_of_a_wrong_shape_is_refused_where_it_is_used():
    wrong = torch_operator(lambda layer, choice, rules: nn.MaxPool2d(2), "halves", ())
    with pytest.raises(SpaceError, match=r"turns 8x6x6 into \(8, 3, 3\), not into 8x6x6"):
        wrong.body(Layer(Shape(8, 6, 6), 8), Choice("wrong"), Rules())


def test_a_body_that_cannot_be_made_is_refused_with_its_own_words():
    def make(layer, choice, rules):
        raise KeyError("no such thing")

    operator = torch_operator(make, "fails", ())
    assert isinstance(operator, Operator)
    with pytest.raises(SpaceError, match="cannot be made at 8x6x6>8s1: 'no such thing'"):
        register_operator("fails", operator)
        Choice("fails").block(Layer(Shape(8, 6, 6), 8), Rules())
