"""The pages in a real browser, on a real server, over a run and tables that the pipeline made."""

import dataclasses
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi")

from hot.autosearch import Tables, autosearch, baseline, front
from hot.deploy import deploy
from hot.devices import Settings, make_device
from hot.lut import find_luts, load_lut, save_lut
from hot.records import Budget, Candidate, Deployment, Front, Recipe, RunFolder, save_record
from hot.server import pages
from hot.server.auth import add_token
from hot.space import SpaceSpec, load_space
from hot.tasks import load_images
from hot.training import fit

HOSTILE = "<img src=x onerror=window.owned=1>"
PAGES = Path(pages.__file__).with_suffix("")
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
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []
    assert [url for origin, url in asked if not url.startswith(f"{origin}/")] == []


def loaded(page):
    page.wait_for_selector("#content:not([hidden])")
    return page


def texts(page, selector):
    return page.locator(selector).all_inner_texts()


# Devices and queue -------------------------------------------------------------------------------


def test_devices_are_shown_with_their_kind(visit, site):
    page = loaded(visit(site, "/"))
    page.wait_for_selector("[data-device=waits]")
    assert "measured" in page.inner_text("[data-device=waits]")
    assert "estimated" in page.inner_text("[data-device=thinks]")
    page.click("[data-device=waits] summary")
    assert "wait_ms" in page.inner_text("[data-device=waits]")
    assert page.is_hidden("#login")


def test_jobs_come_in_live_open_and_tell_their_result(visit, site, make_model):
    page = loaded(visit(site, "/"))
    page.wait_for_selector("[data-device=waits]")
    job = site.finish(site.submit(make_model(seed=71)))
    row = page.wait_for_selector(f"tr[data-job='{job['id']}'][data-status=done]")
    assert "2.5 ms" in row.inner_text()
    page.click(f"#job-{job['id']}")
    details = page.wait_for_selector("tr.opened")
    assert job["artifact"] in details.inner_text()
    assert "2 samples" in details.inner_text()
    page.wait_for_timeout(2500)  # drawn anew at least once
    assert page.get_attribute(f"#job-{job['id']}", "aria-expanded") == "true"


def test_a_waiting_job_is_cancelled_and_asked_again_by_buttons(visit, site, make_model):
    running = site.submit(make_model("wait:30", seed=72))
    waiting = site.submit(make_model(seed=73))
    page = loaded(visit(site, "/"))
    page.wait_for_selector(f"tr[data-job='{running['id']}'][data-status=running]")
    row = page.wait_for_selector(f"tr[data-job='{waiting['id']}'][data-status=queued]")
    assert "place 1" in row.inner_text()
    page.click(f"#cancel-{waiting['id']}")
    page.wait_for_selector(f"tr[data-job='{waiting['id']}'][data-status=cancelled]")
    assert site.get(waiting)["status"] == "cancelled"
    page.click(f"#cancel-{running['id']}")
    site.until(lambda: site.get(running)["status"] == "cancelled")
    page.click(f"#retry-{waiting['id']}")
    page.wait_for_selector(f"tr[data-job='{waiting['id']}'][data-status=done]")


def test_jobs_are_filtered_by_status_and_device(visit, site, make_model):
    cancelled = site.submit(make_model("misfit", seed=74))
    estimated = site.finish(site.submit(make_model(seed=75), device="thinks"))
    site.finish(cancelled)
    page = loaded(visit(site, "/"))
    page.wait_for_selector(f"tr[data-job='{cancelled['id']}']")
    assert "cannot run" in page.inner_text(f"tr[data-job='{cancelled['id']}']")
    page.select_option("#device", "thinks")
    page.wait_for_selector(f"tr[data-job='{cancelled['id']}']", state="detached")
    assert page.is_visible(f"tr[data-job='{estimated['id']}']")
    page.select_option("#status", "failed")
    page.wait_for_selector("#no-jobs:not([hidden])")


def test_a_server_that_is_gone_is_said_and_found_again(visit, site):
    page = loaded(visit(site, "/", may_fail=True))
    page.wait_for_selector("text=live")
    page.context.set_offline(True)
    page.wait_for_selector("#trouble:not([hidden])")
    assert page.inner_text("#live") == "not live"
    page.context.set_offline(False)
    page.wait_for_selector("#trouble", state="hidden")
    assert page.inner_text("#live") == "live"


