"""Analytic counts agree with torch modules, counted by independent tools."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from hot.nn import build, build_block
from hot.space import PRECISIONS, Block, Conv, Rules, Shape, count_block, load_space


def traced_macs(module, x):
    """MACs by torch's own counter, which watches the operators that run."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module.eval()(x)
    return counter.get_total_flops() // 2


def deployed_bytes(module, precision):
    """Weights and folded biases, walked over the module itself."""
    bytes_of = PRECISIONS[precision]
    total = 0
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            total += part.weight.numel() * bytes_of.weight
            total += part.weight.shape[0] * bytes_of.bias
    return total


def traced_peak(module, x):
    """Peak live elements by replaying the block's tensors, for blocks without projection."""
    sizes = []

    def record(part, inputs, output):
        sizes.append((inputs[0].numel(), output.numel()))

    hooks = [p.register_forward_hook(record) for p in module.modules() if isinstance(p, nn.Conv2d)]
    module.eval()(x)
    for hook in hooks:
        hook.remove()
    held = x.numel() if module.has_shortcut else 0
    return max(a + b + (held if i else 0) for i, (a, b) in enumerate(sizes))


@pytest.mark.parametrize("name", ["digits", "mobilenetv2_32", "resnet18"])
def test_counts_of_random_architectures_equal_those_of_the_traced_module(name):
    space = load_space(name, resolution=32)
    rng = np.random.default_rng(0)
    for architecture in [space.original, *(space.sample(rng) for _ in range(4))]:
        module, counts = build(space, architecture), space.counts(architecture)
        assert counts.params == sum(p.numel() for p in module.parameters())
        assert counts.macs == traced_macs(module, torch.randn(1, *space.stem_input))
        for precision in PRECISIONS:
            assert counts.weight_bytes(precision) == deployed_bytes(module, precision)


def test_counts_of_every_choice_equal_those_of_its_module():
    space = load_space("mobilenetv2", resolution=64)
    for slot in space.slots:
        layer = slot.layers[0]
        for choice in slot.choices:
            block = choice.block(layer, space.rules)
            module, x = build_block(block, space.rules), torch.randn(1, *layer.input)
            counts = count_block(block, layer.input)
            assert counts.params == sum(p.numel() for p in module.parameters())
            assert counts.macs == traced_macs(module, x)
            assert counts.peak_activations == traced_peak(module, x)


def test_the_published_counts_of_mobilenetv2_and_resnet18_are_reproduced():
    mobilenet = load_space("mobilenetv2")
    assert mobilenet.counts(mobilenet.original).params == 3_504_872  # torchvision's table
    assert mobilenet.counts(mobilenet.original).macs == 300_774_272  # 0.30 GMACs
    resnet = load_space("resnet18")
    assert resnet.counts(resnet.original).params == 11_689_512
    assert resnet.counts(resnet.original).macs == 1_814_073_344  # 1.81 GMACs


def test_counts_of_a_small_block_are_those_counted_by_hand():
    block = Block((Conv(2, 4, 1), Conv(4, 2, 3, has_activation=False)), shortcut=())
    counts = count_block(block, Shape(2, 5, 5))
    assert counts.macs == 25 * (2 * 4) + 25 * (4 * 2 * 9)
    assert counts.params == 2 * 4 + 2 * 4 + 4 * 2 * 9 + 2 * 2
    assert counts.weight_bytes("fp32") == 4 * (8 + 72 + 4 + 2)
    assert counts.weight_bytes("int8") == 8 + 72 + 4 * (4 + 2)
    assert counts.peak_activations == 100 + 50 + 50  # second convolution, input held


def test_a_projection_shortcut_is_alive_beside_the_main_path():
    block = Block((Conv(2, 4, 3, 2),), shortcut=(Conv(2, 4, 1, 2),))
    counts = count_block(block, Shape(2, 4, 4))
    assert counts.peak_activations == 32 + 16 + 16  # input, main output, projection's output


def test_pooling_after_the_stem_shrinks_the_map_as_torch_does():
    block = Block((Conv(3, 8, 7, 2),), pool_stride=2)
    module = build_block(block, Rules("relu"))
    assert module(torch.randn(1, 3, 33, 33)).shape[1:] == block.output(Shape(3, 33, 33))
