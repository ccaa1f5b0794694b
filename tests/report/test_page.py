import dataclasses
import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from hot.errors import StorageError
from hot.records import Deployment, Front, RunFolder
from hot.report import gather, write_report

FIGURES = ("pareto", "front", "slots", "prediction", "lut", "training", "hpo", "noise")


@pytest.fixture(scope="session")
def page(finished):
    return write_report(finished)


@pytest.fixture
def copy(finished, tmp_path):
    shutil.copytree(finished.path, tmp_path / "run")
    return RunFolder.open(tmp_path / "run")


class Reader(HTMLParser):
    """Collects what a page asks for, and its text."""

    def __init__(self):
        super().__init__()
        self.wanted, self.text, self.open = [], [], []

    def handle_starttag(self, tag, attrs):
        self.wanted += [value for name, value in attrs if name in ("src", "href", "srcset")]
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(page):
    reader = Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    assert reader.open == []
    return reader, " ".join(" ".join(reader.text).split())


def test_the_page_holds_its_figures_and_asks_for_nothing_else(page):
    reader, _ = read(page)
    assert len([w for w in reader.wanted if w.startswith("data:image/png;base64,")]) == len(FIGURES)
    assert all(wanted.startswith("data:") for wanted in reader.wanted)
    text = re.sub(r"data:[^\"]*", "", page.read_text(encoding="utf-8"))
    assert "http" not in text.replace("http-equiv", "")
    assert "<script" not in text
    assert {path.stem for path in page.parent.glob("*.png")} == set(FIGURES)


def test_the_table_shows_every_candidate_with_its_numbers(page, finished):
    _, text = read(page)
    for deployment in finished.load_all(Deployment, "deployments"):
        assert deployment.candidate in text
        assert deployment.architecture in text
        assert f"{deployment.metric_value:.2%}" in text
        assert f"{deployment.measured.latency_ms:.3g} ms" in text
    assert "proven rank 1" in text
    assert "original network" in text


def test_the_ratio_to_the_baseline_is_computed_by_hand(page, finished):
    _, text = read(page)
    found = {
        d.candidate: d.measured.latency_ms for d in finished.load_all(Deployment, "deployments")
    }
    assert f"{found['accuracy-1'] / found['baseline']:.2f}×" in text


def test_predictions_stand_beside_the_check_of_their_table(page, finished):
    from hot.records import Lut

    _, text = read(page)
    check = finished.load(Lut, "lut.json").check
    assert f"{check.mean_error:.1%} mean, {check.worst_error:.1%} worst" in text


def test_estimates_are_called_estimates_in_plain_view(page):
    _, text = read(page)
    assert "the latency on stm32h743 is estimated, not measured" in text


def test_energy_says_whether_it_is_modelled_or_measured(page, finished):
    text = read(page)[1]
    energy = gather(finished).deployments[0].measured.energy_mj
    assert f"{energy:.3g} mJ modelled" in text
    assert "; energy modelled" in text


def test_a_mark_of_the_device_stands_with_its_figures(copy):
    mark = "untuned: many times slower than it could be"
    for path in copy.file("deployments").glob("*.json"):
        document = json.loads(path.read_text())
        document["device"]["notes"] = [mark]
        path.write_text(json.dumps(document))
    text = read(write_report(copy))[1]
    assert text.count(mark) >= 2  # before the figures, and under them


def test_provenance_names_machine_versions_and_fingerprint(page, finished):
    from hot.records import Provenance

    _, text = read(page)
    origin = finished.load(Provenance, "provenance.json")
    assert origin.machine in text
    assert origin.versions["onnxruntime"] in text
    device = finished.load_all(Deployment, "deployments")[0].device
    assert device.key in text
    assert all(" ".join(value.split()) in text for value in device.fingerprint.values())


def test_notes_are_shown_and_cannot_inject_markup(page):
    _, text = read(page)
    assert "a third of the baseline's parameters <b>" in text
    assert "parameters &lt;b&gt;" in page.read_text(encoding="utf-8")


def test_stages_that_have_not_run_are_said_to_be_missing(tmp_path):
    run = RunFolder.create(tmp_path / "run", "config: 1\n")
    _, text = read(write_report(run))
    for stage in ("hot build-lut", "hot autosearch", "hot train", "hot deploy", "hot check-lut"):
        assert f"run {stage}" in text
    assert not list(run.file("report").glob("*.png"))


