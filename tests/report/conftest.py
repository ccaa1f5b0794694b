"""A run with every record a report reads: a real table, search and deployment on digits."""

import dataclasses

import pytest
import torch

from hot.autosearch import Tables, autosearch, baseline, front
from hot.deploy import deploy
from hot.devices import Settings, make_device
from hot.lut import build_lut, check_lut
from hot.records import Budget, Recipe, RunFolder
from hot.space import SpaceSpec
from hot.tasks import load_images
from hot.training import fit

QUICK = Settings(warmup=1, repetitions=3, best_of=1, max_remeasure=0)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A finished run: the table of an estimating device, two picks and the baseline deployed."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("report")
    run = RunFolder.create(folder / "finished", "config: 1\n")
    run.save_space(SpaceSpec("digits", width=0.7))
    space = run.space()
    data = load_images("digits", space.stem_input, n_train=300, n_val=50, n_test=100)
    device = make_device("stm32h743")
    lut = build_lut(space, device, "int8", "isolated", store=folder / "lut.db")
    lut = dataclasses.replace(lut, check=check_lut(lut, space, device, n=6))
    run.save(lut, "lut.json")
    table = lut.table(space)
    first = baseline(Tables(space, table, precision="int8"))
    budget = Budget(latency_ms=table.predict_ms(space, space.original))
    picks = autosearch(space, table, budget, "accuracy", k=2)
    noted = dataclasses.replace(picks[1], notes=("a third of the baseline's parameters <b>",))
    run.save(
        front(space, table, budget, lowest=0.97 * budget.latency_ms, max_points=999), "front.json"
    )
    for candidate in (first, picks[0], noted):
        run.save(candidate, "candidates", f"{candidate.name}.json")
        architecture = space.parse(candidate.architecture)
        result = fit(
            space, architecture, data, Recipe(epochs=1, batch_size=64, precision="fp32"),
            run.file("training", candidate.name, "trial-0"), candidate=candidate.name,
            root=run.path,
        )  # fmt: skip
        run.save(result, "results", f"{candidate.name}.json")
        deploy(run, candidate, result, data, device, "int8", QUICK)
    return run
