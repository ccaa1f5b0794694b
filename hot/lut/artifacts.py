"""Artifacts of jobs: networks and single pieces of work, at any precision.

Torch comes with the first artifact, not with this room: who reads look-up tables does without it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hot.lut.plan import Job, Work
from hot.records import STEM, Artifact
from hot.space import Shape, Space

if TYPE_CHECKING:
    from hot.export import Format

_N_CALIBRATION = 2  # latency does not depend on the values of the ranges


def make_artifact(
    space: Space,
    job: Job,
    works: dict[str, Work],
    precision: str,
    folder: Path,
    seed: int,
    format_name: str = "onnx",
) -> Artifact:
    """The artifact of a job with random weights; integer ranges come from normal noise.

    Args:
        format_name: one of `hot.export.FORMATS`, as the device takes it.

    Raises:
        StorageError: `folder` cannot be written.
        DeployError: the network cannot be quantised.
    """
    from hot.export import find_format

    form = find_format(format_name)
    module, shape = _seeded(space, job, works, seed)
    artifact = form.export(module, shape, folder / f"fp32{form.suffix}")
    return _at_precision(artifact, precision, folder, seed, form)


def make_artifacts(
    space: Space,
    jobs: Sequence[Job],
    works: dict[str, Work],
    precision: str,
    folder: Path,
    seed: int,
    format_name: str = "onnx",
) -> list[Artifact]:
    """What `make_artifact` makes of each job, each in a folder of its own in `folder`.

    Pieces of work alone are exported together, which for TFLite takes a third of the time.

    Raises:
        StorageError: `folder` cannot be written.
        DeployError: a network cannot be exported or quantised.
    """
    from hot.export import find_format

    form = find_format(format_name)
    places = [folder / str(index) for index in range(len(jobs))]
    for place in places:
        place.mkdir()
    made = {}
    alone = {job: place for job, place in zip(jobs, places, strict=True) if not job.architecture}
    if alone:
        built = [_seeded(space, job, works, seed) for job in alone]
        exported = form.export_all(
            [module for module, _ in built],
            [shape for _, shape in built],
            [place / f"fp32{form.suffix}" for place in alone.values()],
        )
        for (job, place), artifact in zip(alone.items(), exported, strict=True):
            made[job] = _at_precision(artifact, precision, place, seed, form)
    return [
        made[job]
        if job in made
        else make_artifact(space, job, works, precision, place, seed, format_name)
        for job, place in zip(jobs, places, strict=True)
    ]


def _seeded(space: Space, job: Job, works: dict[str, Work], seed: int) -> tuple[Any, Shape]:
    from hot.nn import seeded

    with seeded(seed):
        return _module(space, job, works)


def _at_precision(
    artifact: Artifact, precision: str, folder: Path, seed: int, form: "Format"
) -> Artifact:
    if precision == "fp32":
        return artifact
    rng = np.random.default_rng(seed)
    samples = (
        rng.standard_normal(artifact.input_shape).astype(np.float32) for _ in range(_N_CALIBRATION)
    )
    made = form.quantize(artifact, precision, samples, folder / f"{precision}{form.suffix}")
    artifact.path.unlink()
    return made


def _module(space: Space, job: Job, works: dict[str, Work]) -> tuple[Any, Shape]:
    """The job's torch module, freshly initialised, and the shape (C, H, W) of its input."""
    from hot.nn import build, build_block, build_head

    if job.architecture is not None:
        return build(space, job.architecture), space.stem_input
    work = works[job.key]
    if work.key == STEM and space.backbone is not None:  # what is left when the blocks are taken
        return build(space, space.original), space.stem_input
    if work.block is None:
        return build_head(space.head, space.rules), work.input
    return build_block(work.block, space.rules), work.input
