"""NASWOT: how differently the activations of an untrained network see different images.

References:
    Mellor, Turner, Storkey and Crowley, Neural Architecture Search without Training, ICML 2021,
    eq. (1) and (2).
"""

import torch
from torch import Tensor, nn

from hot.errors import InputError
from hot.quality.untrained import BATCH, Untrained
from hot.tasks import Task

# by name, because torch, timm and others have classes of their own for them
ACTIVATIONS = frozenset(
    [
        *("relu", "relu6", "leakyrelu", "prelu", "elu", "selu", "gelu", "gelutanh", "quickgelu"),
        *("silu", "swish", "mish", "hardswish", "hardmish"),
    ]
)


def is_activation(module: nn.Module) -> bool:
    """Whether a module is an activation that passes positive inputs and damps negative ones."""
    return type(module).__name__.lower() in ACTIVATIONS


def naswot(network: nn.Module, images: list[Tensor], targets: list[Tensor], task: Task) -> float:
    """log |K_H|, where K_H counts the units on which two images agree.

    c_i is the binary code of image i: which inputs of activations are positive.
    K_H[i, j] = N_A - d_H(c_i, c_j), with N_A units and the Hamming distance d_H.

    Raises:
        InputError: the network has no activation that is a module.
    """
    (batch,) = images
    kernel = torch.zeros(len(batch), len(batch), dtype=torch.float64)

    def add(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        code = (given[0].detach().flatten(1) > 0).float()
        both_on, both_off = code @ code.T, (1 - code) @ (1 - code).T
        kernel.add_((both_on + both_off).double().cpu())

    hooks = [
        part.register_forward_pre_hook(add) for part in network.modules() if is_activation(part)
    ]
    if not hooks:
        raise InputError("naswot needs activations that are modules; the network has none")
    try:
        with torch.no_grad():
            network(batch)
    finally:
        for hook in hooks:
            hook.remove()
    return float(torch.linalg.slogdet(kernel).logabsdet)


NASWOT = Untrained("naswot", naswot, n_batches=1, images=BATCH / 3)
