"""Quality of the choices of a run: what the scorer needs, its table, and its correction."""

import logging
from dataclasses import replace

from hot.autosearch import Tables, baseline
from hot.config import QualitySection, SearchSection, TrainingSection
from hot.errors import InputError
from hot.nn import Library, build
from hot.pipeline.picks import find_picks
from hot.pipeline.stage import load_data
from hot.quality import (
    Evidence,
    agreement,
    check_corrections,
    correct_quality,
    measure_plugged,
    needs_of,
    score,
)
from hot.records import LatencyTable, Lut, QualityTable, Recipe, RunFolder
from hot.space import Space
from hot.tasks import ImageData, find_task
from hot.training import evaluate, fit, load_weights

log = logging.getLogger(__name__)
_AGREES = 0.95  # Spearman of predicted and measured picks at which a correction ends


def assess(
    job: RunFolder,
    lut: Lut,
    sections: list[SearchSection],
    quality: QualitySection = QualitySection(),
    training: TrainingSection = TrainingSection(),
    seed: int = 0,
) -> QualityTable:
    """The quality of every choice, by the scorer of the section; corrected where it asks for it.

    A scorer that compares with the original network trains it first, where the run's library does
    not hold it yet. Called again, all of it goes on where it stopped.

    Raises:
        InputError: an unknown scorer, or a file that does not fit the space.
        DataError: the scorer needs images, and those of `training` cannot be used.
    """
    space = job.space()
    evidence = make_evidence(job, space, quality, training, seed)
    table = score(space, quality.scorer, evidence)
    if quality.corrections:
        table = _close_gap(lut.table(space), table, space, sections, evidence, quality.corrections)
    return table


def make_evidence(
    job: RunFolder | None,
    space: Space,
    quality: QualitySection,
    training: TrainingSection,
    seed: int,
) -> Evidence:
    """What the scorer needs and no more: images, and the run's library.

    Raises:
        InputError: the scorer needs a run folder and there is none, or has nothing to correct by.
    """
    check_corrections(quality.scorer, quality.corrections)
    needs = needs_of(quality.scorer)
    if "data" not in needs:
        return Evidence(seed=seed)
    data = load_data(training.data_spec(seed), space)
    task = find_task(training.task)
    if "library" not in needs:
        return Evidence(data=data, task=task, seed=seed)
    if job is None:
        raise InputError(
            f"the quality {quality.scorer!r} trains networks, which a run folder keeps; give --run"
        )
    return Evidence(
        data=data,
        task=task,
        library=_open_library(job, space, data, quality.original, training, seed),
        folder=job.file("quality"),
        seed=seed,
        distill=quality.distill,
    )


def _open_library(
    job: RunFolder,
    space: Space,
    data: ImageData,
    original: Recipe | None,
    training: TrainingSection,
    seed: int,
) -> Library:
    """The run's library with the trained original network, which is trained now where it is not.

    Args:
        original: how it is trained; None takes the recipe of the candidates, or, where the space
            was made from a model with weights, these weights as they are.
    """
    library = Library(job.file("library"), space)
    if library.has_original():
        return library
    task = find_task(training.task)
    network = build(space, space.original)
    if original is None and _has_weights(space):
        library.save_original(network, evaluate(network, data.val, data, task))
        return library
    recipe = replace(original or training.recipe.without_library, seed=seed)
    log.info("training the original network, %d epochs", recipe.epochs)
    folder = job.file("library", "training")
    result = fit(space, space.original, data, recipe, folder, candidate="original", task=task)
    load_weights(folder / result.checkpoint, network)
    library.save_original(network, result.val_metric)
    return library


def _has_weights(space: Space) -> bool:
    """Whether the original network of a space comes with trained weights."""
    if space.backbone is None:
        return False
    return space.spec is None or space.spec.model is None or space.spec.model.weights != "none"


def _close_gap(
    latency: LatencyTable,
    table: QualityTable,
    space: Space,
    sections: list[SearchSection],
    evidence: Evidence,
    n_rounds: int,
) -> QualityTable:
    """The table corrected by whole networks: the picks of each round with their distilled weights.

    It ends where the measured order of the picks is the predicted one, or no pick is new.
    """
    measured: dict[str, float] = {}
    corrected = table
    for number in range(1, n_rounds + 1):
        tables = Tables(space, latency, corrected, latency.precision)
        origin = baseline(tables).predicted
        picks = [pick for one in sections for pick in find_picks(tables, one, origin)]
        keys = list(dict.fromkeys(pick.architecture for pick in picks))
        new = [space.parse(key) for key in keys if key not in measured]
        if not new:
            break
        values = measure_plugged(space, new, evidence)
        measured |= {one.key: value for one, value in zip(new, values, strict=True)}
        order = agreement(corrected, space, {key: measured[key] for key in keys})
        log.info("correction %d: order of %d picks agrees to %.2f", number, len(keys), order)
        corrected = correct_quality(table, space, measured)
        if order >= _AGREES:
            break
    return corrected
