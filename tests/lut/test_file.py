import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hot.errors import LutError, StorageError
from hot.lut import export_lut, import_lut, key_of, load_lut, lut_file_name, save_lut
from hot.lut.store import LutStore
from hot.records import CheckResult, DeviceInfo, Lut, LutEntry
from hot.space import SpaceSpec, load_space

FIXTURES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
latency = st.floats(0, 1e6, allow_nan=False)
text = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
entry = st.builds(
    LutEntry, latency, st.floats(0, 10), st.integers(1, 99), st.none() | st.floats(0, 1e6)
)
check = st.builds(
    CheckResult,
    st.integers(3, 99),
    latency,
    latency,
    st.floats(-1, 1),
    st.floats(-1, 1),
    st.integers(0, 99),
    text,
    st.lists(latency, max_size=3).map(tuple),
    st.lists(latency, max_size=3).map(tuple),
    st.lists(text, max_size=3).map(tuple),
)
luts = st.builds(
    Lut,
    space=text,
    device=st.builds(
        DeviceInfo,
        st.from_regex(r"[a-z]{1,8}", fullmatch=True),
        st.sampled_from(["measured", "estimated"]),
        st.just(("fp32",)),
        st.dictionaries(text, text, max_size=4),
    ),
    precision=st.sampled_from(["fp32", "int8"]),
    resolution=st.integers(8, 512),
    method=st.sampled_from(["in-context", "isolated"]),
    entries=st.dictionaries(text, entry, max_size=6),
    sentinels=st.dictionaries(text, st.floats(1e-6, 1e6), max_size=3),
    check=st.none() | check,
    created=text,
    seed=st.integers(0, 2**31),
    jobs=st.lists(text, max_size=4).map(tuple),
    unnamed_share=st.floats(0, 1),
    spec=st.none() | st.builds(SpaceSpec, name=text, width=st.floats(0.1, 2)),
)


@given(luts)
@FIXTURES
def test_saved_and_loaded_it_is_equal(tmp_path, lut):
    from hot.records import load_record, save_record

    save_record(tmp_path / "lut.json", lut)
    loaded = load_lut(tmp_path / "lut.json")
    assert loaded == lut == load_record(tmp_path / "lut.json", Lut)
    assert loaded.entries == lut.entries
    assert loaded.sentinels == lut.sentinels


@given(st.data())
@FIXTURES
def test_a_file_cut_anywhere_is_refused(tmp_path, tiny_lut, data):
    whole = save_lut(tiny_lut, tmp_path).read_bytes()
    body = len(whole.rstrip())
    path = tmp_path / "cut.json"
    path.write_bytes(whole[: data.draw(st.integers(0, body - 1))])
    with pytest.raises(LutError, match=r"cut\.json"):
        load_lut(path)


@given(st.data())
@FIXTURES
def test_a_number_that_is_none_is_refused_wherever_it_stands(tmp_path, tiny_lut, data):
    document = json.loads(save_lut(tiny_lut, tmp_path).read_text())
    key = data.draw(st.sampled_from(sorted(document["entries"])))
    field = data.draw(st.sampled_from(["latency_ms", "spread", "energy_mj"]))
    value = data.draw(st.sampled_from([float("nan"), float("inf"), float("-inf"), -1.0, "much"]))
    document["entries"][key][field] = value
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(document))
    with pytest.raises(LutError) as refused:
        load_lut(path)
    assert "bad.json" in str(refused.value)
    assert key in str(refused.value)


def test_a_lut_with_nan_is_not_written(tmp_path, tiny_lut):
    entries = {**tiny_lut.entries, "head": LutEntry(float("nan"))}
    with pytest.raises(LutError, match="'head' holds nan"):
        save_lut(replace(tiny_lut, entries=entries), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_file_can_be_read_by_a_person_and_shown_by_a_diff(tmp_path, tiny_lut):
    lines = save_lut(tiny_lut, tmp_path).read_text().splitlines()
    assert len(lines) > 3 * len(tiny_lut.entries)
    assert max(map(len, lines)) < 200


def test_the_name_tells_device_space_precision_and_method(tmp_path, tiny_lut):
    path = save_lut(tiny_lut, tmp_path)
    assert path == tmp_path / lut_file_name(tiny_lut)
    assert path.parent.name == "reference"
    assert path.name.startswith(tiny_lut.space)
    assert path.name.endswith("-fp32-in-context.json")


def test_an_entry_that_is_missing_is_refused_when_the_space_is_known(tmp_path, tiny, tiny_lut):
    entries = {k: e for k, e in tiny_lut.entries.items() if k != "stem"}
    path = save_lut(replace(tiny_lut, entries=entries), tmp_path)
    with pytest.raises(LutError, match="no entry 'stem'"):
        load_lut(path, tiny)


def test_another_space_is_refused_with_both(tmp_path, tiny_lut):
    path = save_lut(tiny_lut, tmp_path)
    digits = load_space("digits")
    with pytest.raises(LutError) as refused:
        load_lut(path, digits)
    assert tiny_lut.space in str(refused.value)
    assert digits.key in str(refused.value)


def test_another_fingerprint_is_refused_with_both(tmp_path, tiny, tiny_lut):
    path = save_lut(tiny_lut, tmp_path)
    other = replace(tiny_lut.device, fingerprint={**tiny_lut.device.fingerprint, "onnx": "0.1"})
    with pytest.raises(LutError, match=r"onnx: .* \| 0\.1"):
        load_lut(path, tiny, other)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(LutError, match=r"none\.json"):
        load_lut(tmp_path / "none.json")


def test_another_kind_of_record_is_refused(tmp_path):
    path = tmp_path / "other.json"
    path.write_text('{"record": "QualityTable", "schema": 1}')
    with pytest.raises(LutError, match="QualityTable"):
        load_lut(path)


def test_a_lut_goes_from_one_database_to_another_through_its_file(tmp_path, tiny_lut):
    first, second = LutStore(tmp_path / "1.db"), LutStore(tmp_path / "2.db")
    first.add_lut(tiny_lut)
    path = export_lut(first, key_of(tiny_lut), tmp_path / "luts")
    assert second.load(import_lut(second, path)) == tiny_lut
    first.close()
    second.close()


def test_a_folder_that_cannot_be_written_is_told(tmp_path, tiny_lut):
    (tmp_path / "reference").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="cannot write"):
        save_lut(tiny_lut, tmp_path)
