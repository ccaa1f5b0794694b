"""Distilled choices learn, are measured as they are, and survive kills and crashes."""

import logging
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from hot.errors import InputError
from hot.nn import build
from hot.quality import MEASURES, score
from hot.quality.distill import Plugged, SlotScores, distil_slot, make_table, prepare
from hot.records import DistillSettings, load_record
from hot.training import evaluate


def with_choice(space, slot_index, choice_index):
    indices = list(space.indices(space.original))
    indices[slot_index] = choice_index
    return space.architecture(tuple(indices))


def held_out_outputs(network, data, n):
    with torch.inference_mode():
        return network.eval()(torch.from_numpy(data.normalise(data.val.images[:n])))


def test_the_table_is_the_change_that_each_choice_alone_makes(space, data, evidence, library):
    table = score(space, "distill", evidence)
    original = held_out_outputs(library.original(), data, 100)
    slot = space.slots[1]
    assert table.values[1][slot.choices.index(slot.original)] == 0.0
    for index, choice in enumerate(slot.choices):
        if choice == slot.original:
            continue
        other = held_out_outputs(library.assemble(with_choice(space, 1, index)), data, 100)
        wanted = original.softmax(1)
        divergence = (wanted * (wanted / other.softmax(1)).log()).sum(1).mean()
        assert table.values[1][index] == pytest.approx(-float(divergence), rel=1e-2, abs=1e-4)
    assert table.fixed == pytest.approx(0.0, abs=1e-6)
    assert table.left_out == ()
    assert table.n_images > 0 and table.seconds > 0


def test_the_metric_is_that_of_an_evaluation(space, data, evidence, library):
    few = replace(
        data, val=replace(data.val, images=data.val.images[:100], labels=data.val.labels[:100])
    )
    settings = replace(evidence.distill, measure="metric")
    table = score(space, "distill", replace(evidence, distill=settings))
    accuracy = evaluate(library.original(), few.val, few)
    assert table.fixed == pytest.approx(accuracy)
    index = next(i for i, c in enumerate(space.slots[2].choices) if c != space.slots[2].original)
    plugged = library.assemble(with_choice(space, 2, index))
    assert table.fixed + table.values[2][index] == pytest.approx(evaluate(plugged, few.val, few))


def test_the_distance_is_the_root_of_the_divergence(space, evidence):
    by_kl = score(space, "distill", evidence)
    settings = replace(evidence.distill, measure="distance")
    by_distance = score(space, "distill", replace(evidence, distill=settings))  # from what is kept
    for row, other in zip(by_kl.values, by_distance.values, strict=True):
        assert [-(value**2) for value in other] == pytest.approx(list(row), abs=1e-5)


def test_more_steps_lower_the_feature_error(space, evidence):
    errors = []
    for steps in (1, 40):
        settings = replace(evidence.distill, steps=steps)
        lesson = prepare(space, replace(evidence, distill=settings))
        rows = distil_slot(lesson, space.slots[1]).rows
        errors.append({row.choice: row.feature_error for row in rows})
    for choice in space.slots[1].choices[1:]:
        assert errors[1][choice.key] < 0.7 * errors[0][choice.key]


def test_features_that_do_not_fit_into_memory_are_streamed_to_the_same_quality(space, evidence):
    found = []
    for feature_mib in (512, 0):
        settings = replace(evidence.distill, feature_mib=feature_mib)
        lesson = prepare(space, replace(evidence, distill=settings))
        found.append(distil_slot(lesson, space.slots[1]))
    for cached, streamed in zip(found[0].rows, found[1].rows, strict=True):
        assert streamed.scores["kl"] == pytest.approx(cached.scores["kl"], rel=0.5, abs=0.05)
    assert found[1].passes > found[0].passes


def test_two_processes_give_the_table_of_one(space, evidence, tmp_path):
    one = score(space, "distill", evidence)
    two = score(space, "distill", replace(evidence, folder=tmp_path / "two", n_threads=2))
    assert two.values == one.values
    assert two.n_images == one.n_images


def test_a_killed_run_goes_on_and_ends_with_the_same_table(space, evidence, tmp_path, monkeypatch):
    whole = score(space, "distill", replace(evidence, folder=tmp_path / "whole"))
    done = []

    def stop_in_third(lesson, slot):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(slot.name)
        return distil_slot(lesson, slot)

    monkeypatch.setattr("hot.quality.distill.distil_slot", stop_in_third)
    with pytest.raises(KeyboardInterrupt):
        score(space, "distill", evidence)
    again = []
    monkeypatch.setattr(
        "hot.quality.distill.distil_slot",
        lambda lesson, slot: again.append(slot.name) or distil_slot(lesson, slot),
    )
    resumed = score(space, "distill", evidence)
    assert resumed.values == whole.values
    assert again == [slot.name for slot in space.slots if slot.name not in done]


