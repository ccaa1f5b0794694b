"""Batch normalisation folded into the convolution before it, as deployment runs it."""

import copy
import itertools
from typing import cast

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from hot.nn.blocks import Depthwise


def fold_norms(module: nn.Module) -> nn.Module:
    """A copy of `module` in evaluation mode, each convolution merged with the norm that follows it.

    The outputs agree up to rounding. Only a norm that stands directly after a convolution in a
    `Sequential` is folded; others stay, and so do classes derived from torch's, which may compute
    something else.
    """
    folded = copy.deepcopy(module).eval()
    for part in list(folded.modules()):
        if type(part).forward is not nn.Sequential.forward:
            continue
        names = list(part._modules)
        for name, after in itertools.pairwise(names):
            conv, norm = part._modules[name], part._modules[after]
            if not isinstance(conv, nn.Conv2d) or not isinstance(norm, nn.BatchNorm2d):
                continue
            is_plain = type(conv) in (nn.Conv2d, Depthwise) and type(norm) is nn.BatchNorm2d
            if is_plain and norm.running_mean is not None:
                part._modules[name] = cast(nn.Module, fuse_conv_bn_eval(conv, norm))
                part._modules[after] = nn.Identity()
    return folded
