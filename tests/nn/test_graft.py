"""Grafted networks: what was not replaced stays as it was, and the exported twin agrees."""

import copy
import pickle

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from hot.errors import SpaceError
from hot.export import export_onnx
from hot.nn import build, discover, seeded, space_from_model
from hot.records import part_of
from hot.space import Shape

MODELS = [
    "timm/mobilenetv3_small_050", "torchvision/resnet18", "timm/convnext_atto", "timm/repvgg_a0",
    "torchvision/squeezenet1_1", "timm/mobilenetv4_conv_small", "timm/tf_efficientnet_b0",
    "torchvision/regnet_x_400mf", "timm/edgenext_xx_small",
]  # fmt: skip


@pytest.fixture
def small(kit):
    network = kit.net(kit.own(16), kit.own(16), kit.conv(16, 16))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.3, 0.3)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return network.eval()


@pytest.mark.parametrize("name", MODELS)
def test_random_architectures_of_real_models_run_export_and_count(name, tmp_path):
    space = space_from_model(name, 32, weights="none")
    rng = np.random.default_rng(0)
    for architecture in (space.original, space.sample(rng)):
        with seeded(0):
            network = build(space, architecture).eval()
            image = torch.randn(1, *space.stem_input)
            scores = network(image).numpy()
        assert sum(p.numel() for p in network.parameters()) == space.counts(architecture).params
        artifact = export_onnx(network, space.stem_input, tmp_path / "network.onnx")
        session = onnxruntime.InferenceSession(artifact.path, providers=["CPUExecutionProvider"])
        (got,) = session.run(None, {"input": image.numpy()})
        assert np.allclose(got, scores, rtol=1e-3, atol=1e-5 * np.abs(scores).max())


def test_the_original_gives_the_models_own_scores(small):
    space = space_from_model(small, 32)
    image = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(build(space, space.original).eval()(image), small(image))


def test_the_model_that_was_given_is_not_changed(small):
    before = copy.deepcopy(small.state_dict())
    space = space_from_model(small, 32)
    network = build(space, space.sample(np.random.default_rng(0)))
    network(torch.randn(2, 3, 32, 32)).sum().backward()
    for parameter in network.parameters():
        parameter.data.zero_()
    assert all(torch.equal(value, before[key]) for key, value in small.state_dict().items())
    assert all(p.grad is None for p in small.parameters())


def test_weights_of_what_stays_are_kept_and_keys_outside_the_parts_are_equal(small):
    space = space_from_model(small, 32)
    outside = []
    for seed in range(3):
        network = build(space, space.sample(np.random.default_rng(seed)))
        state = network.state_dict()
        outside.append({key for key in state if ".part-" not in key})
        for key in outside[-1]:
            assert torch.equal(state[key], small.state_dict()[key.removeprefix("network.")])
    assert outside[0] == outside[1] == outside[2]


def test_parts_are_reached_and_replaced_by_name(small):
    space = space_from_model(small, 32)
    network = build(space, space.original).eval()
    names = list(space.parts)
    assert names == ["blocks_0.0", "blocks_1.0", "blocks_2_0.0"]
    image = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        before = network(image)
        for name in names:
            network.set_part(name, nn.Identity())
        assert isinstance(network.part(names[0]), nn.Identity)
        assert torch.allclose(network(image), small.fc(small.stem(image).mean((2, 3))))
        assert not torch.allclose(network(image), before)


def test_equal_seeds_give_equal_new_blocks(small):
    space = space_from_model(small, 32)
    architecture = space.sample(np.random.default_rng(1))
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(build(space, architecture).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_dropout_acts_before_the_classifier_and_only_in_training(small):
    space = space_from_model(small, 32)
    network = build(space, space.original, dropout=0.5).eval()
    seen = []
    network.get_submodule("network.fc").register_forward_hook(
        lambda module, inputs, out: seen.append(inputs[0])
    )
    image = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(network(image), small(image))
        network.train()(image)
    assert not (seen[0] == 0).any()
    assert (seen[1] == 0).any()


def test_every_node_of_the_artifact_is_named_by_its_part(small, tmp_path):
    space = space_from_model(small, 32)
    artifact = export_onnx(build(space, space.original), space.stem_input, tmp_path / "m.onnx")
    parts = [part_of(node.name) for node in onnx.load(artifact.path).graph.node]
    assert set(parts) == {"stem", *space.parts}
    assert parts[0] == parts[-1] == "stem"


def test_a_space_can_go_to_another_process(small):
    space = space_from_model(small, 32)
    twin = pickle.loads(pickle.dumps(space))
    assert twin == space and twin.key == space.key
    image = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(build(twin, twin.original).eval()(image), small(image))


def test_an_architecture_of_another_space_is_refused(small):
    space = space_from_model(small, 32)
    other = space_from_model(small, 32, menu=[{"operator": "ir", "expansion": [7], "kernel": [3]}])
    with pytest.raises(SpaceError, match="has no choice"):
        build(space, other.parse("ir-e7-k3,ir-e7-k3,ir-e7-k3"))


def test_a_chain_in_a_sequential_leaves_nothing_behind_it():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(),
        nn.Conv2d(8, 16, 3, 1, 1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.MaxPool2d(2), nn.Conv2d(16, 16, 3, 1, 1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4),
    ).eval()  # fmt: skip
    assert [b.paths for b in discover(network, Shape(3, 32, 32)).blocks] == [
        ("2", "3", "4"),
        ("6", "7"),
    ]
    space = space_from_model(network, 32, menu=[{"operator": "plain", "kernel": [1]}])
    grafted = build(space, space.parse("plain-k1,plain-k1")).eval()
    names = [type(module).__name__ for module in grafted.network]
    assert names[2:5] == ["Part", "Identity", "Identity"]
    assert grafted(torch.randn(1, 3, 32, 32)).shape == (1, 4)
