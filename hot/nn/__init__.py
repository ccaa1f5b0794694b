"""Torch bodies of operators and architectures."""

from hot.nn.backbone import keep_model_space, load_model_space, space_from_model
from hot.nn.blocks import ACTIVATIONS, build_block, build_head, example, initialise
from hot.nn.build import Network, build
from hot.nn.discover import Discovery, Found, discover
from hot.nn.fold import fold_norms
from hot.nn.graft import Grafted, Part
from hot.nn.library import Library
from hot.nn.operator import torch_operator
from hot.nn.pool import fix_pools
from hot.nn.seeded import seeded
from hot.nn.tensors import copy_state, load_state, read_tensors, write_tensors

__all__ = [
    "ACTIVATIONS",
    "Discovery",
    "Found",
    "Grafted",
    "Library",
    "Network",
    "Part",
    "build",
    "build_block",
    "build_head",
    "copy_state",
    "discover",
    "example",
    "fix_pools",
    "fold_norms",
    "initialise",
    "keep_model_space",
    "load_model_space",
    "load_state",
    "read_tensors",
    "seeded",
    "space_from_model",
    "torch_operator",
    "write_tensors",
]
