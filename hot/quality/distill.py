"""Quality by distillation: every choice learns the original's block and is tried in its place.

Each choice of a slot is taught the output of the original block from the original block's input,
and then stands in the original network alone; its score is what that changes on held-out images.

Assumption: the changes of single blocks add up. They do not where blocks depend on each other;
`hot.quality.correct` mends the table with measured networks.

References:
    Molchanov et al., LANA: Latency Aware Network Acceleration, ECCV 2022, sections 3.1 and 3.2.
    Bercovich et al., Puzzle: Distillation-Based NAS for Inference-Optimized LLMs, 2024, section 3.
"""

import logging
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from hot.errors import InputError
from hot.nn import build_block, fold_norms, seeded
from hot.progress import progress
from hot.quality.contract import Evidence, check_left_out
from hot.quality.lesson import Lesson, prepare
from hot.quality.parallel import in_processes
from hot.quality.plug import Suffix
from hot.quality.settings import cores, find_processes
from hot.quality.teach import Features, Pupil, guarded, teach
from hot.records import LeftOut, QualityTable, load_record, save_record
from hot.space import Choice, Slot, Space

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plugged:
    """One choice alone in the original network.

    Attributes:
        feature_error: mean over the slot's blocks of the normalised feature error.
        scores: by name of `MEASURES`; empty where it failed, for the `reason`.
    """

    choice: str
    feature_error: float | None
    scores: dict[str, float]
    reason: str = ""


@dataclass(frozen=True)
class SlotScores:
    """The choices of one slot, as they are kept for a resumed run.

    Attributes:
        seconds: its share of the wall time.
        passes: images through the whole network, a training step counting three passes and a part
            of the network its share of MACs.
    """

    fingerprint: str
    slot: str
    rows: tuple[Plugged, ...]
    seconds: float
    passes: float


def score_distill(space: Space, evidence: Evidence) -> QualityTable:
    """The measured change by every choice, alone in the original network; the original's is 0.

    The weights of every taught block stay in the library. `fixed` is the original's own measure.
    """
    n_processes = find_processes(evidence)
    with cores(1):  # of this process; the work is that of the others
        return _score(space, evidence, n_processes)


def _score(space: Space, evidence: Evidence, n_processes: int) -> QualityTable:
    start = time.perf_counter()
    lesson = prepare(space, evidence)
    file_of = {slot.name: _file(evidence.folder, lesson, slot) for slot in space.slots}
    done = {
        slot.name: found
        for slot in space.slots
        if (found := _load(file_of[slot.name], lesson, slot)) is not None
    }
    todo = [slot for slot in space.slots if slot.name not in done]
    earlier_s = sum(scores.seconds for scores in done.values())
    total = sum(len(slot.choices) for slot in space.slots)
    finished = sum(len(slot.choices) for slot in space.slots if slot.name in done)

    def work(slot: Slot) -> SlotScores:
        scores = distil_slot(lesson, slot)
        scores = replace(scores, seconds=scores.seconds / n_processes)
        if (file := file_of[slot.name]) is not None:
            save_record(file, scores)
        return scores

    with progress("distilling", total, finished) as advance:
        for scores in in_processes(work, todo, n_processes):
            done[scores.slot] = scores
            advance(len(scores.rows), scores.slot)
    seconds = earlier_s + time.perf_counter() - start
    table = make_table(lesson, [done[slot.name] for slot in space.slots], seconds)
    log.info(
        "distilled %d choices in %.0f s; work of %d images through a training of the original",
        total,
        seconds,
        table.n_images,
    )
    return table


def distil_slot(lesson: Lesson, slot: Slot) -> SlotScores:
    """Teach every choice of a slot and try each in the original network."""
    start = time.perf_counter()
    index = lesson.space.slots.index(slot)
    others = [choice for choice in slot.choices if choice != slot.original]
    pupils: dict[str, list[Pupil]] = {choice.key: [] for choice in others}
    passes = 0.0
    for layer_index, part in enumerate(slot.parts):
        members = [_pupil(lesson, slot, index, layer_index, choice) for choice in others]
        source = Features(lesson.network, part, lesson.train, lesson.settings, lesson.precision)
        rng = np.random.default_rng([lesson.seed, index, layer_index])
        teach(members, source, lesson.settings, rng)
        for choice, pupil in zip(others, members, strict=True):
            pupils[choice.key].append(pupil)
            if not pupil.failure and pupil.module.state_dict():
                lesson.library.save_block(part, choice, pupil.module)
        passes += _count_teaching(lesson, slot, layer_index, members, source)
    limit = lesson.settings.feature_mib * 2**20
    suffix = Suffix(
        lesson.network, lesson.space, slot, lesson.held_out, lesson.precision, lesson.outputs, limit
    )
    rows = []
    for choice in slot.choices:
        if choice == slot.original:
            rows.append(Plugged(choice.key, 0.0, lesson.scores(lesson.outputs)))
        else:
            rows.append(_plug(lesson, suffix, choice, pupils[choice.key]))
    passes += len(others) * len(lesson.held_out) * _share_from(lesson.space, index)
    seconds = time.perf_counter() - start
    return SlotScores(lesson.fingerprint, slot.name, tuple(rows), seconds, passes)


