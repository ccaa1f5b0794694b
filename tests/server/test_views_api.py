import dataclasses
import json
import math
import os
import shutil

import pytest

pytest.importorskip("fastapi")

from hot.autosearch import Tables, autosearch, baseline, front
from hot.lut import find_luts, load_lut
from hot.records import Budget, Candidate, RunFolder
from hot.server import ServerConfig, create_app
from hot.server.auth import add_token
from hot.server.runs import MOST_FRONT_POINTS
from hot.space import ModelSpec, SpaceSpec, load_space

DIGITS = next(path for name, path in find_luts().items() if name.startswith("stm32h743/digits"))


@pytest.fixture(scope="session")
def searched(tmp_path_factory):
    """A run that was searched with a table that ships, not trained."""
    run = RunFolder.create(tmp_path_factory.mktemp("runs") / "digits", "config: 1\n")
    space, lut = load_space("digits"), load_lut(DIGITS)
    run.save_space(SpaceSpec("digits"))
    run.save(lut, "lut.json")
    table = lut.table(space)
    budget = Budget(latency_ms=table.predict_ms(space, space.original))
    first = baseline(Tables(space, table, precision="int8"))
    for candidate in (first, *autosearch(space, table, budget, "accuracy", k=2)):
        run.save(candidate, "candidates", f"{candidate.name}.json")
    run.save(front(space, table, budget, step=budget.latency_ms / 50), "front.json")
    return run


@pytest.fixture
def runs(searched, tmp_path):
    """A folder with a copy of the run, which a test may change."""
    shutil.copytree(searched.path, tmp_path / "runs" / "digits")
    return tmp_path / "runs"


@pytest.fixture
def ask(in_client):
    """A function that gets a document of the server over `runs` and `luts`."""

    def get(path, status=200, **config):
        answer = in_client(**config).get(path)
        assert answer.status_code == status, answer.text
        return answer.json()

    return get


@pytest.fixture
def in_client(tmp_path):
    from fastapi.testclient import TestClient

    def make(**config):
        # Not started: these end points need neither database nor workers.
        app = create_app(ServerConfig(("stm32h743",), str(tmp_path / "jobs.db"), **config))
        return TestClient(app, base_url="http://127.0.0.1")

    return make


def test_the_luts_that_ship_are_listed_complete(ask):
    found = ask("/v1/luts")
    assert found["damaged"] == []
    assert {lut["name"] for lut in found["luts"]} == set(find_luts())
    for lut in found["luts"]:
        assert lut["n_present"] == lut["n_wanted"] > 0, lut["name"]
        assert lut["source"] == "shipped"
        assert lut["device"]["kind"] == "estimated"


def test_every_listed_lut_can_be_asked_for(ask):
    for name, path in find_luts().items():
        detail = ask(f"/v1/luts/{name}")
        lut = load_lut(path)
        assert detail["fixed_ms"] == pytest.approx(
            lut.entries["stem"].latency_ms + lut.entries["head"].latency_ms
        )
        assert all(len(row["cells"]) == len(detail["columns"]) for row in detail["rows"])


def test_damaged_files_are_named_beside_the_good_ones(ask, tmp_path):
    folder = tmp_path / "luts"
    folder.mkdir()
    (folder / "torn.json").write_text('{"record": "Lut", "sch')
    document = json.loads(DIGITS.read_text())
    document["entries"]["stem"]["latency_ms"] = math.nan
    (folder / "nan.json").write_text(json.dumps(document))
    (folder / "other.json").write_text('{"record": "Front", "schema": 1}')
    found = ask("/v1/luts", luts=folder)
    reasons = {item["name"]: item["error"] for item in found["damaged"]}
    assert reasons.keys() == {"torn", "nan", "other"}
    assert "damaged (line 1" in reasons["torn"]
    assert "'Front', not a Lut" in reasons["other"]
    assert not any(str(tmp_path) in reason for reason in reasons.values())
    assert len(found["luts"]) == len(find_luts())
    assert ask("/v1/luts/torn", 422, luts=folder)["error"]["code"] == "damaged"


@pytest.mark.parametrize(
    "name",
    [
        "nothing",
        "../pyproject",
        "..%2f..%2fetc%2fpasswd",
        "%2Fetc%2Fpasswd",
        "a%00b",
        "%F0%9F%94%A5",
    ],
)
@pytest.mark.parametrize("kind", ["luts", "runs"])
def test_a_name_is_looked_up_and_never_opened(ask, kind, name, runs):
    assert ask(f"/v1/{kind}/{name}", 404, runs=runs)["error"]["code"] in ("unknown", "path_unknown")


def test_a_run_shows_its_candidates_and_its_front(ask, runs, searched):
    (summary,) = ask("/v1/runs", runs=runs)["runs"]
    run = ask(f"/v1/runs/{summary['name']}", runs=runs)
    stored = {c.name: c for c in searched.load_all(Candidate, "candidates")}
    named = [point for point in run["points"] if point["name"]]
    assert [point["name"] for point in named] == ["baseline", "accuracy-1", "accuracy-2"]
    assert summary["n_candidates"] == 3
    for point in named:
        candidate = stored[point["name"]]
        assert point["predicted"]["latency_ms"] == candidate.predicted.latency_ms
        assert point["choices"] == candidate.architecture.split(",")
    keys = [point["architecture"] for point in run["points"]]
    unnamed = [point["architecture"] for point in run["points"] if point["name"] is None]
    assert not set(unnamed) & {c.architecture for c in stored.values()}, "shown twice"
    assert len(set(unnamed)) == len(unnamed)
    swept = json.loads((runs / "digits" / "front.json").read_text())["points"]
    assert set(keys) == {p["architecture"] for p in swept} | {
        c.architecture for c in stored.values()
    }
    assert summary["n_front"] == run["front"]["n_points"] == len(swept)


