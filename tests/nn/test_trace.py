"""Counts of a recorded pass agree with the analytic ones and with published figures."""

import pytest
import torch
import torchvision
from torch import nn

from hot.errors import SpaceError
from hot.nn.trace import count_modules, record
from hot.space import Counts, Shape, load_space


def counts_of(network, shape):
    recording = record(network.eval(), shape)
    end = len(recording.ops)
    modules = dict(network.named_modules())
    return count_modules(recording, modules) + Counts(
        recording.macs(0, end), peak_activations=recording.peak(0, end)
    )


@pytest.mark.parametrize(
    ("model", "space"), [("mobilenet_v2", "mobilenetv2"), ("resnet18", "resnet18")]
)
def test_a_recorded_network_counts_as_its_twin_written_down_as_a_space(model, space):
    network = torchvision.models.get_model(model, weights=None)
    twin = load_space(space, resolution=64)
    assert counts_of(network, Shape(3, 64, 64)) == twin.counts(twin.original)


def test_multiply_accumulates_and_parameters_are_the_published_ones():
    # torchvision states 0.04 G multiply-accumulates and 1366792 parameters for ShuffleNet x0.5
    stated = torchvision.models.ShuffleNet_V2_X0_5_Weights.DEFAULT.meta
    counts = counts_of(torchvision.models.shufflenet_v2_x0_5(), Shape(3, 224, 224))
    assert counts.params == stated["num_params"]
    assert counts.macs / 1e9 == pytest.approx(stated["_ops"], abs=0.002)


def test_the_products_inside_attention_are_counted():
    class Attention(nn.Module):
        def forward(self, x):
            tokens = x.flatten(2).transpose(1, 2).unsqueeze(1)  # (B, 1, N, C)
            return nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)

    n_tokens, channels = 6 * 6, 8
    counts = counts_of(Attention(), Shape(channels, 6, 6))
    assert counts.macs == 2 * n_tokens * n_tokens * channels


def test_a_shortcut_keeps_its_map_alive():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Conv2d(4, 8, 1), nn.Conv2d(8, 4, 1)

        def forward(self, x):
            return x + self.second(self.first(x))

    # at the second convolution: the input (4), what it reads (8) and what it writes (4)
    assert counts_of(Residual(), Shape(4, 5, 5)).peak_activations == (4 + 8 + 4) * 25


def test_spatial_convolutions_in_a_row_are_counted_along_the_longest_branch():
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = (nn.Conv2d(4, 4, 3, padding=1) for _ in range(3))

        def forward(self, x):
            return self.b(self.a(x)) + self.c(x)

    recording = record(Branches(), Shape(4, 8, 8))
    assert recording.depth(0, len(recording.ops)) == 2


def test_an_image_that_does_not_fit_is_refused_with_the_models_words():
    with pytest.raises(SpaceError, match=r"Linear cannot run on .* \(1, 3, 8, 8\)"):
        record(nn.Linear(5, 5), Shape(3, 8, 8))


def test_recording_leaves_the_network_and_the_random_numbers_as_they_were():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    record(network, Shape(3, 8, 8))
    assert torch.equal(torch.rand(3), expected)
    assert not any(module._forward_hooks for module in network.modules())
