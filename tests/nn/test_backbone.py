"""Spaces from models: slots, choices, how they are named, kept and loaded again; bad input."""

import pytest
import torch
from torch import nn

from hot.errors import InputError, SpaceError
from hot.nn import build, space_from_model
from hot.records import RunFolder
from hot.space import load_spec

MENU = [{"operator": "ir", "expansion": [2], "kernel": [3]}, {"operator": "skip"}]


def test_the_original_comes_first_and_skip_only_where_shapes_allow(kit):
    class Down(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = kit.conv(16, 16, 2), kit.conv(16, 16)

        def forward(self, x):
            return self.b(self.a(x))

    space = space_from_model(kit.net(kit.own(16), Down()), 32, menu=MENU)
    assert [slot.keys for slot in space.slots] == [
        ("original", "ir-e2-k3", "skip"),
        ("original", "ir-e2-k3"),
    ]
    assert [slot.layers[0].stride for slot in space.slots] == [1, 2]


def test_equal_consecutive_blocks_take_one_choice_when_tied(kit):
    network = kit.net(kit.own(16), kit.own(16), kit.conv(16, 16), kit.own(16))
    space = space_from_model(network, 32, tie=True, menu=MENU)
    assert [len(slot.layers) for slot in space.slots] == [2, 1, 1]
    free = space_from_model(network, 32, menu=MENU)
    architecture, untied = space.parse("skip,original,ir-e2-k3"), "skip,skip,original,ir-e2-k3"
    assert space.counts(architecture) == free.counts(free.parse(untied))
    assert build(space, architecture)(torch.randn(2, 3, 32, 32)).shape == (2, 10)


def test_counts_of_the_original_are_those_of_the_model(kit):
    network = kit.net(kit.own(16))
    space = space_from_model(network, 8, menu=MENU)
    counts = space.counts(space.original)
    # by hand, at 8x8: the stem, two convolutions of 16 channels, the linear layer
    assert counts.macs == (27 * 16 + 2 * 9 * 16 * 16) * 64 + 160
    assert counts.params == sum(p.numel() for p in network.parameters())
    assert space.fixed_counts.macs == 27 * 16 * 64 + 160
    assert counts.biases == 3 * 16 + 10


def test_choices_far_above_the_original_are_left_out(kit):
    menu = [{"operator": "basic", "expansion": [1, 4], "kernel": [3]}]
    network = kit.net(kit.own(16))
    assert space_from_model(network, 16, menu=menu).slots[0].keys[1:] == (
        "basic-e1-k3",
        "basic-e4-k3",
    )
    few = space_from_model(network, 16, menu=menu, most_macs=3)
    assert few.slots[0].keys[1:] == ("basic-e1-k3",)


def test_group_widths_are_offered_where_they_divide(kit):
    menu = [{"operator": "plain", "kernel": [3], "group": [0, 8, 16, 5]}]
    space = space_from_model(kit.net(kit.own(16)), 16, menu=menu)
    assert space.slots[0].keys == ("original", "plain-k3", "plain-k3-g8")


def test_a_file_says_what_arguments_say(kit, tmp_path):
    path = tmp_path / "blocks.yaml"
    path.write_text("blocks: [Own]\ntie: true\nmenu: [{operator: skip}]\n")
    network = kit.net(kit.own(16), kit.own(16))
    space = space_from_model(network, 16, file=path)
    assert [slot.keys for slot in space.slots] == [("original", "skip")]
    path.write_text("block: [Own]\n")
    with pytest.raises(SpaceError, match=r"blocks\.yaml.*did you mean 'blocks'"):
        space_from_model(network, 16, file=path)


def test_a_named_model_is_the_same_in_another_process_and_from_its_run(tmp_path):
    space = space_from_model(
        "timm/mobilenetv3_small_050", 32, weights="none", n_classes=7, in_channels=1, menu=MENU
    )
    assert (space.n_classes, space.stem_input) == (7, (1, 32, 32))
    assert load_spec(space.spec) == space
    run = RunFolder.create(tmp_path / "run", "a: 1\n")
    run.save_space(space.spec)
    moved = (tmp_path / "run").rename(tmp_path / "moved")
    again = RunFolder.open(moved).space()
    assert again == space and again.key == space.key
    image = torch.randn(1, 1, 32, 32)
    with torch.no_grad():
        scores = [build(s, s.original).eval()(image) for s in (space, again)]
    assert torch.equal(*scores)


def test_weights_come_from_files_of_both_kinds(tmp_path):
    from safetensors.torch import save_file
    from torchvision.models import squeezenet1_1

    torch.manual_seed(1)
    state = squeezenet1_1(num_classes=1000).state_dict()
    torch.save({"state_dict": state}, tmp_path / "a.pt")
    save_file(state, tmp_path / "b.safetensors")
    spaces = [
        space_from_model("torchvision/squeezenet1_1", 32, weights=tmp_path / name, menu=MENU)
        for name in ("a.pt", "b.safetensors")
    ]
    assert spaces[0].backbone.weights == spaces[1].backbone.weights
    assert torch.equal(spaces[0].backbone.make().features[0].weight, state["features.0.weight"])


def test_a_factory_of_the_users_own_is_named_by_package_and_function(tmp_path, monkeypatch):
    (tmp_path / "my_models.py").write_text(
        "from torch import nn\n"
        "def tiny():\n"
        "    return nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 1, 1),\n"
        "        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))\n"
        "def broken():\n"
        "    raise RuntimeError('no luck')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    space = space_from_model("my_models:tiny", 16)
    assert (space.name, space.n_classes, len(space.slots)) == ("my_models_tiny", 5, 1)
    with pytest.raises(SpaceError, match="'my_models:broken' failed: no luck"):
        space_from_model("my_models:broken", 16)
    with pytest.raises(SpaceError, match="cannot import 'my_models:none'"):
        space_from_model("my_models:none", 16)


def test_an_object_cannot_be_kept_in_a_run(kit, tmp_path):
    space = space_from_model(kit.net(kit.own(16)), 16)
    run = RunFolder.create(tmp_path / "run", "a: 1\n")
    with pytest.raises(InputError, match="give the model by name"):
        run.save_space(space.spec)


def test_another_number_of_classes_draws_the_classifier_anew(kit):
    network = kit.net(kit.own(16))
    space = space_from_model(network, 16, n_classes=3)
    made = space.backbone.make()
    assert (space.n_classes, made.fc.out_features) == (3, 3)
    assert torch.equal(made.stem[0].weight, network.stem[0].weight)


class Few(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 8, 8)

    def forward(self, x):
        return self.conv(x).mean((2, 3))


class Pair(Few):
    def forward(self, x):
        return (super().forward(x),)


BAD = {
    "no block": ((Few(), 16), {}, "no block of Few can be replaced"),
    "no example": ((Few(),), {}, "give an example for Few"),
    "no batch": ((Few(), torch.zeros(3, 8, 8)), {}, r"\(B, C, H, W\), not \(3, 8, 8\)"),
    "tiny": ((Few(), 4), {}, "between 8 and 4096 pixels"),
    "channels": ((Few(), (1, 16, 16)), {}, "Few cannot run on an input of shape"),
    "structure": ((Pair(), 16), {}, "gives tuple, not a tensor of scores"),
    "source": (("keras/a", 16), {}, "write timm/NAME, torchvision/NAME or package"),
    "timm name": (("timm/mobilenetv3_smal_050", 16), {}, "did you mean 'mobilenetv3_small_050'"),
    "vision name": (("torchvision/resnet81", 16), {}, "did you mean 'resnet18'"),
    "weights": (("torchvision/resnet18", 16), {"weights": "no.pt"}, "no weights at no.pt"),
    "in_channels": (("torchvision/resnet18", 16), {"in_channels": 1}, "take 3 channels"),
    "classes": ((Few(), 16), {"n_classes": 1}, "n_classes must be at least 2"),
    "operator": (
        ("torchvision/resnet18", 32),
        {"weights": "none", "menu": [{"operator": "irr"}]},
        "did you mean 'ir'",
    ),
    "menu key": (
        ("torchvision/resnet18", 32),
        {"weights": "none", "menu": [{"operator": "ir", "kernels": [3]}]},
        "did you mean '0.kernel'",
    ),
    "most_macs": (
        ("torchvision/resnet18", 32),
        {"weights": "none", "most_macs": 0.0001, "menu": [{"operator": "plain", "kernel": [3]}]},
        "no operator of the menu can stand",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_with_what_to_do(case):
    arguments, options, words = BAD[case]
    with pytest.raises(SpaceError, match=words):
        space_from_model(*arguments, **options)


@pytest.mark.parametrize("content", [b"", b"no tensors", b"PK\x03\x04 cut"])
def test_damaged_weights_are_refused(tmp_path, content):
    for name in ("a.pt", "a.safetensors"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SpaceError, match=f"cannot read the weights .*{name}"):
            space_from_model("torchvision/squeezenet1_1", 32, weights=tmp_path / name)


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save({"a": torch.zeros(3)}, tmp_path / "a.pt")
    with pytest.raises(SpaceError, match=r"do not fit torchvision/squeezenet1_1: Missing key"):
        space_from_model("torchvision/squeezenet1_1", 32, weights=tmp_path / "a.pt")


def test_a_download_that_fails_says_how_to_go_on(monkeypatch):
    import timm

    def offline(name, pretrained, **options):
        raise OSError("Name or service not known")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(SpaceError, match=r"\(Name or service not known\); give weights=FILE"):
        space_from_model("timm/resnet18", 32)
