"""Exported networks: names of parts, and what the exporter alone would not write."""

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from hot.errors import DeployError
from hot.export import export_onnx
from hot.nn import seeded
from hot.space import Shape


class Odd(nn.Module):
    def forward(self, x):
        return torch.special.bessel_j0(x)


def test_what_onnx_cannot_say_is_an_error_of_one_line(tmp_path, capsys):
    with pytest.raises(DeployError, match="Odd cannot be written as ONNX"):
        export_onnx(Odd(), Shape(3, 8, 8), tmp_path / "odd.onnx")
    assert capsys.readouterr().out == ""
    assert list(tmp_path.iterdir()) == []


class Standardised(nn.Conv2d):
    """Not the convolution that its weight says, so that folding a norm into it would be wrong."""

    def forward(self, x):
        return self._conv_forward(x, self.weight - self.weight.mean(), self.bias)


class NormAct(nn.BatchNorm2d):
    def forward(self, x):
        return super().forward(x).relu()


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(Standardised(3, 8, 3), nn.BatchNorm2d(8)),
        nn.Sequential(nn.Conv2d(3, 8, 3), NormAct(8)),
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, track_running_stats=False)),
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(4)),
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d((10, None))),
    ],
    ids=["weights of its own", "norm with activation", "norm of the batch", "pool", "pool up"],
)
def test_the_artifact_says_what_the_module_says(network, tmp_path):
    with seeded(0):
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
        network = network.eval()
        image = torch.randn(1, 3, 9, 9)
        expected = network(image).numpy()
    artifact = export_onnx(network, Shape(3, 9, 9), tmp_path / "network.onnx")
    session = onnxruntime.InferenceSession(artifact.path, providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"input": image.numpy()})
    assert np.allclose(got, expected, rtol=1e-4, atol=1e-5)
