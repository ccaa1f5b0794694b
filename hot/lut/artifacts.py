"""Artifacts of jobs: networks and single pieces of work, at any precision."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from hot.export import export_onnx, quantize
from hot.lut.plan import Job, Work
from hot.nn import build, build_block, build_head
from hot.records import Artifact
from hot.space import Shape, Space

_N_CALIBRATION = 2  # latency does not depend on the values of the ranges


def make_artifact(
    space: Space, job: Job, works: dict[str, Work], precision: str, folder: Path, seed: int
) -> Artifact:
    """The artifact of a job with random weights; integer ranges come from normal noise.

    Raises:
        StorageError: `folder` cannot be written.
        DeployError: the network cannot be quantised.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        module, shape = _module(space, job, works)
    artifact = export_onnx(module, shape, folder / "fp32.onnx")
    if precision == "fp32":
        return artifact
    rng = np.random.default_rng(seed)
    samples = (rng.standard_normal((1, *shape)).astype(np.float32) for _ in range(_N_CALIBRATION))
    made = quantize(artifact, precision, samples, folder / f"{precision}.onnx")
    artifact.path.unlink()
    return made


def _module(space: Space, job: Job, works: dict[str, Work]) -> tuple[nn.Module, Shape]:
    if job.architecture is not None:
        return build(space, job.architecture), space.stem_input
    work = works[job.key]
    if work.block is None:
        return build_head(space.head, space.rules), work.input
    return build_block(work.block, space.rules), work.input
