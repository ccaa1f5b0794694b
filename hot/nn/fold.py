"""Batch normalisation folded into the convolution before it, as deployment runs it."""

import copy
import itertools
from typing import cast

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_norms(module: nn.Module) -> nn.Module:
    """A copy of `module` in evaluation mode, each convolution merged with the norm that follows it.

    The outputs agree up to rounding. Only a norm that stands directly after a convolution in a
    `Sequential` is folded; others stay.
    """
    folded = copy.deepcopy(module).eval()
    for part in list(folded.modules()):
        if not isinstance(part, nn.Sequential):
            continue
        names = list(part._modules)
        for name, after in itertools.pairwise(names):
            conv, norm = part._modules[name], part._modules[after]
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                part._modules[name] = cast(nn.Module, fuse_conv_bn_eval(conv, norm))
                part._modules[after] = nn.Identity()
    return folded
