"""A model file that a device can run."""

import re
from dataclasses import dataclass
from pathlib import Path

_PART = re.compile(r"/(?:(stem|head)/|(\w+)/\2\.(\d+)/)")


@dataclass(frozen=True)
class Artifact:
    """A model file with what a device needs to know to run it.

    Attributes:
        path: the file; its nodes are named by the part of the network they belong to.
        precision: one of `hot.space.PRECISIONS`.
        input_shape: (1, C, H, W), float32.
    """

    path: Path
    precision: str
    input_shape: tuple[int, int, int, int]

    @property
    def format(self) -> str:
        """`onnx` or `tflite`, by the file's suffix."""
        return self.path.suffix.removeprefix(".")


def part_of(node_name: str) -> str | None:
    """The part of the network a node belongs to, or None for a node of no part.

    Parts are `stem`, `head` and `<slot>.<layer>`.

    >>> part_of("/b3/b3.1/convs/convs.0/convs.0.2/Clip"), part_of("/stem/convs/Conv"), part_of("x")
    ('b3.1', 'stem', None)
    """
    match = _PART.match(node_name)
    if match is None:
        return None
    return match[1] or f"{match[2]}.{match[3]}"
