import dataclasses
import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch

from hot.deploy import CalibrationPlan, deploy, load_bundle
from hot.devices import make_device
from hot.errors import DeployError, DeviceError, InputError, StorageError, TrainingError
from hot.export import QUANTIZERS
from hot.nn import build
from hot.records import Budget, Deployment, Lut, LutEntry
from hot.training import load_weights

MODEL = "model.onnx"


def torch_scores(run, result, data, n):
    space = run.space()
    network = build(space, space.original)
    load_weights(run.file(result.checkpoint), network)
    network.eval()
    with torch.no_grad():
        return network(torch.from_numpy(data.normalise(data.test.images[:n]))).numpy()


def test_the_record_and_the_bundle_hold_what_was_measured(deployed, data, device):
    run, deployment = deployed
    assert run.load(Deployment, "deployments", "baseline-int8.json") == deployment
    assert deployment.bundle == "bundles/baseline-int8"
    manifest = load_bundle(run.file(deployment.bundle)).manifest
    assert deployment.file_bytes == run.file(deployment.bundle, MODEL).stat().st_size
    assert deployment.measured.latency_ms > 0
    assert deployment.device == manifest.device == device.describe()
    assert (manifest.mean, manifest.std) == (data.mean, data.std)
    assert manifest.labels == tuple("0123456789")
    assert manifest.input_shape == (1, 1, 16, 16)
    assert manifest.data_sha256 == data.digest


def test_the_metric_is_that_of_the_artifact_itself_on_the_test_split(
    deployed, trained, data, tmp_path
):
    import onnxruntime

    run, deployment = deployed
    _, _, result = trained
    session = onnxruntime.InferenceSession(str(run.file(deployment.bundle, MODEL)))
    images = data.normalise(data.test.images)
    right = [
        session.run(None, {"input": image[None]})[0][0].argmax() == label
        for image, label in zip(images, data.test.labels, strict=True)
    ]
    assert deployment.metric_value == pytest.approx(np.mean(right))
    assert deployment.torch_metric_value == pytest.approx(result.test_metric, abs=0.003)
    assert abs(deployment.metric_value - deployment.torch_metric_value) < 0.03


def test_int8_names_its_weakest_layer_among_all_its_layers(deployed):
    _, deployment = deployed
    names = [layer.layer for layer in deployment.layers]
    assert len(names) == len(set(names))
    # stem 1, blocks 2 + 4 x 3 and the shortcut of the first, head: convolution, pooling, linear.
    assert len(names) == 1 + 2 + 4 * 3 + 1 + 3
    assert deployment.weakest_layer in names


