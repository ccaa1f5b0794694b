"""The contract of a task: what training needs to know of one kind of problem."""

from typing import Protocol

import numpy as np
from torch import Tensor

from hot.space import Shape, Space
from hot.tasks.images import DataOptions, ImageData, Split


class Task(Protocol):
    """One kind of problem: how its data are read, what its head gives, its loss and its metric."""

    @property
    def metric(self) -> str:
        """The metric's name, for example `accuracy`."""

    @property
    def higher_is_better(self) -> bool:
        """The metric's direction."""

    def load(self, source: str, shape: Shape, options: DataOptions) -> ImageData:
        """The data of `source` at the input shape of a space."""

    def check_head(self, space: Space, data: ImageData) -> None:
        """Raise `DataError` unless the head of `space` fits the data."""

    def collate(self, split: Split, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        """A batch: images uint8 (B, C, H, W), and targets."""

    def loss(self, outputs: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        """The mean loss of a batch, a scalar."""

    def score(self, outputs: Tensor, targets: Tensor) -> float:
        """The metric of all outputs of a split."""
