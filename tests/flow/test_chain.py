"""The whole chain on real data: run, killed, gone on with, repeated."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import onnxruntime
import pytest

from hot.config import load_config
from hot.errors import InputError
from hot.files import validate, write_text
from hot.pipeline import run
from hot.records import Candidate, Deployment, Lut, TrainResult

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
schema: 1
space: {name: digits, width: 0.7}
device: {name: DEVICE}
lut: {precision: int8, check_networks: 4, store: STORE}
search:
  - {objective: latency, min_quality: 100%, top_k: 1}
  - {objective: accuracy, latency_budget: 100%, memory_budget: 150kB, top_k: 1}
training:
  data: digits
  recipe: {epochs: 4, batch_size: 64, learning_rate: 0.15, warmup_epochs: 1, precision: fp32}
  hpo: {trials: 1, workers: 1}
deployment: {precisions: [int8, fp32]}
"""


def write_config(folder, device):
    text = CONFIG.replace("DEVICE", device).replace("STORE", str(folder / "luts.db"))
    write_text(folder / "config.yaml", text)
    return folder / "config.yaml"


def records(job):
    """Every record of a run, without latencies that were not steady: those are measured again."""
    deployments = [
        replace(d, measured=None if not d.measured.is_steady else d.measured)
        for d in job.load_all(Deployment, "deployments")
    ]
    return job.load_all(Candidate, "candidates"), job.load_all(TrainResult, "results"), deployments


def same(before, after):
    """Whether records agree, where both latencies were steady."""
    for one, other in zip(before[2], after[2], strict=True):
        if one.measured is not None:
            assert one == other
        assert replace(one, measured=None) == replace(other, measured=None)
    return before[:2] == after[:2]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chain")
    job = run(load_config(write_config(folder, "cpu")), folder / "run")
    return job, folder


def test_every_stage_leaves_its_records(finished):
    job, _ = finished
    candidates = job.load_all(Candidate, "candidates")
    assert {c.name for c in candidates} == {"baseline", "latency-1", "accuracy-1"}
    assert all(c.is_proven for c in candidates if c.rank)
    assert job.load(Lut, "lut.json").check.n_networks == 4
    deployments = job.load_all(Deployment, "deployments")
    assert len(deployments) == 6
    for deployment in deployments:
        assert deployment.measured.latency_ms > 0
        assert abs(deployment.metric_value - deployment.torch_metric_value) < 0.05
        if deployment.precision == "fp32":
            assert deployment.parity <= 1e-4
        else:
            assert deployment.predicted_ms > 0
            assert deployment.weakest_layer


def test_the_networks_learned_the_digits(finished):
    job, _ = finished
    for result in job.load_all(TrainResult, "results"):
        assert result.test_metric > 0.8, result.candidate


def test_a_bundle_runs_alone(finished):
    job, _ = finished
    session = onnxruntime.InferenceSession(job.file("bundles", "latency-1-int8", "model.onnx"))
    manifest = json.loads(job.file("bundles", "latency-1-int8", "manifest.json").read_text())
    assert tuple(session.get_inputs()[0].shape) == tuple(manifest["input_shape"])
    assert manifest["labels"] == [str(digit) for digit in range(10)]


def test_the_report_shows_every_candidate(finished):
    job, _ = finished
    page = job.file("report", "index.html").read_text()
    for name in ("baseline", "latency-1", "accuracy-1"):
        assert name in page


def test_the_same_run_again_changes_nothing(finished):
    job, folder = finished
    before = records(job)
    run(load_config(folder / "config.yaml"), job.path)
    assert same(before, records(job))


def test_another_configuration_does_not_touch_the_run(finished):
    job, folder = finished
    config = load_config(folder / "config.yaml")
    other = validate(type(config), config.model_dump(by_alias=True) | {"seed": 5}, "test")
    before = records(job)
    with pytest.raises(InputError, match="another configuration"):
        run(other, job.path)
    assert same(before, records(job))


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_stopped_again_and_again_ends_as_an_undisturbed_one(tmp_path, signum):
    """Estimated device and fixed precision: the same records, to the byte but for the times."""
    config = write_config(tmp_path, "stm32h743")
    undisturbed = run(load_config(config), tmp_path / "undisturbed")
    (tmp_path / "luts.db").unlink()
    hot = Path(sys.executable).with_name("hot")
    command = [hot, "run", config, "--folder", tmp_path / "stopped"]
    for patience_s in (4, 8, 12, 16, 20):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        time.sleep(patience_s)
        process.send_signal(signum)
        assert process.wait(60) in (0, 130, -signal.SIGKILL)
    assert subprocess.run(command, env=os.environ).returncode == 0
    weights = [
        sorted(p.read_bytes() for p in (tmp_path / name).glob("training/*/*/best.pt"))
        for name in ("undisturbed", "stopped")
    ]
    assert len(weights[0]) == 3
    for one, other in zip(
        undisturbed.load_all(Candidate, "candidates"),
        type(undisturbed)(tmp_path / "stopped").load_all(Candidate, "candidates"),
        strict=True,
    ):
        assert one == other
    results = [
        [r.test_metric for r in type(undisturbed)(tmp_path / n).load_all(TrainResult, "results")]
        for n in ("undisturbed", "stopped")
    ]
    assert results[0] == results[1]