# Look-up tables ----------------------------------------------------------------------------------


def pick_lut(page, device):
    page.locator("#luts tbody tr", has_text=device).first.click()
    page.wait_for_function(
        "d => document.querySelector('#lut-title').textContent.includes(d)", arg=device
    )


def cell(page, slot, choice):
    """The cell of a slot and a choice."""
    columns = [text.strip() for text in texts(page, "#heat thead th")]
    row = page.locator("#heat tbody tr", has=page.locator("th", has_text=slot)).first
    return row.locator("td").nth(columns.index(choice))


def test_tables_are_listed_with_their_coverage(visit, site):
    page = loaded(visit(site, "/luts"))
    page.wait_for_selector("#luts tbody tr")
    assert page.locator("#luts tbody tr").count() == len(find_luts()) + 2
    n = len(load_lut(digits()).entries)
    assert f"{n - 5} of {n}" in page.inner_text("#luts tr:has-text('growing')")
    page.fill("#find", "growing int8")
    assert page.locator("#luts tbody tr").count() == 1


def test_the_map_shows_the_tables_numbers_in_each_of_its_three_ways(visit, site):
    page = loaded(visit(site, "/luts"))
    page.wait_for_selector("#luts tbody tr")
    page.fill("#find", "stm32h743 digits")
    pick_lut(page, "stm32h743")
    space, lut = load_space("digits"), load_lut(digits())
    slot = space.slots[1]
    choice = next(c for c in slot.choices if c != slot.original)

    def total(of, which):
        return sum(getattr(lut.entries[which.work_key(layer)], of) for layer in slot.layers)

    mine, original = total("latency_ms", choice), total("latency_ms", slot.original)
    energy = total("energy_mj", choice)
    shown = cell(page, slot.name, choice.key)
    assert float(shown.inner_text()) == pytest.approx(mine, rel=0.06)
    shown.hover()
    tip = page.wait_for_selector("#tip:not([hidden])").inner_text()
    assert f"{choice.key} at {slot.name}" in tip
    assert float(re.search(r"latency\s+([\d.]+) ms", tip)[1]) == pytest.approx(mine, rel=0.006)
    assert float(re.search(r"original\s+([\d.]+)×", tip)[1]) == pytest.approx(
        mine / original, rel=0.006
    )
    page.click("text=ratio to the original")
    assert cell(page, slot.name, slot.original.key).inner_text() == "1"
    assert float(shown.inner_text()) == pytest.approx(mine / original, rel=0.06)
    page.click("#shown >> text=energy")
    said = page.inner_text("#lut-source")
    unit = 1e3 if "µJ" in said else 1.0
    assert float(shown.inner_text()) == pytest.approx(energy * unit, rel=0.06)
    page.reload()
    page.wait_for_selector("#heat td")
    assert page.is_checked("#shown [value=energy]")


def test_the_map_is_walked_by_keys(visit, site):
    page = loaded(visit(site, "/luts"))
    page.wait_for_selector("#heat td")
    page.focus("#heat td[tabindex='0']")
    first = page.wait_for_selector("#tip:not([hidden])").inner_text()
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#tip") != first
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#tip") == first
    assert page.locator("#heat td[tabindex='0']").count() == 1
    page.keyboard.press("Escape")
    assert page.is_hidden("#tip")


def test_what_a_table_lacks_is_marked_and_not_zero(visit, site):
    page = loaded(visit(site, "/luts"))
    page.wait_for_selector("#luts tbody tr")
    pick_lut(page, "growing")
    gaps = page.locator("#heat td.gap")
    assert gaps.count() > 0
    assert set(gaps.all_inner_texts()) == {"?"}
    gaps.first.hover()
    assert "Not in the table yet" in page.inner_text("#tip")


# Runs --------------------------------------------------------------------------------------------


@pytest.fixture
def explorer(visit, site):
    page = loaded(visit(site, "/runs#run=digits/first"))
    page.wait_for_selector("#scatter")
    return page


