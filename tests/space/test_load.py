"""Spaces are read from YAML; what is wrong is named with file, key and what is allowed."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hot.errors import InputError, SpaceError
from hot.space import SpaceSpec, load_space, load_spec, space_files
from hot.space.load import find_space

GOOD = {
    "schema": 1,
    "name": "two",
    "description": "two slots",
    "resolution": 16,
    "n_classes": 3,
    "stem": {"channels": 8},
    "head": {},
    "menus": {"m": [{"operator": "ir", "expansion": [1, 2], "kernel": [3]}, {"operator": "skip"}]},
    "slots": [
        {"name": "a", "channels": 8, "choices": "m", "original": "ir-e1-k3"},
        {"name": "b", "channels": 16, "stride": 2, "choices": "m", "original": "ir-e2-k3"},
    ],
}


def write(path, document):
    path.write_text(yaml.safe_dump(document))
    return str(path)


def changed(**changes):
    return {**GOOD, **changes}


def test_an_operator_is_left_out_of_slots_where_it_is_not_legal(tmp_path):
    space = load_space(write(tmp_path / "two.yaml", GOOD))
    assert space.slots[0].keys == ("ir-e1-k3", "ir-e2-k3", "skip")
    assert space.slots[1].keys == ("ir-e1-k3", "ir-e2-k3")
    assert space.size == 6


def test_the_papers_space_has_six_and_eighteen_choices():
    space = load_space("mobilenetv2")
    assert [len(slot.choices) for slot in space.slots] == [6] + [18] * 6
    assert {c.operator for c in space.slots[3].choices} == {"ir", "fused", "sandglass"}
    assert {c.expansion for c in space.slots[3].choices} == {3, 6, 9}
    assert [len(slot.layers) for slot in space.slots] == [1, 2, 3, 4, 3, 3, 1]


def test_layer_granularity_gives_every_repeated_layer_its_own_slot():
    by_layer = load_space("mobilenetv2", granularity="layer")
    assert len(by_layer.slots) == 17
    assert by_layer.counts(by_layer.original) == load_space("mobilenetv2").counts(
        load_space("mobilenetv2").original
    )


@pytest.mark.parametrize("width", [0.7, 1.0, 1.3])
def test_width_multipliers_scale_the_channels(width):
    slots = load_space("mobilenetv2", width=width).slots
    assert slots[-1].layers[0].out_channels == {0.7: 224, 1.0: 320, 1.3: 416}[width]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (changed(resolution=-4), ["resolution", "greater than 0", "-4"]),
        (changed(colour="red"), ["colour"]),
        (changed(activation="swoosh"), ["activation", "relu6", "swoosh"]),
        (changed(slots=[]), ["slots", "at least 1"]),
        (changed(menus={"m": [{"operator": "irr"}]}), ["menus.m.0.operator", "did you mean 'ir'"]),
        (
            changed(menus={"m": [{"operator": "skip", "kernel": [3]}]}),
            ["menus.m.0.kernel", "has no kernel"],
        ),
        (
            changed(menus={"m": [{"operator": "ir", "kernel": [4]}]}),
            ["menus.m.0.kernel.0", "1, 3, 5", "4"],
        ),
        (
            changed(slots=[{**GOOD["slots"][0], "choices": "n"}]),
            ["slots.0.choices", "Known: m"],
        ),
        (
            changed(slots=[{**GOOD["slots"][1], "original": "skip"}]),
            ["slots.0.original", "ir-e1-k3, ir-e2-k3"],
        ),
        (
            changed(
                menus={"m": [{"operator": "ir", "kernel": [3]}]},
                slots=[GOOD["slots"][0]],
            ),
            ["one architecture only"],
        ),
        (changed(slots=[GOOD["slots"][0]] * 2), ["equal names"]),
        ([1, 2], ["document"]),
    ],
)
def test_a_wrong_space_names_the_file_and_the_key(tmp_path, document, words):
    path = write(tmp_path / "bad.yaml", document)
    with pytest.raises(SpaceError) as error:
        load_space(path)
    for word in [path, *words]:
        assert word in str(error.value)


def test_broken_yaml_names_the_line(tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text("name: a\nslots: [1, 2\nb: c\n")
    with pytest.raises(Exception, match=r"line 3 is not valid YAML"):
        load_space(str(path))


@given(st.integers(0, 2000))
def test_a_truncated_space_is_refused_or_whole(tmp_path_factory, n):
    text = space_files()["digits"].read_text()
    path = tmp_path_factory.mktemp("cut") / "digits.yaml"
    path.write_text(text[: min(n, len(text) - 60)])
    try:  # cut at the end of a slot, it is a whole space of fewer slots
        assert len(load_space(str(path)).slots) < len(load_space("digits").slots)
    except InputError as error:
        assert str(path) in str(error)


def test_an_unknown_space_names_the_near_match():
    with pytest.raises(SpaceError, match="did you mean 'mobilenetv2'"):
        find_space("mobilenetv22")


@pytest.mark.parametrize(
    ("option", "value"),
    [("width", 0.0), ("resolution", 4), ("n_classes", 1), ("granularity", "slots")],
)
def test_an_option_out_of_range_is_refused_by_name(option, value):
    with pytest.raises(SpaceError, match=option):
        load_space("digits", **{option: value})


def test_a_specification_loads_what_load_space_loads():
    spec = SpaceSpec("digits", width=0.7, resolution=24, n_classes=4)
    assert load_spec(spec) == load_space("digits", width=0.7, resolution=24, n_classes=4)


def test_layer_granularity_lets_the_skip_stand_where_a_single_layer_allows_it():
    slots = {slot.name: slot.keys for slot in load_space("mobilenetv2_32").slots}
    assert "skip" in slots["b3_2"] and "skip" not in slots["b3_1"]
    by_slot = load_space("mobilenetv2_32", granularity="slot")
    assert not any("skip" in slot.keys for slot in by_slot.slots)
