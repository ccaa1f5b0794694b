from collections.abc import Callable
from pathlib import Path

import pytest

from hot.records import Candidate, Prediction, Recipe, RunFolder
from hot.space import Space, SpaceSpec, load_spec
from hot.tasks import ImageData, load_images

SPEC = SpaceSpec("digits", width=0.7, resolution=8)
N_IMAGES = {"n_train": 256, "n_val": 100, "n_test": 100}


@pytest.fixture(scope="session")
def space() -> Space:
    return load_spec(SPEC)


@pytest.fixture(scope="session")
def data(space: Space) -> ImageData:
    return load_images("digits", space.stem_input, **N_IMAGES)


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    """Everything that has a state or draws random numbers is in it."""
    return Recipe(
        epochs=4,
        batch_size=64,
        learning_rate=0.05,
        label_smoothing=0.05,
        horizontal_flip=True,
        crop_padding=1,
        mixup=0.2,
        ema_decay=0.9,
        dropout=0.1,
        precision="fp32",
    )


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    made = RunFolder.create(tmp_path / "run", "test")
    made.save_space(SPEC)
    return made


@pytest.fixture
def make_candidates(space: Space) -> Callable[[int], list[Candidate]]:
    def make(n: int) -> list[Candidate]:
        nothing = Prediction(None, None, 0, 0, 0, 0, 0.0)
        architectures = [space.original, space.architecture((0,) * len(space.slots))]
        return [
            Candidate(f"c{i}", space.key, a.key, i, "latency", 0.0, 0.0, True, nothing)
            for i, a in enumerate(architectures[:n])
        ]

    return make
