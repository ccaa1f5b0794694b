"""An Ethos-U over the network: a real server that runs Arm's compiler."""

import os
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from hot.devices import Settings, known_devices, make_device
from hot.devices.remote import make_remote
from hot.errors import DeployError
from hot.export import export_tflite, quantize_tflite
from hot.nn import build
from hot.records import Artifact
from hot.space import load_space

ROOT = Path(__file__).resolve().parents[2]
SERVING = runpy.run_path(str(ROOT / "scripts" / "serving.py"))
NAME = "ethos-u55-128"
MISSING = known_devices()[NAME].missing()
pytestmark = pytest.mark.skipif(
    MISSING is not None and os.environ.get("CI") != "true", reason=str(MISSING)
)


@pytest.fixture(scope="module")
def remote(skip_unless_ci, tmp_path_factory):
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ModuleNotFoundError as error:
        skip_unless_ci(f"{error.name} is not installed: pip install 'hot[server]'")
    server = SERVING["Server"](tmp_path_factory.mktemp("npu"), [NAME], dict(os.environ))
    with SERVING["running"](server):
        yield make_remote(f"{server.base}/{NAME}", token_file=str(server.token_file))


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """The digits network at int8."""
    torch.manual_seed(0)
    space, folder = load_space("digits"), tmp_path_factory.mktemp("digits")
    network = build(space, space.original)
    whole = export_tflite(network, space.stem_input, folder / "fp32.tflite")
    samples = [np.random.default_rng(0).standard_normal(whole.input_shape).astype(np.float32)]
    return quantize_tflite(whole, "int8", samples, folder / "net.tflite")


def test_estimates_and_compiled_files_are_those_of_this_machine(remote, digits, tmp_path):
    local = make_device(NAME)
    assert remote.describe() == local.describe()
    settings = Settings(per_node=True)
    assert remote.measure(digits, settings) == local.measure(digits, settings)
    there = remote.compile(digits, tmp_path / "there")
    here = local.compile(digits, tmp_path / "here")
    local.close()
    names = sorted(path.name for path in here)
    assert (sorted(path.name for path in there), names[-1]) == (names, "net_vela.tflite")
    ours, theirs = tmp_path / "here" / names[-1], tmp_path / "there" / names[-1]
    assert theirs.read_bytes() == ours.read_bytes()
    assert b"Ethos_U55" in (tmp_path / "there" / names[0]).read_bytes()


def test_a_model_with_operators_for_the_host_is_not_compiled_there(remote, digits, tmp_path):
    plain = digits.path.with_name("fp32.tflite")
    with pytest.raises(DeployError, match=r"fp32\.tflite .*host"):
        remote.compile(Artifact(plain, "int8", digits.input_shape), tmp_path)
    assert not list(tmp_path.iterdir())