@pytest.mark.parametrize("layout", ["chw", "hwc", "hw"])
def test_the_runner_needs_no_hot_and_answers_as_torch_does(
    deployed, trained, data, tmp_path, layout
):
    run, deployment = deployed
    _, _, result = trained
    scores = torch_scores(run, result, data, 50)
    margins = np.diff(np.sort(scores, axis=1)[:, -2:], axis=1)[:, 0]
    index = int(margins.argmax())
    image = data.test.images[index]
    np.save(
        tmp_path / "image.npy",
        {"chw": image, "hwc": image.transpose(1, 2, 0), "hw": image[0]}[layout],
    )
    done = subprocess.run(
        [sys.executable, "-I", run.file(deployment.bundle, "run.py"), tmp_path / "image.npy"],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{data.class_names[scores[index].argmax()]}\n"


def test_the_runner_has_about_ten_lines_and_imports_onnxruntime_and_numpy_only(deployed):
    run, deployment = deployed
    lines = run.file(deployment.bundle, "run.py").read_text().splitlines()
    code = [line for line in lines if line and not line.startswith(('"""', "import"))]
    assert len(code) <= 12
    imports = " ".join(line for line in lines if line.startswith("import"))
    words = imports.replace(",", " ").split()
    assert set(words) <= {"import", "as", "np", "json", "pathlib", "sys", "numpy", "onnxruntime"}


@pytest.mark.parametrize("precision", sorted(set(QUANTIZERS) - {"int8"}))
def test_every_other_precision_deploys(fresh, data, device, settings, precision):
    run, candidate, result = fresh
    made = deploy(run, candidate, result, data, device, precision, settings)
    assert made.measured.failure is None
    assert abs(made.metric_value - made.torch_metric_value) < 0.03
    assert (made.layers == ()) == (precision == "fp32")
    if precision == "fp32":
        assert made.parity < 1e-4
        assert made.metric_value == made.torch_metric_value


def set_steady(run, is_steady):
    """Make the stored measurement one that became steady, or did not: the machine decides."""
    stored = run.load(Deployment, "deployments", "baseline-int8.json")
    measured = dataclasses.replace(stored.measured, is_steady=is_steady)
    changed = dataclasses.replace(stored, measured=measured)
    run.save(changed, "deployments", "baseline-int8.json")
    return changed


def test_an_unsteady_latency_is_measured_again(deployed, trained, data, device, settings):
    run, deployment = deployed
    _, candidate, result = trained
    set_steady(run, False)
    manifest = run.file(deployment.bundle, "manifest.json")
    before = manifest.stat().st_mtime_ns
    again = deploy(run, candidate, result, data, device, "int8", settings)
    assert manifest.stat().st_mtime_ns > before
    assert run.load(Deployment, "deployments", "baseline-int8.json") == again


def test_the_same_call_again_returns_what_is_stored(deployed, trained, data, device, settings):
    run, _ = deployed
    deployment = set_steady(run, True)
    _, candidate, result = trained
    before = run.file(deployment.bundle, "manifest.json").stat().st_mtime_ns
    assert deploy(run, candidate, result, data, device, "int8", settings) == deployment
    assert run.file(deployment.bundle, "manifest.json").stat().st_mtime_ns == before


def test_a_damaged_bundle_is_made_again(deployed, trained, data, device, settings):
    run, deployment = deployed
    _, candidate, result = trained
    run.file(deployment.bundle, MODEL).write_bytes(b"half")
    again = deploy(run, candidate, result, data, device, "int8", settings)
    assert load_bundle(run.file(again.bundle)).artifact.path.stat().st_size == again.file_bytes
    assert again.metric_value == deployment.metric_value


def test_another_calibration_is_deployed_anew(deployed, trained, data, device, settings):
    run, _ = deployed
    _, candidate, result = trained
    set_steady(run, True)
    plan = CalibrationPlan(n_samples=16, method="percentile", seed=3)
    made = deploy(run, candidate, result, data, device, "int8", settings, calibration=plan)
    assert load_bundle(run.file(made.bundle)).manifest.calibration == plan


def test_a_deployment_stopped_at_the_measurement_leaves_no_bundle_and_can_be_repeated(
    fresh, data, device, settings
):
    run, candidate, result = fresh

    class Stopped:
        """This machine, until the user stops the work."""

        def describe(self):
            return device.describe()

        def measure(self, artifact, settings):
            raise KeyboardInterrupt

        def measure_all(self, artifacts, settings):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deploy(run, candidate, result, data, Stopped(), "fp32", settings)
    assert list(run.file("bundles").iterdir()) == []
    assert not run.file("deployments").exists()
    assert deploy(run, candidate, result, data, device, "fp32", settings).measured.latency_ms


def make_lut(space, device, precision):
    keys = {c.work_key(layer) for s in space.slots for c in s.choices for layer in s.layers}
    entries = dict.fromkeys([*keys, "stem", "head"], LutEntry(0.01))
    return Lut(space.key, device, precision, 16, "in-context", entries)


@pytest.mark.parametrize(("lut_precision", "expected"), [("fp32", 0.05), ("int8", None)])
def test_a_prediction_stands_beside_the_measurement_only_at_its_own_precision(
    fresh, data, device, settings, lut_precision, expected
):
    run, candidate, result = fresh
    run.save(make_lut(run.space(), device.describe(), lut_precision), "lut.json")
    made = deploy(run, candidate, result, data, device, "fp32", settings)
    assert made.predicted_ms == expected


def test_a_prediction_of_another_device_is_not_shown(fresh, data, device, settings):
    run, candidate, result = fresh
    other = dataclasses.replace(device.describe(), fingerprint={"hardware": "another"})
    run.save(make_lut(run.space(), other, "fp32"), "lut.json")
    assert deploy(run, candidate, result, data, device, "fp32", settings).predicted_ms is None


def test_an_estimating_device_says_so_in_bundle_and_record(fresh, data, settings):
    run, candidate, result = fresh
    made = deploy(run, candidate, result, data, make_device("stm32h743"), "int8", settings)
    assert made.device.kind == "estimated"
    document = json.loads(run.file(made.bundle, "manifest.json").read_text())
    assert document["device"]["kind"] == "estimated"
    assert made.measured.energy_mj is not None


def test_budgets_are_written_into_the_manifest(fresh, data, device, settings):
    run, candidate, result = fresh
    limits = Budget(latency_ms=30.0, weight_bytes=2.0**21)
    bound = dataclasses.replace(candidate, budget=limits)
    made = deploy(run, bound, result, data, device, "fp32", settings)
    assert load_bundle(run.file(made.bundle)).manifest.budget == limits


def test_weights_that_are_missing_or_damaged_are_refused(fresh, data, device, settings):
    run, candidate, result = fresh
    path = run.file(result.checkpoint)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(TrainingError, match="damaged"):
        deploy(run, candidate, result, data, device, "fp32", settings)
    path.unlink()
    with pytest.raises(TrainingError, match="no weights"):
        deploy(run, candidate, result, data, device, "fp32", settings)


def test_weights_that_are_not_finite_are_a_deploy_error(fresh, data, device, settings):
    run, candidate, result = fresh
    path = run.file(result.checkpoint)
    state = torch.load(path, weights_only=True)
    state["head.linear.bias"][3] = torch.nan
    torch.save(state, path)
    with pytest.raises(DeployError, match=r"not finite|differ by nan"):
        deploy(run, candidate, result, data, device, "fp32", settings)


def test_a_result_of_another_architecture_or_a_wrong_precision_is_refused(
    fresh, data, device, settings
):
    run, candidate, result = fresh
    other = dataclasses.replace(result, architecture="ir-e1-k5,ir-e6-k3")
    with pytest.raises(InputError, match="train this candidate"):
        deploy(run, candidate, other, data, device, "fp32", settings)
    with pytest.raises(InputError, match="unknown precision 'int9'; did you mean"):
        deploy(run, candidate, result, data, device, "int9", settings)


def test_a_precision_that_the_device_does_not_run_is_refused(fresh, data, settings):
    run, candidate, result = fresh
    with pytest.raises(DeviceError, match="'gap8' does not run 'fp32'; it runs int8: choose"):
        deploy(run, candidate, result, data, make_device("gap8"), "fp32", settings)
    assert not run.file("bundles").exists()


def test_a_run_that_cannot_be_written_is_a_storage_error(fresh, data, device, settings):
    run, candidate, result = fresh
    run.file("bundles").write_text("in the way")
    with pytest.raises(StorageError, match="cannot write the bundle"):
        deploy(run, candidate, result, data, device, "fp32", settings)


def test_the_bundled_model_is_named_by_part_for_the_profiler(deployed):
    from hot.records import part_of

    run, deployment = deployed
    nodes = onnx.load(run.file(deployment.bundle, MODEL)).graph.node
    assert all(part_of(node.name) for node in nodes)
