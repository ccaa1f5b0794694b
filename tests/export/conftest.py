"""A small network with real inputs: the digits space, scikit-learn's digits at 16x16."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from hot.export import export_onnx
from hot.nn import build
from hot.space import load_space


@pytest.fixture(scope="session")
def samples():
    """Thirty-two digits, each (1, 1, 16, 16) float32, zero mean and unit deviation."""
    images = load_digits().images[:32].repeat(2, axis=1).repeat(2, axis=2) / 16
    images = (images - images.mean()) / images.std()
    return [image[None, None].astype(np.float32) for image in images]


@pytest.fixture(scope="session")
def network(samples):
    torch.manual_seed(0)
    space = load_space("digits", width=0.7)
    module = build(space, space.original)
    module.train()
    for _ in range(20):  # the norms take on the data's statistics
        with torch.no_grad():
            module(torch.from_numpy(np.concatenate(samples)))
    return module.eval()


@pytest.fixture(scope="session")
def artifact(network, tmp_path_factory):
    space = load_space("digits", width=0.7)
    return export_onnx(network, space.stem_input, tmp_path_factory.mktemp("onnx") / "fp32.onnx")
