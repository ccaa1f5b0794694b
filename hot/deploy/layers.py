"""What a runtime gives of a quantised artifact and its fp32 reference, layer by layer."""

from collections.abc import Iterable
from typing import Protocol

import numpy as np

Pair = tuple[np.ndarray, np.ndarray]


class LayerPairs(Protocol):
    """Layers that two artifacts of one network share.

    Attributes:
        inputs: of every layer, in graph order, the layers it reads; `INPUT` is the network's input.
    """

    inputs: dict[str, tuple[str, ...]]

    def run(self, image: np.ndarray) -> Iterable[Pair]:
        """The fp32 output of every layer and the quantised one, for an image (1, C, H, W)."""
