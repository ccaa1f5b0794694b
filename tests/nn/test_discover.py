"""Blocks of real models are found, stages and stems are not; what is not taken has a reason."""

import pytest
import timm
import torch
import torchvision
from torch import nn

from hot.errors import SpaceError
from hot.nn import discover
from hot.space import Shape

IMAGE = Shape(3, 64, 64)
# The number of blocks that the papers' tables (or the models' own configurations) state.
MODELS = {
    "torchvision/mobilenet_v2": (17, "InvertedResidual"),
    "torchvision/mobilenet_v3_small": (11, "InvertedResidual"),
    "torchvision/efficientnet_b0": (16, "MBConv"),
    "torchvision/resnet18": (8, "BasicBlock"),
    "torchvision/regnet_x_400mf": (22, "ResBottleneckBlock"),
    "torchvision/vgg11_bn": (7, "Conv2d BatchNorm2d ReLU"),
    "timm/mobilenetv4_conv_small": (12, "UniversalInvertedResidual"),
    "timm/efficientnet_lite0": (15, "InvertedResidual"),
    "timm/convnext_atto": (12, "ConvNeXtBlock"),
    "timm/repvgg_a0": (21, "RepVggBlock"),
    "timm/starnet_s1": (15, "Block"),
}


def make(name):
    source, _, name = name.partition("/")
    if source == "timm":
        return timm.create_model(name).eval()
    return torchvision.models.get_model(name, weights=None).eval()


@pytest.mark.parametrize("name", MODELS)
def test_every_block_of_a_real_model_is_found(name):
    n_blocks, kind = MODELS[name]
    found = discover(make(name), IMAGE)
    assert sum(block.name == kind for block in found.blocks) == n_blocks
    total = sum(p.numel() for p in make(name).parameters())
    assert found.counts.params + sum(block.counts.params for block in found.blocks) == total


def test_a_block_of_unknown_class_is_found_whole(kit):
    found = discover(kit.net(kit.own(16), kit.own(16)).eval(), IMAGE)
    assert [block.paths for block in found.blocks] == [("blocks.0",), ("blocks.1",)]
    assert all(block.has_skip and block.stride == 1 for block in found.blocks)


def test_a_module_that_holds_blocks_is_no_block_itself(kit):
    class Level(nn.Module):
        def __init__(self, n):
            super().__init__()
            self.rows = nn.Sequential(*(kit.own(16) for _ in range(n)))

        def forward(self, x):
            return self.rows(x)

    found = discover(kit.net(Level(1), Level(2)).eval(), IMAGE)
    assert [b.paths[0] for b in found.blocks] == [
        "blocks.0.rows.0",
        "blocks.1.rows.0",
        "blocks.1.rows.1",
    ]


def test_a_long_chain_in_one_module_is_taken_for_a_stage(kit):
    class Many(nn.Module):
        def __init__(self):
            super().__init__()
            self.rows = nn.Sequential(*(kit.conv(16, 16) for _ in range(6)))

        def forward(self, x):
            return self.rows(x)

    found = discover(kit.net(Many()).eval(), IMAGE)
    assert "blocks.0" not in [b.paths[0] for b in found.blocks]
    assert len(found.blocks) == 6
    assert "6 spatial convolutions follow each other" in dict(found.refused)["blocks.0"]


