"""The command line: help with an example, one JSON document, exit codes, no traceback."""

import json

import pytest
from click.testing import CliRunner

from hot.cli import hot, main

STM = ["--space", "digits", "--device", "stm32h743", "--precision", "int8"]


@pytest.fixture(scope="module", autouse=True)
def shared_cache(tmp_path_factory):
    """One database of LUTs for the module, so that the LUT is built once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def call(capsys, *arguments):
    """Exit code, stdout and stderr of a command, run in this process."""
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
        raise SystemExit(0)
    captured = capsys.readouterr()
    return stop.value.code or 0, captured.out, captured.err


@pytest.mark.parametrize("name", hot.commands)
def test_every_command_has_help_with_an_example(name):
    result = CliRunner().invoke(hot, [name, "--help"])
    assert result.exit_code == 0
    assert f"Example: hot {name}" in " ".join(result.output.split())
    assert "--json" in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["devices"],
        ["spaces"],
        ["spaces", "resnet18"],
        ["build-lut", *STM, "--check-networks", "3"],
        ["autosearch", *STM, "--objective", "latency", "--top-k", "2"],
        ["autosearch", *STM, "--objective", "energy", "--min-quality", "90%", "--top-k", "2"],
    ],
    ids=lambda arguments: " ".join(arguments[:1] + arguments[-2:]),
)
def test_json_is_one_document_on_stdout(capsys, arguments):
    code, out, _ = call(capsys, *arguments, "--json")
    assert code == 0
    assert json.loads(out)


def test_the_search_is_within_its_budgets_and_best_first(capsys):
    budgets = [
        "--latency-budget",
        "25ms",
        "--memory-budget",
        "100kB",
        "--activation-budget",
        "24kB",
    ]
    code, out, _ = call(capsys, "autosearch", *STM, *budgets, "--top-k", "5", "--json")
    assert code == 0
    baseline, *picks = json.loads(out)["candidates"]
    assert baseline["name"] == "baseline" and len(picks) == 5
    for pick in picks:
        assert pick["predicted"]["latency_ms"] <= 25
        assert pick["predicted"]["weight_bytes"] <= 100_000
        assert pick["predicted"]["activation_bytes"] <= 24_000
        assert pick["is_proven"]
    quality = [pick["predicted"]["quality"] for pick in picks]
    assert quality == sorted(quality, reverse=True)


def test_all_solvers_print_the_same_picks(capsys):
    printed = []
    for solver in ("exact", "cbc", "highs"):
        code, out, _ = call(
            capsys, "autosearch", *STM, "--latency-budget", "80%", "--top-k", "4", "--solver",
            solver, "--json",
        )  # fmt: skip
        assert code == 0
        printed.append([c["architecture"] for c in json.loads(out)["candidates"]])
    assert printed[0] == printed[1] == printed[2]


def test_an_infeasible_budget_exits_3_and_says_what_would_do(capsys):
    code, out, err = call(capsys, "autosearch", *STM, "--latency-budget", "1us")
    assert code == 3 and out == ""
    assert "latency" in err and "binds" in err and "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["spaces", "digit"], "did you mean 'digits'"),
        (["autosearch", *STM, "--latency-budget", "30"], "one of the units ns, us, ms, s"),
        (["autosearch", *STM, "--objective", "speed"], "unknown objective"),
        (["autosearch", *STM, "--top-k", "99999999"], "only 629856 architectures"),
        (["autosearch", *STM, "--quality", "mac"], "did you mean 'macs'"),
        (["autosearch", *STM, "--solver", "cplex"], "unknown solver"),
        (["autosearch"], "give --space"),
        (["build-lut", "--space", "digits", "--device", "gpu9"], "unknown device"),
        (["build-lut", *STM, "--method", "guess"], "unknown method"),
        (["train", "nowhere"], "no run folder"),
        (["run", "nowhere.yaml"], "check the path"),
        (["autosearch", "--lut", "nowhere.json"], "nowhere.json"),
        (["autosearch", *STM, "--topk", "3"], "No such option"),
    ],
    ids=lambda value: " ".join(value[:1] + value[-2:]) if isinstance(value, list) else None,
)
def test_a_mistake_is_one_message_and_exit_code_2(capsys, arguments, words):
    code, out, err = call(capsys, *arguments)
    assert code == 2 and out == ""
    assert words in " ".join(err.split())
    assert "Traceback" not in err


def test_a_lut_file_answers_without_its_device_or_space(capsys, tmp_path):
    code, out, _ = call(
        capsys, "build-lut", *STM, "--check-networks", "0", "--out", tmp_path, "--json"
    )
    assert code == 0
    code, out, _ = call(capsys, "autosearch", "--lut", json.loads(out)["file"], "--json")
    assert code == 0
    assert len(json.loads(out)["candidates"]) == 9
