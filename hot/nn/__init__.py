"""Torch bodies of operators and architectures."""

from hot.nn.blocks import build_block, build_head, example, initialise
from hot.nn.build import Network, build, part_names
from hot.nn.fold import fold_norms
from hot.nn.graft import Grafted
from hot.nn.library import Library
from hot.nn.seeded import seeded
from hot.nn.tensors import copy_state, read_tensors, write_tensors

__all__ = [
    "Grafted",
    "Library",
    "Network",
    "build",
    "build_block",
    "build_head",
    "copy_state",
    "example",
    "fold_norms",
    "initialise",
    "part_names",
    "read_tensors",
    "seeded",
    "write_tensors",
]
