"""One suite for every device that is known here."""

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from hot.devices import Settings, known_devices, make_device
from hot.export import FORMATS
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


@functools.cache
def artifacts(form):
    """The digits network in a format, at each of its precisions."""
    folder = Path(tempfile.mkdtemp(prefix="hot-test-"))
    atexit.register(shutil.rmtree, folder)
    torch.manual_seed(0)
    space = load_space("digits")
    row = FORMATS[form]
    fp32 = row.export(build(space, space.original), space.stem_input, folder / f"fp32{row.suffix}")
    rng = np.random.default_rng(0)
    samples = [rng.standard_normal(fp32.input_shape).astype(np.float32) for _ in range(2)]
    others = [precision for precision in row.precisions if precision != "fp32"]
    made = {p: row.quantize(fp32, p, samples, folder / f"{p}{row.suffix}") for p in others}
    return {"fp32": fp32, **made}


def example(name):
    """A device, and an artifact in the format and at the precision that it names first."""
    device = make_device(name)
    info = device.describe()
    return device, artifacts(info.formats[0])[info.precisions[0]]


@EACH
def test_the_description_is_stable_and_says_whether_it_measures(name):
    info = make_device(name).describe()
    assert info == make_device(name).describe()
    assert info.kind in (MEASURES, ESTIMATES)
    assert info.fingerprint
    assert info.precisions


@EACH
def test_the_formats_it_names_are_known(name):
    formats = make_device(name).describe().formats
    assert formats
    assert set(formats) <= set(FORMATS)


@EACH
def test_every_precision_it_names_runs_in_the_format_it_prefers(name):
    device = make_device(name)
    info = device.describe()
    for precision in info.precisions:
        result = device.measure(artifacts(info.formats[0])[precision], SETTINGS)
        assert result.failure is None, result.failure
        assert result.latency_ms > 0
        assert np.isfinite(result.latency_ms)


@EACH
def test_many_at_once_keep_their_order(name):
    device, whole = example(name)
    bad = Artifact(
        whole.path.with_name(f"none{whole.path.suffix}"), whole.precision, whole.input_shape
    )
    results = device.measure_all([whole, bad, whole], SETTINGS)
    assert [result.failure is None for result in results] == [True, False, True]


@EACH
@pytest.mark.parametrize("kind", ["half", "empty", "noise", "text"])
def test_a_damaged_model_is_a_failure_with_a_reason(name, kind, tmp_path):
    device, whole = example(name)
    content = whole.path.read_bytes()
    damaged = {
        "half": content[: len(content) // 2],
        "empty": b"",
        "noise": content[:8] + np.random.default_rng(0).bytes(4000),
        "text": b"this is not a model\n" * 20,
    }
    path = tmp_path / f"cut{whole.path.suffix}"
    path.write_bytes(damaged[kind])
    result = device.measure(Artifact(path, whole.precision, whole.input_shape), SETTINGS)
    assert result.latency_ms is None
    assert path.name in result.failure


@EACH
def test_a_measurement_survives_its_file_form(name):
    device, whole = example(name)
    result = device.measure(whole, SETTINGS)
    assert from_document(to_document(result), Measurement, "here") == result


@pytest.mark.parametrize("name", [n for n, r in USABLE.items() if r.kind == ESTIMATES])
def test_an_estimate_is_the_same_every_time(name):
    device, whole = example(name)
    assert device.measure(whole, SETTINGS) == device.measure(whole, SETTINGS)
