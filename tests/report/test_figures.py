import itertools

import numpy as np
import pytest
from PIL import Image

from hot.records import CheckResult, EpochRow, Recipe, TrainResult
from hot.report import check_figure, gather, pareto_front
from hot.report.figures import (
    front_figure,
    hpo_figure,
    noise_figure,
    pareto_figure,
    prediction_figure,
    training_figure,
)
from hot.report.gather import Trial
from hot.report.maps import lut_figure, slots_figure
from hot.report.style import COLOURS, colour_of


def is_drawn(path):
    """Whether the file is a picture with more than one colour."""
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        colours = picture.convert("RGB").getcolors(maxcolors=2**24)
    return colours is not None and len(colours) > 50


def test_the_front_holds_exactly_the_points_that_none_beats():
    rng = np.random.default_rng(0)
    points = [(float(x), float(y)) for x, y in rng.integers(0, 9, (40, 2))]

    def is_beaten(p):
        return any(q != p and q[0] <= p[0] and q[1] >= p[1] for q in points)

    assert pareto_front(points) == sorted({p for p in points if not is_beaten(p)})
    assert pareto_front([]) == []


def test_every_figure_of_a_finished_run_is_drawn(finished, tmp_path):
    found = gather(finished)
    networks = {c.name: found.architecture(c) for c in found.candidates}
    drawings = {
        "pareto": lambda path: pareto_figure(found.deployments, path),
        "front": lambda path: front_figure(found.front, found.candidates, path),
        "lut": lambda path: lut_figure(found.table, found.space, networks, path),
        "slots": lambda path: slots_figure(found.space, networks, path),
        "prediction": lambda path: prediction_figure(found.lut.check, found.deployments, path),
        "check": lambda path: check_figure(found.lut.check, path),
        "training": lambda path: training_figure(list(found.results.values()), path),
        "hpo": lambda path: hpo_figure(found.trials, "accuracy", path),
        "noise": lambda path: noise_figure(found.deployments, path),
    }
    for name, draw in drawings.items():
        draw(tmp_path / f"{name}.png")
        assert is_drawn(tmp_path / f"{name}.png"), name
    assert len(list(tmp_path.iterdir())) == len(drawings)


def test_figures_of_one_point_are_drawn_too(finished, tmp_path):
    found = gather(finished)
    check = CheckResult(1, 0.0, 0.0, 0.0, 1.0, 0, "today", (2.0,), (2.0,), ("a",))
    check_figure(check, tmp_path / "check.png")
    pareto_figure(found.deployments[:1], tmp_path / "pareto.png")
    row = EpochRow(0, 1.0, 1.0, 0.5, 0.1, 1.0)
    result = TrainResult(
        "a", "x", Recipe(), "accuracy", 0.5, 0.5, 0, (row,), "w", 1.0, 9, "fp32"
    )  # fmt: skip
    training_figure([result], tmp_path / "training.png")
    for name in ("check", "pareto", "training"):
        assert is_drawn(tmp_path / f"{name}.png")


def test_pruned_trials_are_paler(tmp_path):
    trials = [Trial("a", i, 0.9, s, Recipe()) for i, s in enumerate(["complete", "pruned"])]
    hpo_figure(trials, "accuracy", tmp_path / "both.png")
    hpo_figure([*trials[:1], Trial("a", 1, 0.9, "complete", Recipe())], "accuracy", tmp_path / "no")
    dark = [
        np.asarray(Image.open(tmp_path / name).convert("L")).sum() for name in ("both.png", "no")
    ]
    assert dark[0] > dark[1]


def luminance(colour):
    rgb = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("colour", COLOURS)
def test_every_colour_stands_out_from_the_white_ground(colour):
    assert 1.05 / (luminance(colour) + 0.05) > 2  # contrast ratio of WCAG 2


def test_nine_candidates_have_nine_colours_and_the_baseline_is_black():
    names = ("baseline", *(f"accuracy-{i}" for i in range(1, 9)))
    colours = colour_of(names)
    assert all(colours[a] != colours[b] for a, b in itertools.combinations(names, 2))
    assert colours["baseline"] == "#000000"
