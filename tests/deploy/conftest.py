"""A run with a network trained for a moment on scikit-learn's digits, and this machine."""

import shutil

import pytest
import torch

from hot.deploy import deploy
from hot.devices import Settings, make_device
from hot.records import Candidate, Prediction, Recipe, RunFolder
from hot.space import SpaceSpec, load_spec
from hot.tasks import load_images
from hot.training import fit

SPEC = SpaceSpec("digits", width=0.7)
QUICK = Settings(warmup=1, repetitions=3, best_of=1, max_remeasure=0)


def make_candidate(space, architecture, name, rank):
    counts = space.counts(architecture)
    predicted = Prediction(
        0.05, None, counts.macs, counts.params, counts.weight_bytes("int8"),
        counts.activation_bytes("int8"), float(counts.macs),
    )  # fmt: skip
    return Candidate(
        name, space.key, architecture.key, rank, "accuracy", predicted.quality,
        predicted.quality, True, predicted,
    )  # fmt: skip


@pytest.fixture(scope="session")
def data():
    return load_images("digits", load_spec(SPEC).stem_input)


@pytest.fixture(scope="session")
def trained(data, tmp_path_factory):
    """A run folder with one trained candidate, `baseline`, and its training result."""
    torch.set_num_threads(1)
    run = RunFolder.create(tmp_path_factory.mktemp("deploy") / "run", "config: 1\n")
    run.save_space(SPEC)
    space = run.space()
    result = fit(
        space, space.original, data, Recipe(epochs=3, batch_size=32, precision="fp32"),
        run.file("training", "baseline", "trial-0"), candidate="baseline", root=run.path,
    )  # fmt: skip
    candidate = make_candidate(space, space.original, "baseline", 0)
    run.save(candidate, "candidates", "baseline.json")
    run.save(result, "results", "baseline.json")
    return run, candidate, result


@pytest.fixture
def fresh(trained, tmp_path):
    """A copy of the run that a test may change."""
    run, candidate, result = trained
    shutil.copytree(run.path, tmp_path / "run")
    return RunFolder.open(tmp_path / "run"), candidate, result


@pytest.fixture(scope="session")
def device():
    return make_device("cpu", threads=1)


@pytest.fixture(scope="session")
def settings():
    return QUICK


@pytest.fixture(scope="session")
def deployed_once(trained, data, device, settings, tmp_path_factory):
    """A copy of the run, deployed at int8 once for all tests."""
    run, candidate, result = trained
    folder = tmp_path_factory.mktemp("deployed") / "run"
    shutil.copytree(run.path, folder)
    copy = RunFolder.open(folder)
    return copy, deploy(copy, candidate, result, data, device, "int8", settings)


@pytest.fixture
def deployed(deployed_once, tmp_path):
    """A copy of the deployed run that a test may change."""
    run, deployment = deployed_once
    shutil.copytree(run.path, tmp_path / "deployed")
    return RunFolder.open(tmp_path / "deployed"), deployment
