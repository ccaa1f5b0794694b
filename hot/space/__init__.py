"""Search spaces: operators, slots, architectures, analytic counts, YAML; no torch."""

from hot.space.counts import PRECISIONS, Counts, count_block
from hot.space.load import SpaceSpec, describe_space, find_space, load_space, space_files
from hot.space.operators import OPERATORS, Choice, Layer, Operator, Rules, parse_choice
from hot.space.shapes import Block, Conv, Shape, make_divisible
from hot.space.space import Architecture, Head, Slot, Space

__all__ = [
    "OPERATORS",
    "PRECISIONS",
    "Architecture",
    "Block",
    "Choice",
    "Conv",
    "Counts",
    "Head",
    "Layer",
    "Operator",
    "Rules",
    "Shape",
    "Slot",
    "Space",
    "SpaceSpec",
    "count_block",
    "describe_space",
    "find_space",
    "load_space",
    "make_divisible",
    "parse_choice",
    "space_files",
]
