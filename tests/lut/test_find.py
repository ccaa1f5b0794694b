"""LUTs by name: the files here are empty, only their names count."""

import pytest

from hot.errors import LutError
from hot.lut import file, find_lut
from hot.space import load_space

SPACE = load_space("mobilenetv2", resolution=192)
FILES = (
    f"npu-a/{SPACE.key}-01234567-int8-isolated.json",
    "npu-a/mobilenetv2-w1-r96-slot-00000000-01234567-int8-isolated.json",
    "npu-a/mobilenetv2_32-w0.7-r32-layer-00000000-01234567-int8-isolated.json",
    "npu-b/digits-w1-r16-slot-00000000-01234567-int8-isolated.json",
    "npu-c/mobilenetv2-w1-r96-slot-00000000-01234567-int8-isolated.json",
    "npu-c/mobilenetv2-w1-r96-slot-00000000-89abcdef-int8-isolated.json",
)


@pytest.fixture
def luts(tmp_path, monkeypatch):
    for name in FILES:
        path = tmp_path / "luts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.setattr(file, "_FOLDERS", (tmp_path / "luts",))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "luts"


def test_a_device_alone_is_its_lut_of_the_default_space_at_the_least_resolution(luts):
    assert find_lut("npu-a") == luts / FILES[1]


def test_a_device_with_one_lut_needs_no_more(luts):
    assert find_lut("npu-b") == luts / FILES[3]


def test_with_a_space_a_device_is_the_lut_of_that_space(luts):
    assert find_lut("npu-a", SPACE) == luts / FILES[0]
    with pytest.raises(LutError, match="digits"):
        find_lut("npu-a", load_space("digits"))


def test_space_and_resolution_choose(luts):
    assert find_lut("npu-a/mobilenetv2_32") == luts / FILES[2]
    assert find_lut("npu-a/mobilenetv2-192") == luts / FILES[0]


def test_the_whole_name_and_the_path_are_taken_as_they_are(luts):
    assert find_lut(FILES[4].removesuffix(".json")) == luts / FILES[4]
    assert find_lut(str(luts / FILES[5])) == luts / FILES[5]


def test_a_folder_in_the_way_is_no_lut(luts):
    (luts.parent / "npu-b").mkdir()
    assert find_lut("npu-b") == luts / FILES[3]


@pytest.mark.parametrize("name", ["npu-c", "npu-a/mobilenetv2"])
def test_a_name_of_several_lists_them(luts, name):
    with pytest.raises(LutError) as caught:
        find_lut(name)
    named = [f for f in FILES if f.removesuffix(".json") in str(caught.value)]
    assert len(named) == 2


def test_an_unknown_device_is_answered_with_those_known(luts):
    with pytest.raises(LutError, match=r"npu_a.*did you mean 'npu-a'.*npu-b"):
        find_lut("npu_a")


def test_an_unknown_space_is_answered_with_those_of_the_device(luts):
    with pytest.raises(LutError, match=r"npu-b/resnet18.*npu-b/digits"):
        find_lut("npu-b/resnet18")
