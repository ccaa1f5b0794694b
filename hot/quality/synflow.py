"""SynFlow: how much signal an untrained network passes, without data.

References:
    Tanaka, Kunin, Yamins and Ganguli, Pruning neural networks without any data by iteratively
    conserving synaptic flow, NeurIPS 2020, sections 4 and 6.
    Abdelfattah et al., Zero-Cost Proxies for Lightweight NAS, ICLR 2021 (the sum as a score).
"""

import copy
import math

import torch
from torch import Tensor, nn

from hot.quality.naswot import is_activation
from hot.quality.untrained import Untrained
from hot.tasks import Task

NORMS = (
    nn.modules.batchnorm._BatchNorm,
    nn.modules.instancenorm._InstanceNorm,
    nn.LayerNorm,
    nn.GroupNorm,
)


def synflow(network: nn.Module, images: list[Tensor], targets: list[Tensor], task: Task) -> float:
    """log Σ |θ ∂R/∂θ| over weights, R = 1ᵀ f(1) of the network made linear and positive.

    Weights are replaced by their absolute values; normalisation and activations by the identity, as
    R is a product of weights alone; biases by zero. Double precision, and the logarithm, hold the
    sum of deep networks: it is finite up to about 150 layers.
    """
    linear = copy.deepcopy(network).double().eval()
    weights = []
    with torch.no_grad():
        for name, part in list(linear.named_modules()):
            if isinstance(part, NORMS) or is_activation(part):
                linear.set_submodule(name, nn.Identity())
        for name, parameter in linear.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            else:
                parameter.abs_()
                weights.append(parameter)
    ones = torch.ones_like(images[0][:1], dtype=torch.float64)
    flow = linear(ones).sum()  # R
    gradients = torch.autograd.grad(flow, weights, allow_unused=True)
    total = sum(
        float((weight.detach() * gradient).abs().sum())
        for weight, gradient in zip(weights, gradients, strict=True)
        if gradient is not None
    )
    return math.log(total) if total > 0 else -math.inf


SYNFLOW = Untrained("synflow", synflow, n_batches=0, images=1.0)
