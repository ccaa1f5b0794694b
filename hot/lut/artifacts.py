"""Artifacts of jobs: networks and single pieces of work, at any precision."""

from pathlib import Path

import numpy as np

from hot.export import export_onnx, quantize
from hot.lut.plan import Job, Work
from hot.nn import build, build_block, build_head, seeded
from hot.records import STEM, Artifact
from hot.space import Space

_N_CALIBRATION = 2  # latency does not depend on the values of the ranges


def make_artifact(
    space: Space, job: Job, works: dict[str, Work], precision: str, folder: Path, seed: int
) -> Artifact:
    """The artifact of a job with random weights; integer ranges come from normal noise.

    Raises:
        StorageError: `folder` cannot be written.
        DeployError: the network cannot be quantised.
    """
    target = folder / "fp32.onnx"
    with seeded(seed):
        artifact = _export(space, job, works, target)
    if precision == "fp32":
        return artifact
    rng = np.random.default_rng(seed)
    samples = (
        rng.standard_normal(artifact.input_shape).astype(np.float32) for _ in range(_N_CALIBRATION)
    )
    made = quantize(artifact, precision, samples, folder / f"{precision}.onnx")
    artifact.path.unlink()
    return made


def _export(space: Space, job: Job, works: dict[str, Work], path: Path) -> Artifact:
    if job.architecture is not None:
        return export_onnx(build(space, job.architecture), space.stem_input, path)
    work = works[job.key]
    if work.key == STEM and space.backbone is not None:  # what is left when the blocks are taken
        return export_onnx(build(space, space.original), space.stem_input, path)
    if work.block is None:
        return export_onnx(build_head(space.head, space.rules), work.input, path)
    return export_onnx(build_block(work.block, space.rules), work.input, path)
