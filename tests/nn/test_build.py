"""Networks are built from the counted layers; folding norms does not change what they say."""

import pytest
import torch
from torch import nn

from hot.errors import SpaceError
from hot.nn import build, fold_norms
from hot.space import load_space


def trained_norms(module):
    """Give every norm statistics far from the identity, as training does."""
    generator = torch.Generator().manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            n = part.num_features
            part.running_mean.copy_(torch.randn(n, generator=generator))
            part.running_var.copy_(torch.rand(n, generator=generator) + 0.5)
    return module.eval()


@pytest.mark.parametrize("name", ["digits", "mobilenetv2_32", "resnet18"])
def test_folded_norms_give_the_same_scores_and_none_is_left(name):
    space = load_space(name, resolution=32)
    network = trained_norms(build(space, space.original))
    folded = fold_norms(network)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in folded.modules())
    x = torch.randn(2, *space.stem_input)
    with torch.no_grad():
        assert torch.allclose(network(x), folded(x), rtol=1e-3, atol=1e-4)


def test_an_architecture_of_another_space_is_refused():
    with pytest.raises(SpaceError):
        build(load_space("digits"), load_space("resnet18").original)


def test_equal_seeds_build_equal_networks():
    space = load_space("digits")
    weights = []
    for _ in range(2):
        torch.manual_seed(3)
        weights.append(torch.cat([p.flatten() for p in build(space, space.original).parameters()]))
    assert torch.equal(*weights)


def test_a_network_with_depthwise_convolutions_trains_under_bfloat16_autocast():
    space = load_space("digits")
    network = build(space, space.original)
    seen = {}
    for name, part in network.named_modules():
        if isinstance(part, nn.Conv2d):
            part.register_forward_hook(
                lambda p, x, y, n=name: seen.update({n: (p.groups, y.dtype)})
            )
    with torch.autocast("cpu", torch.bfloat16):
        network(torch.randn(2, *space.stem_input)).sum().backward()
    assert {dtype for _, dtype in seen.values()} == {torch.bfloat16}
    assert all(p.grad.isfinite().all() for p in network.parameters())