@pytest.fixture
def run(folders):
    return RunFolder(folders / "runs" / "digits" / "first")


def architectures(run):
    """Predictions of all points of a run, by architecture and name."""
    named = run.load_all(Candidate, "candidates")
    swept = run.load(Front, "front.json").points
    known = {c.architecture for c in named}
    return [(c.name, c.predicted) for c in named] + [
        (None, p.predicted) for p in swept if p.architecture not in known
    ]


def test_every_architecture_is_a_point_of_the_plot(explorer, run):
    expected = architectures(run)
    assert explorer.locator("#scatter > .dot").count() == len(expected)
    assert explorer.inner_text("#count") == f"{len(expected)} of {len(expected)} shown"
    assert {"baseline", "accuracy-1", "accuracy-2"} <= set(texts(explorer, "#points tbody b"))


def test_budgets_objectives_and_deployment_filter(explorer, run):
    points = architectures(run)
    latencies = [p.latency_ms for _, p in points]
    explorer.locator("#within-latency").fill("80")
    limit = min(latencies) + (max(latencies) - min(latencies)) * 80 / 200
    expected = sum(latency <= limit for latency in latencies)
    assert 0 < expected < len(points)
    assert explorer.inner_text("#count") == f"{expected} of {len(points)} shown"
    assert explorer.locator("#scatter > .dot").count() == expected
    explorer.click("#filters button[type=reset]")
    explorer.wait_for_function(
        "n => document.querySelectorAll('#scatter > .dot').length === n", arg=len(points)
    )
    explorer.uncheck("#objectives [value=front]")
    assert explorer.inner_text("#count") == f"3 of {len(points)} shown"
    explorer.check("#deployed")
    n_deployed = len(run.load_all(Deployment, "deployments"))
    assert explorer.inner_text("#count") == f"{n_deployed} of {len(points)} shown"
    explorer.uncheck("#objectives [value=baseline]")
    explorer.uncheck("#objectives [value=accuracy]")
    assert "No architecture passes" in explorer.inner_text("#plot")


def test_the_deployed_view_shows_what_was_deployed(explorer, run):
    deployments = run.load_all(Deployment, "deployments")
    explorer.click("#views >> text=deployed")
    assert explorer.locator("#scatter > .dot").count() == len(deployments)
    assert "estimated latency in" in explorer.inner_html("#scatter")
    assert "accuracy deployed in %" in explorer.inner_html("#scatter")
    explorer.select_option("#x", "weights")
    assert not explorer.is_checked("#views [value=deployed]")
    assert "weight memory in" in explorer.inner_html("#scatter")


def test_hovering_a_point_tells_its_numbers(explorer, run):
    explorer.evaluate("document.querySelector('#run').scrollIntoView()")
    box = explorer.locator("#scatter > .dot[data-point=accuracy-2]").bounding_box()
    explorer.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tip = explorer.wait_for_selector("#tip:not([hidden])").inner_text()
    candidates = {c.name: c for c in run.load_all(Candidate, "candidates")}
    name = tip.splitlines()[0]
    predicted = candidates[name].predicted
    shown = float(re.search(r"predicted latency\s+([\d.]+) ms", tip)[1])
    assert shown == pytest.approx(predicted.latency_ms, rel=0.006)


def test_two_points_are_compared_slot_by_slot_and_stay_after_a_reload(explorer, run):
    candidates = {c.name: c for c in run.load_all(Candidate, "candidates")}
    for name in ("baseline", "accuracy-1"):
        explorer.click(f"#points button[aria-label='compare {name}']")
    one, other = (candidates[n].architecture.split(",") for n in ("baseline", "accuracy-1"))
    differ = [a != b for a, b in zip(one, other, strict=True)]
    rows = explorer.locator("#slots tbody tr")
    for index, is_different in enumerate(differ):
        assert ("differs" in (rows.nth(index).get_attribute("class") or "")) is is_different
        assert texts(rows.nth(index), "code") == [one[index], other[index]]
    assert f"{sum(differ)} of {len(differ)} slots differ" in explorer.inner_text("#compare")
    table = explorer.inner_text("#duel")
    for deployment in run.load_all(Deployment, "deployments"):
        assert f"{deployment.metric_value:.2%}".replace("%", " %") in table
    assert "int8 on stm32h743" in table and "estimated" in table
    explorer.reload()
    explorer.wait_for_selector("#slots")
    assert explorer.locator("#slots tr.differs").count() == sum(differ)


