"""What the check of an upload finds out about a model."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelFacts:
    """A model that passed.

    Attributes:
        format: `onnx` or `tflite`.
        input_shape: of its one input, in the model's own order of axes.
    """

    format: str
    input_shape: tuple[int, ...]
