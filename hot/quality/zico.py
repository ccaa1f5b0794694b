"""ZiCo: how large and how steady the gradients of an untrained network are over batches.

References:
    Li, Yang, Bhardwaj and Marculescu, ZiCo: Zero-shot NAS via inverse coefficient of variation on
    gradients, ICLR 2023, section 3.3.
"""

import math

import torch
from torch import Tensor, nn

from hot.quality.untrained import BATCH, Untrained
from hot.tasks import Task

N_BATCHES = 2  # as in the paper


def zico(network: nn.Module, images: list[Tensor], targets: list[Tensor], task: Task) -> float:
    """Sum over layers of log Σ_ω E[|∇_ω L|] / sqrt(Var[|∇_ω L|]), over batches of images.

    Layers are the weights of convolutions and linear layers; a weight whose gradient does not vary
    (it has none) is left out of the sum, a layer without any other is too.
    """
    layers = [part.weight for part in network.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    samples: list[list[Tensor]] = [[] for _ in layers]
    for batch, wanted in zip(images, targets, strict=True):
        loss = task.loss(network(batch), wanted, 0.0)
        gradients = torch.autograd.grad(loss, layers, allow_unused=True)
        for sample, gradient in zip(samples, gradients, strict=True):
            if gradient is not None:
                sample.append(gradient.detach().abs().double())
    total = 0.0
    for sample in samples:
        if sample:
            stacked = torch.stack(sample)
            spread = stacked.std(0, correction=0)
            is_varied = spread > 0
            ratio = float((stacked.mean(0)[is_varied] / spread[is_varied]).sum())
            if ratio > 0:
                total += math.log(ratio)
    return total


ZICO = Untrained("zico", zico, n_batches=N_BATCHES, images=float(N_BATCHES * BATCH))