def test_a_damaged_slot_file_is_made_again(space, evidence, caplog):
    first = score(space, "distill", evidence)
    (file,) = evidence.folder.rglob(f"{space.slots[1].name}.json")
    file.write_text(file.read_text()[:40])
    with caplog.at_level(logging.WARNING):
        assert score(space, "distill", evidence).values == first.values
    assert "distilled again" in caplog.text
    assert load_record(file, SlotScores).slot == space.slots[1].name


def test_a_block_that_crashes_is_left_out_with_the_reason(space, evidence, monkeypatch):
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(()))

        def forward(self, x):
            raise RuntimeError("out of tune")

    bad = space.slots[1].choices[2]
    real = __import__("hot.nn", fromlist=["build_block"]).build_block
    blocks = {bad.block(layer, space.rules) for layer in space.slots[1].layers}
    monkeypatch.setattr(
        "hot.quality.distill.build_block",
        lambda block, rules: Broken() if block in blocks else real(block, rules),
    )
    table = score(space, "distill", evidence)
    assert table.values[1][2] is None
    assert [(row.slot, row.choice) for row in table.left_out] == [(space.slots[1].name, bad.key)]
    assert "out of tune" in table.left_out[0].reason
    assert all(value is not None for value in table.values[1][:2])


def test_a_block_that_diverges_is_left_out(space, evidence):
    settings = replace(evidence.distill, learning_rate=1e30, optimizer="sgd", steps=10)
    with pytest.raises(InputError, match=f"no choice of slot '{space.slots[1].name}'"):
        score(space, "distill", replace(evidence, distill=settings))


def test_a_slot_without_any_taught_choice_is_an_error(space, evidence):
    lesson = prepare(space, evidence)
    good = Plugged("", 0.0, dict.fromkeys(MEASURES, 0.0))
    slots = []
    for slot in space.slots:
        rows = [replace(good, choice=key) for key in slot.keys]
        slots.append(SlotScores("", slot.name, tuple(rows), 0.0, 0.0))
    bad = tuple(
        row if row.choice == space.slots[2].original.key else replace(row, scores={}, reason="why")
        for row in slots[2].rows
    )
    slots[2] = replace(slots[2], rows=bad)
    with pytest.raises(InputError, match=r"no choice of slot .* why"):
        make_table(lesson, slots, 0.0)


def test_an_untrained_original_is_named_with_its_accuracy(space, evidence, library, caplog):
    torch.manual_seed(3)
    library.save_original(build(space, space.original), 0.1)
    with caplog.at_level(logging.WARNING):
        prepare(space, evidence)
    assert "no better than chance" in caplog.text
    assert "accuracy is 0." in caplog.text


def test_a_trained_original_is_not_warned_about(space, evidence, caplog):
    with caplog.at_level(logging.WARNING):
        prepare(space, evidence)
    assert "chance" not in caplog.text


def test_a_block_that_changes_its_input_in_place_changes_nothing_else(space, data, evidence):
    lesson = prepare(space, evidence)
    part = f"{space.slots[1].name}.0"

    class InPlace(nn.Module):
        def __init__(self, body):
            super().__init__()
            self.body = body

        def forward(self, x):
            out = self.body(x.clone())
            x.zero_()
            return out

    clean = distil_slot(lesson, space.slots[1])
    lesson.network.set_part(part, InPlace(lesson.network.part(part)))
    assert distil_slot(lesson, space.slots[1]).rows == clean.rows


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("steps", 0, "steps must be at least 1"),
        ("optimizer", "adm", "did you mean 'adam'"),
        ("measure", "klx", "did you mean 'kl'"),
        ("learning_rate", -1.0, "learning_rate must be"),
        ("n_measure", 1, "n_measure must be"),
    ],
)
def test_a_number_that_is_not_allowed_is_named(space, evidence, name, value, words):
    settings = replace(DistillSettings(), **{name: value})
    with pytest.raises(InputError, match=words):
        score(space, "distill", replace(evidence, distill=settings))


def test_a_library_without_the_original_says_how_to_get_it(space, evidence, tmp_path):
    from hot.nn import Library

    empty = Library(tmp_path / "none", space)
    with pytest.raises(InputError, match="no trained original network"):
        score(space, "distill", replace(evidence, library=empty))


def test_scores_are_finite(space, evidence):
    table = score(space, "distill", evidence)
    assert all(math.isfinite(value) for row in table.values for value in row)
