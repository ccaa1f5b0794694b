import re

import pytest

from hot.records import Candidate, Deployment, Front, RunFolder


@pytest.fixture
def explorer(visit, site):
    page = visit(site, "/runs#run=digits/first")
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
    assert {"baseline", "accuracy-1", "accuracy-2"} <= set(
        explorer.locator("#points tbody b").all_inner_texts()
    )


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
        assert rows.nth(index).locator("code").all_inner_texts() == [one[index], other[index]]
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


def test_a_run_without_energy_quality_and_space_is_plotted_by_what_it_has(visit, site):
    page = visit(site, "/runs#run=bare")
    page.wait_for_selector("#scatter")
    assert page.locator("#scatter > .dot").count() == 3
    assert page.locator("#within-energy, #within-quality").count() == 0
    assert page.is_disabled("#views [value=deployed]")
    page.click("#points button[aria-label='compare baseline']")
    page.click("#points button[aria-label='compare accuracy-2']")
    assert "slot 1" in page.inner_text("#slots")


def test_a_run_that_just_began_says_what_comes_next(visit, site):
    page = visit(site, "/runs#run=new")
    page.wait_for_selector("#run:not([hidden])")
    assert "run hot autosearch" in page.inner_text("#plot")
    page.locator("#runs tbody tr", has_text="digits/first").click()
    page.wait_for_selector("#scatter")
