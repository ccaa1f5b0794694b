"""A model file that a device can run."""

from dataclasses import dataclass
from pathlib import Path


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
