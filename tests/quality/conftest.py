from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hot.nn import Library, build
from hot.quality import Evidence
from hot.quality.settings import cores
from hot.records import DistillSettings, Recipe
from hot.space import Space, SpaceSpec, load_spec
from hot.tasks import ImageData, load_images
from hot.training import fit, load_weights


@pytest.fixture(autouse=True)
def one_core() -> Iterator[None]:
    """Small networks gain nothing by threads, and lose much where other work runs."""
    with cores(1):
        yield


SPEC = SpaceSpec("digits", width=0.7, resolution=8)


@pytest.fixture(scope="session")
def space() -> Space:
    """The digits space with three alternatives at one slot, two at another, so that it is fast."""
    whole = load_spec(SPEC)
    kept = []
    for slot, n in zip(whole.slots, (0, 3, 2, 0, 0), strict=True):
        others = [choice for choice in slot.choices if choice != slot.original]
        kept.append(replace(slot, choices=(slot.original, *others[:: 17 // 3][:n])))
    return replace(whole, name="digits-few", slots=tuple(kept), spec=None)


@pytest.fixture(scope="session")
def data(space: Space) -> ImageData:
    return load_images("digits", space.stem_input, n_train=400, n_val=200, n_test=100)


@pytest.fixture(scope="session")
def trained(space: Space, data: ImageData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of the original network, trained for some seconds."""
    folder = tmp_path_factory.mktemp("original")
    recipe = Recipe(epochs=6, batch_size=32, learning_rate=0.05, precision="fp32")
    fit(space, space.original, data, recipe, folder, n_threads=1)
    return folder / "best.pt"


@pytest.fixture
def library(space: Space, trained: Path, tmp_path: Path) -> Library:
    made = Library(tmp_path / "library", space)
    with torch.random.fork_rng(devices=[]):
        network = build(space, space.original)
    load_weights(trained, network)
    made.save_original(network, 0.9)
    return made


@pytest.fixture
def evidence(data: ImageData, library: Library, tmp_path: Path) -> Evidence:
    settings = DistillSettings(steps=10, batch=32, precision="fp32", measure="kl", n_measure=100)
    return Evidence(
        data=data, library=library, folder=tmp_path / "scores", n_threads=1, distill=settings
    )
