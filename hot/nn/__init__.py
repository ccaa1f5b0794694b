"""Torch bodies of operators and architectures."""

from hot.nn.build import Network, build, build_block, build_head, example, initialise
from hot.nn.fold import fold_norms
from hot.nn.seeded import seeded

__all__ = [
    "Network",
    "build",
    "build_block",
    "build_head",
    "example",
    "fold_norms",
    "initialise",
    "seeded",
]
