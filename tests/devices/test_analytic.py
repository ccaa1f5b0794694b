from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from hot.devices import Settings, make_device
from hot.devices.analytic import Analytic
from hot.export import export_onnx, quantize
from hot.nn import build
from hot.records import Artifact
from hot.space import Shape, load_space


class ResNet8(nn.Module):
    """ResNet8 of MLPerf Tiny, on CIFAR-10's 32x32 images: 12.5 M MACs."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        widths = [(16, 16, 1), (16, 32, 2), (32, 64, 2)]
        self.first = nn.ModuleList(nn.Conv2d(a, b, 3, s, 1) for a, b, s in widths)
        self.second = nn.ModuleList(nn.Conv2d(b, b, 3, 1, 1) for _, b, _ in widths)
        self.across = nn.ModuleList(
            nn.Conv2d(a, b, 1, s) if s > 1 else nn.Identity() for a, b, s in widths
        )
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        for first, second, across in zip(self.first, self.second, self.across, strict=True):
            x = torch.relu(second(torch.relu(first(x))) + across(x))
        return self.head(x.mean((2, 3)))


@pytest.fixture(scope="module")
def resnet8(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resnet8")
    torch.manual_seed(0)
    fp32 = export_onnx(ResNet8(), Shape(3, 32, 32), folder / "fp32.onnx")
    samples = [np.random.default_rng(0).standard_normal((1, 3, 32, 32)).astype(np.float32)]
    return quantize(fp32, "int8", samples, folder / "int8.onnx")


def test_the_time_of_a_layer_is_its_arithmetic_or_its_traffic_plus_the_constant(one_convolution):
    result = make_device("reference").measure(one_convolution, Settings(per_node=True))
    macs, traffic = 115_200, 4 * (16 * 8 * 9 + 16 + 800 + 1600)
    assert result.latency_ms == pytest.approx(1e3 * (max(macs, traffic) / 1e9 + 10e-6))
    assert result.energy_mj == pytest.approx(result.latency_ms * 100 / 1e3)
    assert [node.name for node in result.nodes] == ["/stem/conv"]


def test_resnet8_on_stm32h743_agrees_with_the_published_measurement(resnet8):
    # Risso et al., ISLPED 2022: 125 ms and 29.3 mJ; their network has 12.7 M MACs, this one 12.5 M.
    result = make_device("stm32h743").measure(resnet8, Settings())
    assert result.latency_ms == pytest.approx(125, rel=0.05)
    assert result.energy_mj == pytest.approx(29.3, rel=0.05)


def test_gap8_is_faster_and_needs_less_energy_than_stm32h743(resnet8):
    gap8 = make_device("gap8").measure(resnet8, Settings())
    stm32 = make_device("stm32h743").measure(resnet8, Settings())
    assert gap8.latency_ms < stm32.latency_ms / 3
    # Garofalo et al. 2020: 39.5 times less at the most efficient point; here power is 51.5 mW.
    assert 10 < stm32.energy_mj / gap8.energy_mj < 40


def test_a_model_larger_than_the_memory_is_a_failure_with_both_figures(tmp_path):
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 1024))
    artifact = export_onnx(module, Shape(3, 32, 32), tmp_path / "big.onnx")
    result = make_device("stm32h743").measure(
        Artifact(artifact.path, "int8", artifact.input_shape), Settings()
    )
    assert result.latency_ms is None
    assert "3.00 MiB" in result.failure
    assert "2.00 MiB" in result.failure


def test_a_precision_without_a_peak_is_a_failure(one_convolution):
    result = make_device("gap8").measure(one_convolution, Settings())
    assert result.latency_ms is None
    assert "gap8 runs int8, not fp32" in result.failure


def test_nodes_add_up_to_the_whole(network):
    result = make_device("reference").measure(network, Settings(per_node=True))
    assert sum(node.latency_ms for node in result.nodes) == pytest.approx(result.latency_ms)


def test_another_constant_is_another_fingerprint():
    keys = {make_device(name).describe().key for name in ("reference", "gap8", "stm32h743")}
    assert len(keys) == 3


def test_with_external_memory_what_does_not_fit_runs_and_is_marked(tmp_path):
    space = load_space("mobilenetv2", resolution=96)  # 3.5 million weights; the flash holds 2 MiB
    torch.manual_seed(0)
    whole = export_onnx(build(space, space.original), space.stem_input, tmp_path / "fp32.onnx")
    artifact = replace(whole, precision="int8")  # the estimate reads shapes alone
    inside, outside = Analytic("stm32h743"), Analytic("stm32h743", external_memory=True)
    assert "does not fit" in inside.measure(artifact, Settings()).failure
    assert outside.measure(artifact, Settings()).latency_ms > 0
    assert outside.describe().notes
    assert not inside.describe().notes
    assert outside.describe().key != inside.describe().key
