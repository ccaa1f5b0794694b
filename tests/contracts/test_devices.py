"""One suite for every device that is known here."""

import os

import numpy as np
import pytest
import torch

from hot.devices import Settings, known_devices, make_device
from hot.export import export_onnx, quantize
from hot.nn import build
from hot.records import ESTIMATES, MEASURES, Artifact, from_document, to_document
from hot.records.measurement import Measurement
from hot.space import load_space

SETTINGS = Settings(repetitions=3, best_of=1, max_remeasure=0, memory=False, per_node=True)
NEEDS_GPU = ("cuda",)  # which the machines of CI do not have
USABLE = {name: row for name, row in known_devices().items() if row.missing() is None}
EACH = pytest.mark.parametrize("name", sorted(USABLE))


@pytest.mark.parametrize("name", sorted(known_devices().keys() - USABLE.keys()))
def test_a_device_that_is_not_usable_here_is_skipped_with_its_reason(name):
    if os.environ.get("CI") == "true" and name not in NEEDS_GPU:
        pytest.fail(f"{name}: {known_devices()[name].missing()}")
    pytest.skip(f"{name}: {known_devices()[name].missing()}")


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    """The digits network at each precision."""
    folder = tmp_path_factory.mktemp("artifacts")
    torch.manual_seed(0)
    space = load_space("digits")
    fp32 = export_onnx(build(space, space.original), space.stem_input, folder / "fp32.onnx")
    rng = np.random.default_rng(0)
    samples = [rng.standard_normal(fp32.input_shape).astype(np.float32) for _ in range(2)]
    made = {p: quantize(fp32, p, samples, folder / f"{p}.onnx") for p in ("int8", "int16", "fp16")}
    return {"fp32": fp32, **made}


@EACH
def test_the_description_is_stable_and_says_whether_it_measures(name):
    info = make_device(name).describe()
    assert info == make_device(name).describe()
    assert info.kind in (MEASURES, ESTIMATES)
    assert info.fingerprint
    assert info.precisions


@EACH
def test_every_precision_it_names_runs(name, artifacts):
    device = make_device(name)
    for precision in device.describe().precisions:
        result = device.measure(artifacts[precision], SETTINGS)
        assert result.failure is None, result.failure
        assert result.latency_ms > 0
        assert np.isfinite(result.latency_ms)


@EACH
def test_many_at_once_keep_their_order(name, artifacts):
    device = make_device(name)
    precision = device.describe().precisions[0]
    bad = Artifact(artifacts[precision].path.with_name("none.onnx"), precision, (1, 1, 16, 16))
    results = device.measure_all([artifacts[precision], bad, artifacts[precision]], SETTINGS)
    assert [result.failure is None for result in results] == [True, False, True]


@EACH
def test_a_damaged_model_is_a_failure_with_a_reason(name, artifacts, tmp_path):
    device = make_device(name)
    precision = device.describe().precisions[0]
    whole = artifacts[precision]
    path = tmp_path / "cut.onnx"
    path.write_bytes(whole.path.read_bytes()[: whole.path.stat().st_size // 2])
    result = device.measure(Artifact(path, precision, whole.input_shape), SETTINGS)
    assert result.latency_ms is None
    assert "cut.onnx" in result.failure


@EACH
def test_a_measurement_survives_its_file_form(name, artifacts):
    device = make_device(name)
    result = device.measure(artifacts[device.describe().precisions[0]], SETTINGS)
    assert from_document(to_document(result), Measurement, "here") == result


@pytest.mark.parametrize("name", [n for n, r in USABLE.items() if r.kind == ESTIMATES])
def test_an_estimate_is_the_same_every_time(name, artifacts):
    device = make_device(name)
    artifact = artifacts[device.describe().precisions[0]]
    assert device.measure(artifact, SETTINGS) == device.measure(artifact, SETTINGS)
