"""Augmentation of whole batches: random crops, flips and mixup, as tensor operations."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hot.records import Recipe


def augment(images: Tensor, recipe: Recipe, rng: np.random.Generator) -> Tensor:
    """A batch (B, C, H, W) of any type, each image cropped and flipped by itself."""
    if recipe.crop_padding:
        images = random_crop(images, recipe.crop_padding, rng)
    if recipe.horizontal_flip:
        images = random_flip(images, rng)
    return images


def random_crop(images: Tensor, padding: int, rng: np.random.Generator) -> Tensor:
    """Every image padded with zeros on all sides and cropped to its size at a random offset."""
    n, _, height, width = images.shape
    offsets = torch.from_numpy(rng.integers(2 * padding + 1, size=(2, n))).to(images.device)
    padded = functional.pad(images, [padding] * 4)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # a view: (B, C, 2p+1, 2p+1, H, W)
    return windows[torch.arange(n, device=images.device), :, offsets[0], offsets[1]]


def random_flip(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Every image mirrored left to right with probability 1/2."""
    is_flipped = torch.from_numpy(rng.random(len(images)) < 0.5).to(images.device)
    return torch.where(is_flipped[:, None, None, None], images.flip(3), images)


def mixup(images: Tensor, alpha: float, rng: np.random.Generator) -> tuple[Tensor, Tensor, float]:
    """Images blended with a permutation of themselves, the permutation, and the images' own weight.

    The loss is the weighted mean of those of the labels and of the permuted labels.

    References:
        Zhang et al., mixup: beyond empirical risk minimization, ICLR 2018.
    """
    weight = float(rng.beta(alpha, alpha))
    order = torch.from_numpy(rng.permutation(len(images))).to(images.device)
    return torch.lerp(images[order], images, weight), order, weight