def test_points_are_chosen_by_a_click_in_the_plot_and_by_keys(explorer):
    explorer.focus("#scatter")
    explorer.keyboard.press("Home")
    explorer.keyboard.press("Enter")
    assert "choose another one" in explorer.inner_text("#compare-none")
    assert explorer.evaluate("document.activeElement.id") == "scatter"
    explorer.evaluate("document.querySelector('#run').scrollIntoView()")
    dot = explorer.locator("#scatter > .dot[data-point=baseline]").bounding_box()
    explorer.mouse.click(dot["x"] + dot["width"] / 2, dot["y"] + dot["height"] / 2)
    assert explorer.is_visible("#slots")
    assert explorer.locator("#scatter .ring").count() == 2
    explorer.click("#points button[aria-pressed=true] >> nth=0")
    assert explorer.locator("#scatter .ring").count() == 1


# Safety ------------------------------------------------------------------------------------------


def test_hostile_names_are_text(visit, site):
    page = loaded(visit(site, "/luts"))
    page.wait_for_selector("#luts tbody tr")
    pick_lut(page, HOSTILE)
    assert HOSTILE in page.inner_text("#luts")
    assert f"torn {HOSTILE}" in page.inner_text("#damaged")
    assert page.evaluate("[window.owned, document.images.length]") == [None, 0]
    page = loaded(visit(site, "/runs"))
    page.locator("#runs tbody tr", has_text=HOSTILE).click()
    page.wait_for_function(
        "d => document.querySelector('#run-title').textContent === d", arg=HOSTILE
    )
    page.wait_for_selector("#scatter")
    assert HOSTILE in page.inner_text("#points")
    page.click(f"#points button[aria-label='compare {HOSTILE}']")
    page.click("#points button[aria-label='compare accuracy-1']")
    assert HOSTILE in page.inner_text("#compare")
    assert page.evaluate("[window.owned, document.images.length]") == [None, 0]


def test_a_page_refuses_markup_and_scripts_that_are_not_its_own(visit, site):
    page = loaded(visit(site, "/", may_fail=True))
    for deed in (
        "document.body.innerHTML = '<b>x</b>'",
        "document.body.setAttribute('onclick', 'window.owned = 1')",
        "document.createElement('script').text = 'window.owned = 1'",
    ):
        refused = f"() => {{ try {{ {deed}; }} catch (e) {{ return e.name; }} }}"
        assert page.evaluate(refused) == "TypeError", deed
    assert page.evaluate("window.owned") is None


@pytest.mark.parametrize("path", ["/", "/luts", "/runs", "/pages/dom.js", "/pages/none.js"])
def test_the_policy_of_contents_is_strict(site, path):
    answer = site.http.get(path)
    assert answer.status_code == (404 if "none" in path else 200)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy
    assert "unsafe" not in policy and "http" not in policy
    if answer.status_code == 200:
        again = site.http.get(path, headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304


def test_nothing_but_the_packages_own_files_is_served(site):
    for path in ("/pages/devices.html", "/pages/../pages.py", "/pages/%2e%2e/app.py", "/pages/"):
        assert site.http.get(path).status_code == 404


@pytest.mark.parametrize("path", sorted(PAGES.iterdir()), ids=lambda path: path.name)
def test_sources_make_no_markup_of_strings_and_name_no_other_origin(path):
    text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    text = text.replace("http://HOST:PORT/NAME", "")
    assert not re.search(r"https?://|//cdn|@import", text)
    if path.suffix == ".js":
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", text)
    if path.suffix == ".html":
        assert not re.search(r"\son\w+=|style=|<script(?![^>]*\ssrc=)", text)


@pytest.fixture(scope="session")
def guarded(in_process, tmp_path_factory):
    """A server that asks for tokens, one token of each role, and a client of the highest."""
    path = tmp_path_factory.mktemp("tokens") / "tokens.yaml"
    tokens = {role: add_token(path, f"a-{role}", role, 1) for role in ("read", "measure", "admin")}
    client, _ = in_process(tokens=path, job_time_limit_s=60.0)
    return type(client)(client.url, tokens["admin"]), tokens


def sign_in(page, token):
    page.wait_for_selector("#login:not([hidden])")
    page.fill("#token", token)
    page.click("#login button")


def test_a_token_is_asked_for_and_kept_in_its_tab_alone(visit, guarded):
    client, tokens = guarded
    page = visit(client, "/", may_fail=True)
    sign_in(page, "hot_wrong")
    page.wait_for_selector("#login-error:not(:empty)")
    assert page.is_hidden("#content")
    sign_in(page, tokens["read"])
    loaded(page)
    assert page.inner_text("#who") == "a-read (read)"
    page.click("nav >> text=Look-up tables")
    loaded(page).wait_for_selector("#heat td")
    assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]
    assert tokens["read"] not in page.url
    other = page.context.new_page()
    other.goto(f"{client.url}/")
    other.wait_for_selector("#login:not([hidden])")
    page.click("#sign-out")
    page.wait_for_selector("#login:not([hidden])")
    assert page.evaluate("sessionStorage.length") == 0