def _pupil(lesson: Lesson, slot: Slot, index: int, layer_index: int, choice: Choice) -> Pupil:
    pupil = Pupil(choice.key, nn.Identity())
    number = np.random.SeedSequence(
        [lesson.seed, index, layer_index, slot.choices.index(choice)]
    ).generate_state(1)[0]

    rules = lesson.space.rules
    with guarded(pupil), seeded(int(number)):
        module = build_block(choice.block(slot.layers[layer_index], rules), rules)
        pupil.module = module.to(lesson.train.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return pupil


def _plug(lesson: Lesson, suffix: Suffix, choice: Choice, pupils: list[Pupil]) -> Plugged:
    scores: dict[str, float] = {}
    whole = Pupil(choice.key, nn.Identity())
    whole.failure = next((p.failure for p in pupils if p.failure), "")

    if not whole.failure:
        with guarded(whole):
            scores = lesson.scores(suffix([fold_norms(pupil.module) for pupil in pupils]))
    if not whole.failure and not all(math.isfinite(value) for value in scores.values()):
        whole.failure = f"its scores are not finite: {scores}"
    if whole.failure:
        log.warning("%s of %s is left out: %s", choice.key, suffix.parts[0], whole.failure)
        return Plugged(choice.key, None, {}, whole.failure)
    return Plugged(choice.key, float(np.mean([pupil.error for pupil in pupils])), scores)


def make_table(lesson: Lesson, slots: list[SlotScores], seconds: float) -> QualityTable:
    """The additive table of the wanted measure: the change from the original network.

    Raises:
        InputError: every choice of a slot but the original failed.
    """
    measure = lesson.settings.measure
    base = lesson.scores(lesson.outputs)[measure]
    values, left_out = [], []
    for slot, scores in zip(lesson.space.slots, slots, strict=True):
        by_key = {row.choice: row for row in scores.rows}
        left_out += [LeftOut(slot.name, r.choice, r.reason) for r in scores.rows if r.reason]
        rows = [by_key[choice.key] for choice in slot.choices]
        own = by_key[slot.original.key].scores[measure]
        values.append(tuple(None if row.reason else row.scores[measure] - own for row in rows))
    check_left_out(lesson.space, left_out)
    passes = sum(scores.passes for scores in slots) + len(lesson.held_out)
    return QualityTable(
        lesson.space.key,
        f"distill-{measure}",
        tuple(values),
        base,
        seconds,
        round(passes / 3),
        left_out=tuple(left_out),
    )


def _count_teaching(
    lesson: Lesson, slot: Slot, layer_index: int, pupils: list[Pupil], source: Features
) -> float:
    """Passes of images: the original network up to the block, and three a training step."""
    space, index = lesson.space, lesson.space.slots.index(slot)
    images = lesson.settings.steps * source.batch_size
    whole = space.counts(space.original).macs
    share = sum(
        count_layer(space, slot, layer_index, choice) / whole
        for choice, pupil in zip(
            [c for c in slot.choices if c != slot.original], pupils, strict=True
        )
        if pupil.losses
    )
    before = 1.0 - _share_from(space, index + 1) if index + 1 < len(space.slots) else 1.0
    return source.n_passes * before + 3 * images * share


def count_layer(space: Space, slot: Slot, layer_index: int, choice: Choice) -> int:
    """MACs of a choice at one layer of its slot."""
    return space.count_choice(replace(slot, layers=(slot.layers[layer_index],)), choice).macs


def _share_from(space: Space, index: int) -> float:
    """The share of the original network's MACs that stands at and behind a slot."""
    before = sum(space.count_choice(slot, slot.original).macs for slot in space.slots[:index])
    return 1.0 - before / space.counts(space.original).macs


def _file(folder: Path | None, lesson: Lesson, slot: Slot) -> Path | None:
    """Where a slot's scores are kept."""
    return None if folder is None else lesson.folder(folder) / f"{slot.name}.json"


def _load(file: Path | None, lesson: Lesson, slot: Slot) -> SlotScores | None:
    """The scores of a slot that an earlier run finished, if its blocks are all there."""
    if file is None or not file.is_file():
        return None
    try:
        scores = load_record(file, SlotScores)
    except InputError as error:
        log.warning("%s; the slot is distilled again", error)
        return None
    taught = {row.choice for row in scores.rows if not row.reason}
    if scores.fingerprint != lesson.fingerprint or {r.choice for r in scores.rows} != set(
        slot.keys
    ):
        return None
    for choice in slot.choices:
        if choice == slot.original or choice.key not in taught or choice.operator == "skip":
            continue
        if not all(lesson.library.has_block(part, choice) for part in slot.parts):
            return None
    return scores
