"""Deployments on a device that takes TFLite files."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from hot.deploy import deploy, layer_noise, load_bundle
from hot.devices import Compiler, make_device
from hot.errors import DeployError, DeviceError, InputError
from hot.records import Deployment, RunFolder, part_of
from hot.space import Shape


@pytest.fixture(scope="session")
def litert(skip_unless_ci):
    from hot.devices import known_devices

    missing = known_devices()["litert"].missing()
    if missing is not None:
        skip_unless_ci(missing)
    return make_device("litert")


@pytest.fixture(scope="session")
def shipped(trained, data, litert, settings, tmp_path_factory):
    """A copy of the run, deployed at int8 as TFLite."""
    run, candidate, result = trained
    folder = tmp_path_factory.mktemp("tflite") / "run"
    shutil.copytree(run.path, folder)
    copy = RunFolder.open(folder)
    return copy, deploy(copy, candidate, result, data, litert, "int8", settings)


def test_the_bundle_holds_a_tflite_model_and_what_was_measured_of_it(shipped, litert, data):
    run, deployment = shipped
    assert run.load(Deployment, "deployments", "baseline-int8.json") == deployment
    bundle = load_bundle(run.file(deployment.bundle))
    assert bundle.artifact.path.name == "model.tflite"
    assert deployment.file_bytes == bundle.artifact.path.stat().st_size
    assert deployment.device == litert.describe()
    assert deployment.measured.failure is None
    assert deployment.measured.latency_ms > 0
    assert sorted(path.name for path in bundle.path.iterdir()) == [
        "manifest.json", "model.tflite", "run.py",
    ]  # fmt: skip


def test_the_metric_is_that_of_the_interpreter_on_the_test_split(shipped, trained, data):
    from ai_edge_litert.interpreter import Interpreter

    run, deployment = shipped
    interpreter = Interpreter(str(run.file(deployment.bundle, "model.tflite")))
    interpreter.allocate_tensors()
    (into,), (out,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert into["dtype"] is out["dtype"] is np.int8
    scale, zero = into["quantization"]
    right = []
    for image, label in zip(data.normalise(data.test.images), data.test.labels, strict=True):
        pixels = np.clip(np.round(image.transpose(1, 2, 0) / scale) + zero, -128, 127)
        interpreter.set_tensor(into["index"], pixels[None].astype(np.int8))
        interpreter.invoke()
        right.append(interpreter.get_tensor(out["index"])[0].argmax() == label)
    assert deployment.metric_value == pytest.approx(np.mean(right))
    assert abs(deployment.metric_value - deployment.torch_metric_value) < 0.03


def test_every_part_of_the_network_has_layers_with_their_noise(shipped):
    run, deployment = shipped
    names = [layer.layer for layer in deployment.layers]
    space = run.space()
    parts = ["stem", *(name for slot in space.slots for name in slot.parts), "head"]
    assert sorted({part_of(name) for name in names}) == sorted(parts)
    # stem 1, blocks 2 + 4 x 3 and the shortcut of the first, head: convolution, pooling, linear.
    assert len(names) == len(set(names)) == 1 + 2 + 4 * 3 + 1 + 3
    assert deployment.weakest_layer in names
    assert all(0 < layer.snr_db < 60 for layer in deployment.layers)


@pytest.mark.parametrize("layout", ["chw", "hwc"])
def test_the_runner_needs_the_runtime_and_numpy_only(shipped, data, tmp_path, layout):
    from ai_edge_litert.interpreter import Interpreter

    run, deployment = shipped
    interpreter = Interpreter(str(run.file(deployment.bundle, "model.tflite")))
    interpreter.allocate_tensors()
    (into,), (out,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero = into["quantization"]
    image = data.test.images[5]
    pixels = data.normalise(data.test.images[5:6])[0].transpose(1, 2, 0)
    quantised = np.clip(np.round(pixels / scale) + zero, -128, 127).astype(np.int8)
    interpreter.set_tensor(into["index"], quantised[None])
    interpreter.invoke()
    label = data.class_names[interpreter.get_tensor(out["index"])[0].argmax()]
    np.save(tmp_path / "image.npy", image if layout == "chw" else image.transpose(1, 2, 0))
    script = run.file(deployment.bundle, "run.py")
    done = subprocess.run(
        [sys.executable, "-I", script, tmp_path / "image.npy"],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{label}\n"
    words = {
        w for line in script.read_text().splitlines() if "import" in line for w in line.split()
    }
    assert not words & {"hot", "torch", "onnxruntime"}


def test_fp32_agrees_with_torch_and_a_compilers_files_join_the_bundle(
    fresh, data, litert, settings
):
    run, candidate, result = fresh

    class Compiling:
        """LiteRT, with a compiler that copies the model and says how large it is."""

        describe, measure, measure_all = litert.describe, litert.measure, litert.measure_all

        def compile(self, artifact, folder):
            made = folder / f"{artifact.path.stem}_made{artifact.path.suffix}"
            made.write_bytes(artifact.path.read_bytes())
            summary = folder / "summary.csv"
            summary.write_text(f"bytes,{artifact.path.stat().st_size}\n")
            return made, summary

    device = Compiling()
    assert isinstance(device, Compiler)
    assert not isinstance(litert, Compiler)
    made = deploy(run, candidate, result, data, device, "fp32", settings)
    assert made.parity < 1e-3
    assert made.metric_value == made.torch_metric_value
    assert (made.layers, made.weakest_layer) == ((), None)
    folder = run.file(made.bundle)
    assert load_bundle(folder).manifest.compiled == ("model_made.tflite", "summary.csv")
    assert (folder / "summary.csv").read_text() == f"bytes,{made.file_bytes}\n"
    (folder / "summary.csv").write_text("bytes,0\n")
    with pytest.raises(InputError, match=r"summary\.csv is damaged or was changed"):
        load_bundle(folder)


def test_a_precision_that_the_format_does_not_have_is_refused(trained, data, litert, settings):
    run, candidate, result = trained
    with pytest.raises(DeviceError, match=r"does not run 'fp16'; it runs fp32, int8"):
        deploy(run, candidate, result, data, litert, "fp16", settings)


def test_the_ratio_of_a_layer_is_that_of_its_output_computed_by_hand(litert, tmp_path):
    from hot.export import TfliteModel, export_tflite, quantize_tflite

    torch.manual_seed(0)
    convs = [nn.Conv2d(8, 8, 3, padding=1) for _ in range(3)]
    module = nn.Sequential(*(part for conv in convs for part in (conv, nn.ReLU6()))).eval()
    rng = np.random.default_rng(0)
    noise = [rng.standard_normal((1, 8, 6, 6), dtype=np.float32) for _ in range(4)]
    exported = export_tflite(module, Shape(8, 6, 6), tmp_path / "a.tflite")
    made = quantize_tflite(exported, "int8", noise, tmp_path / "q.tflite")
    layers, weakest = layer_noise(exported, made, noise)
    with torch.no_grad():
        wanted = module(torch.from_numpy(np.concatenate(noise))).numpy().transpose(0, 2, 3, 1)
    got = TfliteModel(made).run_all(noise)
    by_hand = 10 * np.log10((wanted**2).sum() / ((wanted - got) ** 2).sum())
    assert len(layers) == 3
    assert layers[-1].snr_db == pytest.approx(by_hand, abs=0.5)  # two sets of kernels
    assert weakest in {layer.layer for layer in layers}
    same, none = layer_noise(exported, exported, noise)
    assert {layer.snr_db for layer in same} == {200.0}
    assert none is None


def test_a_model_that_the_runtime_refuses_is_a_deploy_error(litert, tmp_path):
    from hot.deploy import run_artifact
    from hot.records import Artifact

    path = tmp_path / "bad.tflite"
    path.write_bytes(b"\x1c\0\0\0TFL3" + bytes(200))
    image = np.zeros((1, 1, 4, 4), np.float32)
    with pytest.raises(DeployError, match=r"bad\.tflite"):
        run_artifact(Artifact(path, "fp32", (1, 1, 4, 4)), [image])