def test_only_roles_that_may_see_the_buttons(visit, guarded, make_model):
    client, tokens = guarded
    job = client.submit(make_model("wait:30", seed=81))
    for role, n_buttons in (("read", 0), ("measure", 1)):
        page = visit(client, "/", may_fail=True)
        sign_in(page, tokens[role])
        page.wait_for_selector(f"tr[data-job='{job['id']}']")
        assert page.locator("#jobs button:text-is('cancel')").count() == n_buttons, role
    page.click(f"#cancel-{job['id']}")
    page.wait_for_selector(f"tr[data-job='{job['id']}'][data-status=cancelled]")


# Everyone ----------------------------------------------------------------------------------------

NAMELESS = """() => [...document.querySelectorAll('button, input, select, a, [tabindex="0"]')]
    .filter((node) => node.offsetParent !== null)
    .filter((node) => !(node.getAttribute('aria-label') || node.textContent.trim()
                        || node.labels?.[0]?.textContent.trim()))
    .map((node) => node.outerHTML)"""
CONTRAST = """() => {
    const light = (text) => { const [r, g, b] = text.match(/[\\d.]+/g).map(Number).slice(0, 3)
        .map((c) => c / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
    const ground = (node) => { for (; node; node = node.parentElement) {
        const colour = getComputedStyle(node).backgroundColor;
        if (!/, 0\\)$|transparent/.test(colour)) return colour; } return 'rgb(255, 255, 255)'; };
    return [...document.querySelectorAll('main *, header *')]
        .filter((node) => node.offsetParent !== null && !node.closest('svg, :disabled, .hidden'))
        .filter((node) => [...node.childNodes].some((c) => c.nodeType === 3 && c.data.trim()))
        .map((node) => { const [a, b] = [light(getComputedStyle(node).color), light(ground(node))];
            const most = Math.max(a, b), least = Math.min(a, b);
            return [(most + 0.05) / (least + 0.05), node.textContent.trim().slice(0, 40)]; })
        .filter(([ratio]) => ratio < 4.5); }"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/", "/luts", "/runs"])
def test_every_page_is_readable_named_and_fits_a_phone(visit, site, path, scheme, tmp_path):
    page = loaded(visit(site, path, color_scheme=scheme, viewport={"width": 360, "height": 740}))
    page.wait_for_selector("[data-device], #heat td, #scatter")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate(NAMELESS) == []
    assert page.evaluate(CONTRAST) == []
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    with Image.open(tmp_path / "page.png") as picture:
        values = np.asarray(picture.convert("L"), dtype=float)
    assert bool(values.mean() > 128) == (scheme == "light")
    assert values.std() > 8  # something is drawn


def test_the_keyboard_reaches_the_content_and_the_controls(visit, site):
    page = loaded(visit(site, "/runs"))
    page.wait_for_selector("#scatter")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.name"))
    assert {"x", "y", "scatter", "within-latency", "objective", "deployed", "pick-0"} <= reached