def test_the_slots_of_a_run_carry_what_its_table_says(ask, runs):
    run = ask("/v1/runs/digits", runs=runs)
    space, lut = load_space("digits"), load_lut(DIGITS)
    original = run["points"][0]
    total = lut.entries["stem"].latency_ms + lut.entries["head"].latency_ms
    total += sum(
        slot["costs_ms"][choice]
        for slot, choice in zip(run["slots"], original["choices"], strict=True)
    )
    assert total == pytest.approx(original["predicted"]["latency_ms"])
    assert [slot["original"] for slot in run["slots"]] == [s.original.key for s in space.slots]


def test_a_run_is_read_again_when_a_file_changes(ask, runs):
    assert ask("/v1/runs/digits", runs=runs)["n_candidates"] == 3
    (runs / "digits" / "candidates" / "accuracy-2.json").unlink()
    assert ask("/v1/runs/digits", runs=runs)["n_candidates"] == 2


def test_a_damaged_run_is_named_beside_the_good_ones(ask, runs):
    shutil.copytree(runs / "digits", runs / "torn")
    (runs / "torn" / "candidates" / "baseline.json").write_text("{")
    found = ask("/v1/runs", runs=runs)
    assert [run["name"] for run in found["runs"]] == ["digits"]
    assert [item["name"] for item in found["damaged"]] == ["torn"]
    assert ask("/v1/runs/torn", 422, runs=runs)["error"]["code"] == "damaged"


def test_text_that_no_utf8_can_say_is_told_and_no_fault_of_the_server(ask, runs, tmp_path):
    path = runs / "digits" / "candidates" / "baseline.json"
    document = json.loads(path.read_text())
    document["notes"] = ["half a pair \ud800"]
    path.write_text(json.dumps(document))
    assert ask("/v1/runs/digits", runs=runs)["points"][0]["notes"][0].startswith("half a pair")
    folder = tmp_path / "luts"
    folder.mkdir()
    try:
        (folder / os.fsdecode(b"torn-\xff.json")).write_text("{")
    except OSError:
        pytest.skip("this file system refuses the name")
    (damaged,) = ask("/v1/luts", luts=folder)["damaged"]
    assert damaged["name"] == "torn-\ufffd"


def test_a_number_that_is_none_is_not_there(ask, runs):
    path = runs / "digits" / "candidates" / "baseline.json"
    document = json.loads(path.read_text())
    document["predicted"]["quality"] = math.nan
    path.write_text(json.dumps(document))
    point = ask("/v1/runs/digits", runs=runs)["points"][0]
    assert point["predicted"]["quality"] is None


def test_a_run_of_a_model_is_shown_without_loading_the_model(ask, runs):
    run = RunFolder(runs / "digits")
    run.save(SpaceSpec("antigravity:fly", model=ModelSpec()), "space.json")
    slots = ask("/v1/runs/digits", runs=runs)["slots"]
    assert [slot["name"] for slot in slots] == [f"slot {i}" for i in range(1, len(slots) + 1)]
    assert all(slot["costs_ms"] == {} for slot in slots)


def test_a_table_of_another_space_costs_nothing_but_the_bars(ask, runs):
    run = RunFolder(runs / "digits")
    run.save(dataclasses.replace(load_lut(DIGITS), space="another"), "lut.json")
    assert all(not slot["costs_ms"] for slot in ask("/v1/runs/digits", runs=runs)["slots"])


def test_a_run_that_just_began_is_shown_empty(ask, tmp_path):
    RunFolder.create(tmp_path / "runs" / "new", "config: 1\n")
    run = ask("/v1/runs/new", runs=tmp_path / "runs")
    assert (run["points"], run["slots"], run["front"], run["metric"]) == ([], [], None, None)


def test_a_front_that_no_browser_draws_is_thinned_and_says_so(ask, runs):
    path = runs / "digits" / "front.json"
    document = json.loads(path.read_text())
    point = document["points"][0]
    document["points"] = [
        {**point, "architecture": f"skip-{i}", "amount": i} for i in range(MOST_FRONT_POINTS + 500)
    ]
    path.write_text(json.dumps(document))
    run = ask("/v1/runs/digits", runs=runs)
    assert run["front"]["n_points"] == MOST_FRONT_POINTS + 500
    assert run["front"]["n_shown"] == MOST_FRONT_POINTS
    swept = [p["architecture"] for p in run["points"] if p["name"] is None]
    assert len(swept) == MOST_FRONT_POINTS
    assert (swept[0], swept[-1]) == ("skip-0", f"skip-{MOST_FRONT_POINTS + 499}")


def test_views_ask_for_a_token_and_tell_the_caller(in_process, tmp_path):
    tokens = tmp_path / "tokens.yaml"
    token = add_token(tokens, "eve", "read", days=1)
    client, _ = in_process(tokens=tokens)
    for path in ("/v1/luts", "/v1/luts/x", "/v1/runs", "/v1/runs/x", "/v1/caller"):
        answer = client.http.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "token"), path
    answer = client.http.get("/v1/caller", headers={"Authorization": f"Bearer {token}"})
    assert answer.json() == {"name": "eve", "role": "read"}
