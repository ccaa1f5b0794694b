"""Small networks of the user's own, for what real models do not show."""

import pytest
import torch
from torch import nn


def conv(c_in, c_out, stride=1):
    """Convolution, norm, activation, flat in a Sequential."""
    layers = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU()
    return nn.Sequential(*layers)


class Own(nn.Module):
    """A block that no table knows: two convolutions and a shortcut."""

    def __init__(self, channels):
        super().__init__()
        self.first = conv(channels, channels)
        self.second = conv(channels, channels)

    def forward(self, x):
        return x + self.second(self.first(x))


class Net(nn.Module):
    """A stem, blocks as they are given, a classifier."""

    def __init__(self, *blocks, channels=16):
        super().__init__()
        self.stem = conv(3, channels)
        self.blocks = nn.ModuleList(blocks)
        self.fc = nn.Linear(channels, 10)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.fc(x.mean((2, 3)))


@pytest.fixture
def kit():
    """The pieces above, by name."""

    class Kit:
        own, net, conv = Own, Net, staticmethod(conv)

    return Kit


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
