"""What the stages share: the run folder they work in, and its data."""

import os

from hot.records import DataSpec, RunFolder
from hot.space import Space, SpaceSpec
from hot.tasks import DataOptions, ImageData, find_task


def start(folder: str | os.PathLike[str], spec: SpaceSpec | None, config: str) -> RunFolder:
    """A run folder that holds its space: a new one, or that of an earlier call of equal `config`.

    Raises:
        InputError: the folder holds a run of another configuration, or other files; or the space
            was made of a module that has no name.
    """
    job = RunFolder.create(folder, config)
    if not job.file("space.json").is_file():
        job.save_space(spec)
    return job


def load_data(spec: DataSpec, space: Space) -> ImageData:
    """The data of a run at the input shape of its space."""
    return find_task(spec.task).load(spec.source, space.stem_input, data_options(spec))


def data_options(spec: DataSpec) -> DataOptions:
    """How much of the data is used, and how it is split."""
    return DataOptions(seed=spec.seed, n_train=spec.n_train, n_val=spec.n_val, n_test=spec.n_test)
