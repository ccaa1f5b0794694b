import pytest
import yaml

from hot.devices.description import description_files, load_description
from hot.errors import InputError

GOOD = {
    "schema": 1,
    "name": "mine",
    "description": "a device",
    "macs_per_s": {"fp32": {"value": 1e9, "source": "measured on 2026-11-20"}},
    "bytes_per_s": {"value": 1e9, "source": "measured on 2026-11-20"},
}


def write(tmp_path, **changes):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**GOOD, **changes}))
    return path


def test_a_good_file_is_read_by_its_path(tmp_path):
    assert load_description(str(write(tmp_path))).macs_per_s["fp32"].value == 1e9


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"bytes_per_s": 1e9}, "bytes_per_s"),
        ({"bytes_per_s": {"value": -1, "source": "measured somewhere"}}, "bytes_per_s.value"),
        ({"bytes_per_s": {"value": float("nan"), "source": "measured somewhere"}}, "bytes_per_s"),
        ({"bytes_per_s": {"value": 1e9, "source": ""}}, "bytes_per_s.source"),
        ({"macs_per_s": {}}, "macs_per_s"),
        ({"macs_per_s": {"fp31": {"value": 1, "source": "measured somewhere"}}}, "macs_per_s.fp31"),
        ({"power": 3}, "power"),
        ({"schema": 2}, "schema"),
    ],
)
def test_a_wrong_file_is_refused_with_file_and_key(tmp_path, changes, key):
    path = write(tmp_path, **changes)
    with pytest.raises(InputError) as refused:
        load_description(str(path))
    assert str(path) in str(refused.value)
    assert key in str(refused.value)


def test_an_unknown_name_gets_the_near_match():
    with pytest.raises(InputError, match="did you mean 'stm32h743'"):
        load_description("stm32h742")


def test_every_constant_that_ships_cites_a_source():
    assert {"gap8", "reference", "stm32h743"} <= description_files().keys()
    for path in description_files().values():
        document = yaml.safe_load(path.read_text())
        constants = [*document["macs_per_s"].values()]
        constants += [v for k, v in document.items() if isinstance(v, dict) and k != "macs_per_s"]
        assert all(len(constant["source"]) >= 20 for constant in constants), path
        assert document["name"] == path.stem
