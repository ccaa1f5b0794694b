import os

import numpy as np
import pytest
import torch
from torch import nn

from hot.devices import known_devices
from hot.errors import DeployError
from hot.export import TfliteModel, export_tflite, export_tflite_all
from hot.space import Shape

MISSING = known_devices()["litert"].missing()
pytestmark = pytest.mark.skipif(
    MISSING is not None and os.environ.get("CI") != "true", reason=str(MISSING)
)


class Twice(nn.Module):
    """A residual block whose map is read twice."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return torch.relu(self.conv(x)) + x


def test_each_file_computes_what_its_module_does(tmp_path):
    torch.manual_seed(0)
    modules = [
        Twice(4),
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)),
        nn.Sequential(nn.Conv2d(5, 7, 3, stride=2, padding=1), nn.ReLU6()),
        Twice(4),
    ]
    shapes = [Shape(4, 8, 8), Shape(6, 5, 5), Shape(5, 9, 9), Shape(4, 6, 6)]
    paths = [tmp_path / f"{index}.tflite" for index in range(4)]
    artifacts = export_tflite_all(modules, shapes, paths)
    rng = np.random.default_rng(0)
    for module, shape, artifact in zip(modules, shapes, artifacts, strict=True):
        assert artifact.input_shape == (1, shape.channels, shape.height, shape.width)
        x = rng.standard_normal(artifact.input_shape).astype(np.float32)
        wanted = module.eval()(torch.from_numpy(x)).detach().numpy()
        got = TfliteModel(artifact).run(x)
        if wanted.ndim == 4 and got.shape != wanted.shape:
            got = got.transpose(0, 3, 1, 2)
        np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_a_file_holds_no_more_than_the_one_of_its_module_alone(tmp_path):
    modules = [Twice(16), nn.Conv2d(3, 64, 5)]
    shapes = [Shape(16, 8, 8), Shape(3, 16, 16)]
    together = export_tflite_all(modules, shapes, [tmp_path / "a.tflite", tmp_path / "b.tflite"])
    alone = export_tflite(modules[0], shapes[0], tmp_path / "alone.tflite")
    assert together[0].path.stat().st_size <= alone.path.stat().st_size * 1.05


def test_what_cannot_be_converted_is_told(tmp_path):
    class Odd(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(DeployError, match="cannot be written as TFLite"):
        export_tflite_all([Odd()], [Shape(3, 4, 4)], [tmp_path / "odd.tflite"])
