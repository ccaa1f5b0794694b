"""Image classification: one class an image, cross-entropy, accuracy."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hot.errors import DataError
from hot.space import Shape, Space
from hot.tasks.images import DataOptions, ImageData, Split, load_images


@dataclass(frozen=True)
class Classification:
    """One class an image; the head gives one score a class."""

    metric: str = "accuracy"
    higher_is_better: bool = True

    def load(self, source: str, shape: Shape, options: DataOptions) -> ImageData:
        """The images of `source`; raises what `load_images` raises."""
        return load_images(
            source,
            shape,
            seed=options.seed,
            val_fraction=options.val_fraction,
            n_train=options.n_train,
            n_val=options.n_val,
            n_test=options.n_test,
            download=options.download,
        )

    def check_head(self, space: Space, data: ImageData) -> None:
        """Raise `DataError` unless the space has the data's class count and input shape."""
        if space.n_classes != len(data.class_names):
            raise DataError(
                f"the space {space.name!r} has {space.n_classes} classes, the data have "
                f"{len(data.class_names)}; load the space with n_classes={len(data.class_names)} "
                f"(--classes {len(data.class_names)})"
            )
        shape = Shape(*data.train.images.shape[1:])
        if space.stem_input != shape:
            raise DataError(
                f"the space {space.name!r} takes images {space.stem_input}, the data are {shape}; "
                "load the data at the space's shape"
            )

    def collate(self, split: Split, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        """Images uint8 (B, C, H, W) and labels int64 (B,)."""
        return torch.from_numpy(split.images[indices]), torch.from_numpy(split.labels[indices])

    def loss(self, outputs: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        """Cross-entropy of scores (B, n_classes) and labels (B,), in nats."""
        return functional.cross_entropy(outputs, targets, label_smoothing=smoothing)

    def score(self, outputs: Tensor, targets: Tensor) -> float:
        """The fraction of images whose highest score is at their label."""
        return float((outputs.argmax(1) == targets).double().mean())
