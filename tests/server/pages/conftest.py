"""The pages in a real browser, on a real server, over a run and tables that the pipeline made."""

import dataclasses
import shutil

import pytest

pytest.importorskip("fastapi")

from hot.autosearch import Tables, autosearch, baseline, front
from hot.deploy import deploy
from hot.devices import Settings, make_device
from hot.lut import find_luts, load_lut, save_lut
from hot.records import Budget, Recipe, RunFolder, save_record
from hot.space import SpaceSpec
from hot.tasks import load_images
from hot.training import fit

HOSTILE = "<img src=x onerror=window.owned=1>"
QUICK = Settings(warmup=1, repetitions=3, best_of=1, max_remeasure=0)


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Folders of runs and tables: a deployed run, and hostile and incomplete copies."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("shown")
    run = RunFolder.create(folder / "runs" / "digits" / "first", "config: 1\n")
    run.save_space(SpaceSpec("digits"))
    space, device, lut = run.space(), make_device("stm32h743"), load_lut(digits())
    run.save(lut, "lut.json")
    table = lut.table(space)
    budget = Budget(latency_ms=0.8 * table.predict_ms(space, space.original))
    picks = autosearch(space, table, budget, "accuracy", k=2)
    candidates = (baseline(Tables(space, table, precision="int8")), *picks)
    step = budget.latency_ms / 30
    run.save(front(space, table, budget, step=step), "front.json")
    data = load_images("digits", space.stem_input, n_train=200, n_val=50, n_test=50)
    recipe = Recipe(epochs=1, batch_size=64, precision="fp32")
    for candidate in candidates:
        run.save(candidate, "candidates", f"{candidate.name}.json")
    for candidate in candidates[:2]:
        architecture = space.parse(candidate.architecture)
        trial = run.file("training", candidate.name, "trial-0")
        result = fit(
            space, architecture, data, recipe, trial, candidate=candidate.name, root=run.path
        )
        run.save(result, "results", f"{candidate.name}.json")
        deploy(run, candidate, result, data, device, "int8", QUICK)
    _add_hostile(run, folder, lut, candidates[0])
    bare = RunFolder.create(folder / "runs" / "bare", "config: 1\n")
    for candidate in candidates:
        known = dataclasses.replace(candidate.predicted, energy_mj=None, quality=None)
        searched = dataclasses.replace(candidate, predicted=known)
        bare.save(searched, "candidates", f"{candidate.name}.json")
    RunFolder.create(folder / "runs" / "new", "config: 1\n")
    return folder


def _add_hostile(run, folder, lut, candidate):
    """Copies whose names are markup, and a table that is not finished."""
    copy = folder / "runs" / HOSTILE
    shutil.copytree(run.path, copy)
    named = dataclasses.replace(candidate, name=HOSTILE, notes=(HOSTILE,))
    save_record(copy / "candidates" / "hostile.json", named)
    info = dataclasses.replace(lut.device, name=HOSTILE, notes=(HOSTILE,))
    save_record(folder / "luts" / f"{HOSTILE}.json", dataclasses.replace(lut, device=info))
    (folder / "luts" / f"torn {HOSTILE}.json").write_text("{")
    shipped = load_lut(digits())
    kept = dict(list(shipped.entries.items())[:-5])
    device = dataclasses.replace(shipped.device, name="growing")
    save_lut(dataclasses.replace(shipped, device=device, entries=kept), folder / "luts")


def digits():
    return next(p for name, p in find_luts().items() if name.startswith("stm32h743/digits"))


@pytest.fixture(scope="session")
def site(in_process, folders):
    """A client of a server without tokens that shows the folders."""
    config = {"luts": folders / "luts", "runs": folders / "runs", "job_time_limit_s": 60.0}
    return in_process(**config)[0]


@pytest.fixture(scope="session")
def browser(skip_unless_ci):
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        skip_unless_ci("chromium is not installed, so the pages are not opened")
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        skip_unless_ci("playwright is not installed, so the pages are not opened")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=found, args=["--no-sandbox", "--disable-gpu"]
        )
        yield started
        started.close()


@pytest.fixture
def visit(browser):
    """A function that opens an address; no page may log an error or ask another origin."""
    contexts, faults, asked = [], [], []

    def open_page(client, path, *, may_fail=False, **options):
        context = browser.new_context(reduced_motion="reduce", **options)
        context.set_default_timeout(20_000)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append((client.url, request.url)))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: faults.append(dialog.message))
        if not may_fail:
            page.on("console", lambda line: faults.append(line.text))
        page.goto(f"{client.url}{path}")
        if not may_fail:
            page.wait_for_selector("#content:not([hidden])")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []
    assert [url for origin, url in asked if not url.startswith(f"{origin}/")] == []


@pytest.fixture(scope="session")
def hostile():
    """The name that is markup."""
    return HOSTILE


@pytest.fixture(scope="session")
def shipped():
    """The file of a table that ships with hot."""
    return digits()