def test_a_figure_of_a_stage_that_is_gone_goes_too(copy):
    write_report(copy)
    assert copy.file("report", "noise.png").is_file()
    shutil.rmtree(copy.file("deployments"))
    write_report(copy)
    assert not copy.file("report", "noise.png").exists()


def test_a_run_without_a_sweep_says_nothing_of_it(copy):
    copy.file("front.json").unlink()
    _, text = read(write_report(copy))
    assert "What every budget buys" not in text
    assert not copy.file("report", "front.png").exists()


def test_the_sweep_tells_its_limits_and_whether_it_is_proven(copy):
    _, text = read(write_report(copy))
    assert "within some budget of latency, proven, under latency <=" in text
    front = copy.load(Front, "front.json")
    copy.save(dataclasses.replace(front, is_proven=False, step=0.5), "front.json")
    _, text = read(write_report(copy))
    assert "at budgets in equal steps of latency, not proven" in text


def test_a_failed_and_an_unsteady_measurement_are_told_in_plain_view(copy):
    stored = copy.load(Deployment, "deployments", "accuracy-1-int8.json")
    failed = dataclasses.replace(stored.measured, latency_ms=None, failure="out of memory")
    copy.save(dataclasses.replace(stored, measured=failed), "deployments", "accuracy-1-int8.json")
    stored = copy.load(Deployment, "deployments", "accuracy-2-int8.json")
    shaky = dataclasses.replace(stored.measured, is_steady=False, spread=0.31)
    copy.save(dataclasses.replace(stored, measured=shaky), "deployments", "accuracy-2-int8.json")
    _, text = read(write_report(copy))
    assert "accuracy-1 at int8 could not be measured: out of memory" in text
    assert "accuracy-2 at int8: the latency stayed unsteady (spread 31%)" in text


def test_a_bundle_that_was_moved_away_does_not_stop_the_report(copy):
    shutil.rmtree(copy.file("bundles", "baseline-int8"))
    _, text = read(write_report(copy))
    assert "bundle moved" in text


def test_a_file_where_the_report_should_be_is_a_storage_error(tmp_path):
    run = RunFolder.create(tmp_path / "run", "config: 1\n")
    run.file("report").write_text("in the way")
    with pytest.raises(StorageError, match="cannot write"):
        write_report(run)


def test_a_run_that_was_only_searched_shows_its_candidates(copy):
    for folder in ("deployments", "bundles", "training", "results"):
        shutil.rmtree(copy.file(folder))
    copy.file("lut.json").unlink()
    _, text = read(write_report(copy))
    assert "proven rank 2" in text
    assert "run hot train" in text
    assert {path.stem for path in copy.file("report").glob("*.png")} == {"front", "slots"}


def chromium():
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("chromium is not installed; CI needs it to look at the page")
        pytest.skip("chromium is not installed, so the page is not opened")
    return found


def open_in_browser(page, tmp_path):
    """The DOM, the console's lines, and the addresses the page itself asked for."""
    log = tmp_path / "net.json"
    done = subprocess.run(
        [
            chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={tmp_path / 'profile'}",
            "--enable-logging=stderr", f"--log-net-log={log}", "--dump-dom", page.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    events = json.loads(log.read_text(encoding="utf-8"))["events"]
    asked = [
        event["params"]["url"]
        for event in events
        # What the browser asks for on its own account has no origin.
        if event.get("params", {}).get("initiator", "not an origin") != "not an origin"
    ]
    return done.stdout, console, asked


def test_a_browser_shows_the_page_without_a_request_or_an_error(page, tmp_path):
    dom, console, asked = open_in_browser(page, tmp_path)
    assert dom.count("<section") == len(FIGURES) + 3
    assert console == []
    assert asked == []


def test_the_browser_check_sees_requests_and_errors(tmp_path):
    (tmp_path / "bad.html").write_text(
        "<img src='http://outside.invalid/x.png'><script>console.error('oh')</script>"
    )
    _, console, asked = open_in_browser(tmp_path / "bad.html", tmp_path)
    assert any("oh" in line for line in console)
    assert asked == ["http://outside.invalid/x.png"]
