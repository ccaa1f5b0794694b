"""Search spaces: operators, slots, architectures, analytic counts, YAML; no torch."""

from hot.space.counts import PRECISIONS, Counts, count_block
from hot.space.foreign import Backbone, Foreign, count_body
from hot.space.load import (
    describe_space,
    find_space,
    keep_spec,
    load_kept,
    load_space,
    load_spec,
    space_files,
)
from hot.space.menu import MenuRow, expand_menu
from hot.space.operators import (
    OPERATORS,
    Choice,
    Layer,
    Operator,
    Rules,
    known_operators,
    parse_choice,
    register_operator,
)
from hot.space.shapes import Block, Conv, Shape, make_divisible
from hot.space.space import Architecture, Head, Slot, Space
from hot.space.spec import ModelSpec, SpaceSpec

__all__ = [
    "OPERATORS",
    "PRECISIONS",
    "Architecture",
    "Backbone",
    "Block",
    "Choice",
    "Conv",
    "Counts",
    "Foreign",
    "Head",
    "Layer",
    "MenuRow",
    "ModelSpec",
    "Operator",
    "Rules",
    "Shape",
    "Slot",
    "Space",
    "SpaceSpec",
    "count_block",
    "count_body",
    "describe_space",
    "expand_menu",
    "find_space",
    "keep_spec",
    "known_operators",
    "load_kept",
    "load_space",
    "load_spec",
    "make_divisible",
    "parse_choice",
    "register_operator",
    "space_files",
]
