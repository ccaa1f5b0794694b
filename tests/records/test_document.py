"""Every record survives its file; damaged files are refused with the reason."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hot.errors import InputError
from hot.records import (
    Artifact,
    Budget,
    Candidate,
    CheckResult,
    Deployment,
    DeviceInfo,
    EpochRow,
    LatencyTable,
    LayerNoise,
    Lut,
    LutEntry,
    Measurement,
    NodeTime,
    Prediction,
    QualityTable,
    Recipe,
    TrainResult,
    from_document,
    load_record,
    provenance,
    save_record,
    to_document,
)
from hot.space import SpaceSpec

DEVICE = DeviceInfo("cpu", "measured", ("fp32", "int8"), {"threads": "1", "runtime": "x 1.0"})
CHECK = CheckResult(2, 0.02, 0.03, -0.01, 0.99, 0, "2026-11-20", (1.0, 2.0), (1.1, 2.1), ("a", "b"))
PREDICTION = Prediction(1.5, None, 10, 20, 30, 40, 10.0)
MEASUREMENT = Measurement(1.0, 0.01, (0.9, 1.1), True, 5, None, (NodeTime("n", "Conv", 0.5),))
TRAINED = TrainResult(
    candidate="c",
    architecture="a",
    recipe=Recipe(),
    metric="accuracy",
    val_metric=0.9,
    test_metric=0.8,
    best_epoch=1,
    history=(EpochRow(0, 1.0, 1.0, 0.5, 0.1, 2.0),),
    checkpoint="training/c/trial-0/best.pt",
    seconds=1.0,
    n_images=2,
    precision="fp32",
)
DEPLOYED = Deployment(
    candidate="c",
    architecture="a",
    precision="int8",
    bundle="bundles/c-int8",
    file_bytes=9,
    metric="accuracy",
    metric_value=0.9,
    torch_metric_value=0.91,
    parity=0.1,
    layers=(LayerNoise("l", 30.0),),
    weakest_layer="l",
    predicted_ms=1.0,
    measured=MEASUREMENT,
    device=DEVICE,
)
RECORDS = [
    Artifact(Path("model.onnx"), "int8", (1, 3, 8, 8)),
    Budget(latency_ms=3.0, macs=1e6),
    Candidate("latency-1", "s", "a,b", 1, "latency", 1.0, 1.0, True, PREDICTION, ("warn",)),
    CHECK,
    DEVICE,
    LatencyTable("s", DEVICE, "fp32", "isolated", ((1.0, 2.0), (3.0,)), 0.5, None, None, CHECK),
    Lut("s", DEVICE, "fp32", 8, "isolated", {"k": LutEntry(1.0, 0.1, 3)}, {"a": 2.0}, CHECK, "now"),
    MEASUREMENT,
    QualityTable("s", "macs", ((1.0,), (2.0, 3.0)), 1.0),
    Recipe(milestones=(0.3,)),
    TRAINED,
    DEPLOYED,
    provenance(),
    SpaceSpec("digits", 0.7),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_survives_its_file(tmp_path, record):
    save_record(tmp_path / "r.json", record)
    assert load_record(tmp_path / "r.json", type(record)) == record


@given(st.data())
def test_a_truncated_record_is_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("cut") / "lut.json"
    save_record(path, RECORDS[6])
    text = path.read_text()
    path.write_text(text[: data.draw(st.integers(0, len(text) - 3))])
    with pytest.raises(InputError, match="damaged"):
        load_record(path, Lut)


def test_a_record_of_another_kind_or_schema_is_refused(tmp_path):
    save_record(tmp_path / "r.json", Budget())
    with pytest.raises(InputError, match="holds 'Budget', not a Lut"):
        load_record(tmp_path / "r.json", Lut)
    newer = {**to_document(Budget()), "schema": 99}
    with pytest.raises(InputError, match="schema 99"):
        from_document(newer, Budget, "here")


def test_a_field_of_the_wrong_type_is_named():
    document = {**to_document(RECORDS[6]), "resolution": "wide"}
    with pytest.raises(InputError, match="resolution"):
        from_document(document, Lut, "lut.json")


def test_a_number_that_is_not_finite_is_never_written(tmp_path):
    with pytest.raises(ValueError):
        save_record(tmp_path / "r.json", Budget(latency_ms=float("nan")))
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_plain_json_that_a_diff_can_show(tmp_path):
    save_record(tmp_path / "r.json", RECORDS[6])
    text = (tmp_path / "r.json").read_text()
    assert json.loads(text)["record"] == "Lut"
    assert text.count("\n") > 15