def test_own_classes_are_named_plainly_dotted_or_with_wildcards(kit):
    class Pointwise(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(16, 16, 1)

        def forward(self, x):
            return self.conv(x)

    network = kit.net(Pointwise()).eval()
    assert discover(network, IMAGE).blocks == ()
    for name in ("Pointwise", f"{Pointwise.__module__}.{Pointwise.__qualname__}", "Point*"):
        assert [b.paths for b in discover(network, IMAGE, [name]).blocks] == [("blocks.0",)]


def test_a_class_that_no_module_has_is_refused_with_the_near_match(kit):
    with pytest.raises(SpaceError, match=r"'Own_'; did you mean 'Own'\?"):
        discover(kit.net(kit.own(16)).eval(), IMAGE, ["Own_"])


def test_a_predicate_decides_alone(kit):
    network = kit.net(kit.own(16), kit.own(16)).eval()
    found = discover(network, IMAGE, predicate=lambda path, module: path == "blocks.1.first")
    assert [block.paths for block in found.blocks] == [("blocks.1.first",)]


class Twice(nn.Module):
    def __init__(self, block):
        super().__init__()
        self.block = block

    def forward(self, x):
        return self.block(self.block(x))


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(16, 16, 3, padding=1)

    def forward(self, x, y):
        return self.conv(x) + y


class Calls(nn.Module):
    """Calls a block in a way of its own."""

    def __init__(self, block, call):
        super().__init__()
        self.block, self.call = block, call

    def forward(self, x):
        return self.call(self.block, x)


class InPlace(nn.Module):
    def __init__(self):
        super().__init__()
        self.act, self.a = nn.ReLU(inplace=True), nn.Conv2d(16, 16, 3, padding=1)
        self.b = nn.Conv2d(16, 16, 3, padding=1)

    def forward(self, x):
        return self.b(self.a(self.act(x)))


class Dynamic(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)

    def forward(self, x):
        y = self.b(self.a(x))
        n = 2 + int(y.flatten()[:64].gt(0).sum())
        return nn.functional.interpolate(y, size=(n, n))


class LastAxis(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(64)
        self.conv = nn.Conv2d(64, 64, 3, padding=1, groups=64)

    def forward(self, x):
        y = self.norm(x).permute(0, 3, 1, 2)
        return self.conv(y).permute(0, 2, 3, 1)


def tied(kit):
    a, b = kit.own(16), kit.own(16)
    b.first[0].weight = a.first[0].weight
    return kit.net(a, b)


def shared(kit):
    block = kit.own(16)
    return kit.net(block, block)


REFUSED = {
    "called twice": (lambda kit: kit.net(Twice(kit.own(16))), "blocks.0.block", "called 2 times"),
    "two inputs": (
        lambda kit: kit.net(Calls(TwoInputs(), lambda block, x: block(x, x + 1))),
        "blocks.0.block",
        "takes 2 tensors, not one",
    ),
    "a list": (
        lambda kit: kit.net(Calls(InList(), lambda block, x: block([x]))),
        "blocks.0.block",
        "its input in a list",
    ),
    "shared": (shared, "blocks.0", "called 2 times"),
    "tied": (tied, "blocks.0", "it shares weights with 'blocks.1.first.0'"),
    "in place": (lambda kit: kit.net(InPlace()), "blocks.0", "writes into its input in place"),
    "dynamic": (
        lambda kit: kit.net(Dynamic()),
        "blocks.0",
        "shapes depend on the values of the input",
    ),
    "layout": (lambda kit: kit.net(LastAxis()), "blocks.0", "not laid out as channels"),
    "image": (lambda kit: kit.net(), "stem.0", "it reads the image"),
}  # fmt: skip


class InList(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)

    def forward(self, xs):
        return self.b(self.a(xs[0]))


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_replaced_has_its_reason(kit, case):
    make_network, path, words = REFUSED[case]
    chosen = None if not path.endswith(".block") else (lambda at, module: at == path)
    found = discover(make_network(kit).eval(), IMAGE, predicate=chosen)
    assert words in dict(found.refused)[path]
    assert (path,) not in [block.paths for block in found.blocks]


def test_nothing_may_stand_where_a_neighbour_writes_into_the_map(kit):
    class Writes(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = kit.own(16)

        def forward(self, x):
            y = self.block(x)
            y += 1
            return y

    network = kit.net(Writes()).eval()
    found = discover(network, IMAGE, predicate=lambda path, module: path == "blocks.0.block")
    assert [block.has_skip for block in found.blocks] == [False]


def test_a_network_that_cannot_be_traced_symbolically_is_fine(kit):
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = kit.own(16)

        def forward(self, x):
            if x.abs().max() > 0:  # torch.fx stops here
                x = self.block(x)
            return x

    network = kit.net(Branches()).eval()
    with pytest.raises(torch.fx.proxy.TraceError):
        torch.fx.symbolic_trace(network)
    assert len(discover(network, IMAGE).blocks) == 1
