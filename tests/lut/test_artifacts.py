import os

import onnx
import pytest
import torch

from hot.devices import known_devices
from hot.lut.artifacts import make_artifact, make_artifacts
from hot.lut.plan import isolated_jobs, network_job, unique_work


def test_every_piece_of_work_alone_becomes_a_model_of_its_shape(tiny, tmp_path):
    works = unique_work(tiny)
    for job in isolated_jobs(tiny):
        artifact = make_artifact(tiny, job, works, "fp32", tmp_path, 0)
        sides = onnx.load(artifact.path).graph.input[0].type.tensor_type.shape.dim
        assert tuple(side.dim_value for side in sides) == (1, *works[job.key].input)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_equal_seeds_give_equal_files_and_leave_torchs_generator_alone(tiny, tmp_path, precision):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    job, works, made = network_job(tiny, tiny.original), unique_work(tiny), []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        made.append(make_artifact(tiny, job, works, precision, tmp_path / name, 3))
    assert made[0].path.read_bytes() == made[1].path.read_bytes()
    assert torch.equal(before, torch.get_rng_state())


def test_only_the_artifact_stays_on_the_disk(tiny, tmp_path):
    job = network_job(tiny, tiny.original)
    artifact = make_artifact(tiny, job, unique_work(tiny), "int8", tmp_path, 0)
    assert list(tmp_path.iterdir()) == [artifact.path]


def test_many_at_once_are_those_made_one_by_one(tiny, tmp_path):
    works = unique_work(tiny)
    jobs = [*isolated_jobs(tiny)[:3], network_job(tiny, tiny.original), isolated_jobs(tiny)[3]]
    together = make_artifacts(tiny, jobs, works, "int8", tmp_path, 7)
    for index, job in enumerate(jobs):
        place = tmp_path / f"alone-{index}"
        place.mkdir()
        alone = make_artifact(tiny, job, works, "int8", place, 7)
        assert together[index].path.read_bytes() == alone.path.read_bytes()
        assert together[index].input_shape == alone.input_shape


@pytest.mark.skipif(
    known_devices()["litert"].missing() is not None and os.environ.get("CI") != "true",
    reason=str(known_devices()["litert"].missing()),
)
def test_tflite_blocks_converted_together_compute_what_those_converted_alone_do(tiny, tmp_path):
    import numpy as np

    from hot.export import TfliteModel

    works, jobs = unique_work(tiny), isolated_jobs(tiny)[:3]
    together = make_artifacts(tiny, jobs, works, "int8", tmp_path, 7, "tflite")
    for index, job in enumerate(jobs):
        place = tmp_path / f"alone-{index}"
        place.mkdir()
        alone = make_artifact(tiny, job, works, "int8", place, 7, "tflite")
        image = np.random.default_rng(0).standard_normal(alone.input_shape).astype(np.float32)
        np.testing.assert_array_equal(
            TfliteModel(together[index]).run(image), TfliteModel(alone).run(image)
        )
