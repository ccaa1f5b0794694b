"""Bad input through the command line: one clear message, its exit code, nothing half-written."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml
from PIL import Image

from hot.cli import main
from hot.files import write_text

TINY = """
schema: 1
name: tiny
description: a test's own
in_channels: 1
resolution: 8
n_classes: 10
stem: {channels: 8, kernel: 3, stride: 1}
head: {}
menus:
  only:
    - {operator: ir, expansion: [1], kernel: [3]}
  rest:
    - {operator: ir, expansion: [1, 2], kernel: [3, 5]}
slots:
  - {name: b1, channels: 8, stride: 1, choices: only, original: ir-e1-k3}
  - {name: b2, channels: 8, stride: 2, choices: rest, original: ir-e2-k3}
"""
CONFIG = """
schema: 1
space: {name: SPACE}
device: {name: stm32h743}
lut: {precision: int8}
search: [{objective: latency, top_k: 1}]
training: {data: digits, recipe: {epochs: 1}}
deployment: {precisions: [int8]}
"""
STM = ["--device", "stm32h743", "--precision", "int8"]


def call(capsys, *arguments):
    """Exit code, stdout and stderr of a command, run in this process."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
        raise SystemExit(0)
    captured = capsys.readouterr()
    return stop.value.code or 0, captured.out, captured.err


def refuse(capsys, words, *arguments, code=2):
    """A command that fails as it should; its message."""
    got, out, err = call(capsys, *arguments)
    message = " ".join(err.split())
    assert (got, out) == (code, ""), message
    assert words in message
    assert "Traceback" not in message
    return message


def content(folder):
    """Every file below a folder, hidden and temporary ones too."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HOT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A tiny space, its LUT, and a run that has candidates: made once, copied where changed."""
    folder = tmp_path_factory.mktemp("home")
    write_text(folder / "tiny.yaml", TINY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOT_CACHE", str(folder / "cache"))
        main(["build-lut", "--space", str(folder / "tiny.yaml"), *STM, "--out", str(folder)])
        (lut,) = folder.glob("stm32h743/*.json")
        lut.rename(folder / "lut.json")
        main(["autosearch", "--lut", str(folder / "lut.json"), "--top-k", "1",
              "--objective", "latency", "--run", str(folder / "run")])  # fmt: skip
    return folder


@pytest.fixture
def run(home, tmp_path):
    """A copy of the run, to be spoiled."""
    return shutil.copytree(home / "run", tmp_path / "run")


# Look-up tables ----------------------------------------------------------------------------------


def set_entry(value):
    def spoil(text):
        document = json.loads(text)
        key = next(key for key in document["entries"] if key.startswith("ir"))
        document["entries"][key]["latency_ms"] = value
        return json.dumps(document)

    return spoil


def drop(key):
    def spoil(text):
        document = json.loads(text)
        found = next(name for name in document["entries"] if name.startswith(key))
        del document["entries"][found]
        return json.dumps(document)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda text: text[: len(text) // 2], "is damaged (line"),
        (lambda text: "", "is damaged (line 1"),
        (set_entry(float("nan")), "holds nan, not a finite number"),
        (set_entry(-1.0), "holds -1.0, not a finite number"),
        (set_entry(None), "Input should be a valid number"),
        (drop("ir"), "has no entry 'ir"),
        (drop("stem"), "has no entry 'stem'"),
        (lambda text: text.replace('"schema": 1,', '"schema": 9,', 1), "has schema 9"),
        (lambda text: text.replace("tiny-", "huge-"), "was made for the space 'huge-"),
    ],
    ids=["truncated", "empty", "nan", "negative", "null", "no entry", "no stem", "schema", "space"],
)
def test_a_spoilt_lut_file_is_refused(capsys, home, tmp_path, spoil, words):
    lut = tmp_path / "lut.json"
    write_text(lut, spoil((home / "lut.json").read_text()))
    refuse(capsys, words, "autosearch", "--lut", lut, "--top-k", 1, "--run", tmp_path / "new")
    assert not (tmp_path / "new" / "candidates").exists()


def test_a_database_that_is_none_stays_as_it_was(capsys, home, tmp_path):
    diary = tmp_path / "diary.txt"
    write_text(diary, "years of work" * 100)
    build = ["build-lut", "--space", home / "tiny.yaml", *STM]
    refuse(capsys, "file is not a database", *build, "--store", diary)
    assert diary.read_text() == "years of work" * 100
    refuse(capsys, "disk is full", *build, "--store", "/dev/full")
    refuse(capsys, "unable to open", *build, "--store", "/proc/luts.db")


def test_a_finished_lut_refuses_options_that_it_has_decided(capsys, home):
    for option, value in (("--device", "cpu"), ("--width", 0.7), ("--method", "isolated")):
        words = f"{option} has no effect"
        refuse(capsys, words, "autosearch", "--lut", home / "lut.json", option, value)
    refuse(capsys, "run hot build-lut here", "check-lut", home / "lut.json", "--device", "gap8")


def test_a_space_too_small_to_check_its_lut_still_has_one(capsys, caplog, home):
    build = ["build-lut", "--space", home / "tiny.yaml", *STM, "--json"]
    code, out, _ = call(capsys, *build)
    assert code == 0 and json.loads(out)["check"] is None
    assert "stays unchecked" in caplog.text
    refuse(capsys, "at least 3 networks", *build, "--check-networks", 2)


# Searches ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (["--latency-budget", "30"], "units ns, us, ms, s", 2),
        (["--latency-budget", "30KiB"], "units ns, us, ms, s", 2),
        (["--memory-budget", "2mb"], "units B, kB", 2),
        (["--energy-budget", "1W"], "units nJ", 2),
        (["--macs-budget", "0"], "greater than zero", 2),
        (["--latency-budget", "nan"], "must be a number", 2),
        (["--latency-budget", "0%"], "percentage greater than zero", 2),
        (["--min-quality", "good"], "must be a number", 2),
        (["--top-k", "5"], "the space has only 4 architectures", 2),
        (["--time-limit", "0"], "greater than 0", 2),
        (["--objective", "speed"], "unknown objective", 2),
        (["--quality", "/proc/none.csv"], "check the path", 2),
        (["--run", "/proc/none"], "choose another folder", 2),
        (["--latency-budget", "1ns"], "the least possible", 3),
        (["--memory-budget", "1B", "--activation-budget", "1B"], "no single budget can mend", 3),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_search_that_cannot_be_is_refused(capsys, home, arguments, words, code):
    top = [] if "--top-k" in arguments else ["--top-k", 1]
    refuse(capsys, words, "autosearch", "--lut", home / "lut.json", *top, *arguments, code=code)


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--latency-budget", "3", "3"),
        ("--quality", "mac", "mac"),
        ("--corrections", "2", "corrections"),
    ],
)
def test_a_wrong_search_is_refused_before_its_lut_is_built(
    capsys, home, tmp_path, option, value, words
):
    space = home / "tiny.yaml"
    refuse(capsys, words, "autosearch", "--space", space, "--top-k", 1, *STM, option, value)
    assert not (tmp_path / "cache").exists()


def test_corrections_without_distilled_blocks_are_refused_on_a_finished_lut(capsys, home):
    arguments = ["autosearch", "--lut", home / "lut.json", "--top-k", 1, "--corrections", 2]
    refuse(capsys, "choose the quality 'distill'", *arguments)


def test_other_picks_never_replace_those_of_a_run(capsys, home, run):
    before = content(run)
    again = ["autosearch", "--lut", home / "lut.json", "--objective", "latency", "--run", run]
    refuse(capsys, "choose another run folder", *again, "--top-k", 1, "--min-quality", "90%")
    assert content(run) == before
    assert call(capsys, *again, "--top-k", 1)[0] == 0


# Configurations ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("epochs: 1", "epoch: 1", "did you mean 'training.recipe.epochs'"),
        ("top_k: 1", "topk: 1", "did you mean 'search.0.top_k'"),
        ("top_k: 1", "top_k: 1, latency_budget: 30", "units ns, us, ms, s"),
        ("objective: latency", "objective: speed", "unknown objective 'speed'"),
        ("data: digits", "data: digitz", "did you mean 'digits'"),
        ("epochs: 1", "epochs: 0", "epochs must be at least 1"),
        ("[int8]", "[int9]", "did you mean 'int8'"),
        ("precision: int8", "precision: fp32", "does not run 'fp32'; it runs int8"),
        ("[int8]", "[int8, fp32]", "'stm32h743' does not run 'fp32'; it runs int8, int16"),
        ("name: stm32h743", "name: stm32h743, threads: 2", "has no option 'threads'"),
        ("schema: 1", "schema: [1", "is not valid YAML"),
    ],
)
def test_a_wrong_configuration_is_refused_before_anything_is_made(
    capsys, home, tmp_path, old, new, words
):
    text = CONFIG.replace("SPACE", str(home / "tiny.yaml"))
    write_text(tmp_path / "config.yaml", text.replace(old, new))
    refuse(capsys, words, "run", tmp_path / "config.yaml", "--folder", tmp_path / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_after_an_infeasible_search_the_mended_configuration_goes_on(capsys, home, tmp_path):
    text = CONFIG.replace("SPACE", str(home / "tiny.yaml"))
    config = tmp_path / "config.yaml"
    again = ["run", config, "--folder", tmp_path / "run"]
    write_text(config, text.replace("top_k: 1", "top_k: 1, latency_budget: 1ns"))
    refuse(capsys, "the least possible", *again, code=3)
    write_text(config, text.replace("top_k: 1", "top_k: 1, latency_budget: 2ns"))
    refuse(capsys, "the least possible", *again, code=3)


def test_what_is_deployed_by_default_is_what_the_device_runs(capsys, home, tmp_path):
    text = CONFIG.replace("SPACE", str(home / "tiny.yaml"))
    text = text.replace("deployment: {precisions: [int8]}", "")
    write_text(tmp_path / "config.yaml", text.replace("top_k: 1", "top_k: 1, latency_budget: 1ns"))
    again = ["run", tmp_path / "config.yaml", "--folder", tmp_path / "run"]
    refuse(capsys, "the least possible", *again, code=3)
    kept = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert kept["deployment"] == {"precisions": ["int8"]}


# Data and training -------------------------------------------------------------------------------


def make_folder(path, n_classes=10, n_images=5):
    for label in range(n_classes):
        (path / f"c{label}").mkdir(parents=True)
        for index in range(n_images):
            pixels = np.full((8, 8), 20 * label + index, np.uint8)
            Image.fromarray(pixels).save(path / f"c{label}" / f"{index}.png")
    return path


def without_a_class(path):
    shutil.rmtree(make_folder(path) / "c3")
    (path / "c3").mkdir()


def with_half_an_image(path):
    image = make_folder(path) / "c3" / "0.png"
    image.write_bytes(image.read_bytes()[:40])


def with_nan(path):
    x, y = np.zeros((20, 8, 8), np.float32), np.arange(20) % 10
    x[3] = np.nan
    np.savez(path, train_x=x, train_y=y, test_x=x, test_y=y)


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("none", lambda path: None, "give an existing path"),
        ("empty", lambda path: path.mkdir(), "has no images"),
        ("classless", without_a_class, "the class 'c3' has no images"),
        ("half", with_half_an_image, "cannot read the image"),
        ("two", lambda path: make_folder(path, n_classes=2), "the data have 2; load the space"),
        ("nan.npz", with_nan, "train_x is not finite in image 3"),
        ("short.npz", lambda path: path.write_bytes(b"PK\3\4 cut"), "make the file again"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_data_that_cannot_be_used_are_named_and_bind_no_run(
    capsys, run, tmp_path, name, make, words
):
    make(tmp_path / name)
    refuse(capsys, words, "train", run, "--data", tmp_path / name, "--epochs", 1)
    assert not (run / "study.db").exists() and not (run / "training").exists()
    refuse(capsys, "n_train must lie between", "train", run, "--n-train", 99999, "--epochs", 1)


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ("epoch: 1\n", "did you mean 'recipe.epochs'"),
        ("- 1\n", "must hold 'key: value' lines"),
        ("epochs: many\n", "recipe.epochs"),
        ("learning_rate: -1\n", "learning_rate must be greater than 0"),
        ("a: [\n", "is not valid YAML"),
    ],
)
def test_a_wrong_recipe_is_refused(capsys, run, tmp_path, recipe, words):
    write_text(tmp_path / "recipe.yaml", recipe)
    refuse(capsys, words, "train", run, "--recipe", tmp_path / "recipe.yaml")
    assert not (run / "study.db").exists()


def test_an_empty_recipe_is_the_usual_one(capsys, run, tmp_path):
    write_text(tmp_path / "recipe.yaml", "")
    train = ["train", run, "--recipe", tmp_path / "recipe.yaml", "--epochs", 1]
    refuse(capsys, "unknown data source", *train, "--data", "digitz")


def test_stages_out_of_turn_say_what_comes_first(capsys, run, tmp_path):
    refuse(capsys, "run hot train", "deploy", run, *STM)
    for command in ("train", "deploy", "report"):
        refuse(capsys, "no run folder", command, tmp_path / "nowhere")
    shutil.rmtree(run / "candidates")
    refuse(capsys, "run hot autosearch", "train", run)


# A finished run, spoilt piece by piece -----------------------------------------------------------


@pytest.fixture(scope="module")
def trained(home, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    shutil.copytree(home / "run", folder)
    main(["train", str(folder), "--n-train", "100", "--epochs", "1"])
    main(["deploy", str(folder), *STM])
    return folder


def halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("file", "command", "words"),
    [
        ("candidates/latency-1.json", "report", "candidates/latency-1.json is damaged"),
        ("results/latency-1.json", "deploy", "results/latency-1.json is damaged"),
        ("lut.json", "report", "lut.json is damaged"),
        ("space.yaml", "report", "space.yaml"),
        ("data.json", "deploy", "data.json is damaged"),
        ("study.db", "train", "cannot open the studies"),
        ("training/latency-1/trial-0/best.pt", "deploy", "best.pt is damaged"),
    ],
)
def test_a_damaged_file_of_a_run_is_named(capsys, trained, tmp_path, file, command, words):
    run = shutil.copytree(trained, tmp_path / "run")
    shutil.rmtree(run / "bundles")
    halve(run / file)
    if file == "study.db":
        (run / file).write_bytes(b"no database" * 100)
    before = content(run / "results")
    more = {"deploy": STM, "train": ["--n-train", 100, "--epochs", 1], "report": []}[command]
    refuse(capsys, words, command, run, *more)
    assert content(run / "results") == before
    assert not list(run.rglob("*.tmp*"))


@pytest.mark.parametrize("file", ["model.onnx", "manifest.json"])
def test_a_damaged_bundle_is_made_again(capsys, caplog, trained, tmp_path, file):
    run = shutil.copytree(trained, tmp_path / "run")
    damaged = run / "bundles" / "latency-1-int8" / file
    size = damaged.stat().st_size
    halve(damaged)
    assert call(capsys, "deploy", run, *STM, "--json")[0] == 0
    assert "latency-1-int8 is deployed again" in caplog.text
    assert abs(damaged.stat().st_size - size) < 100


def test_the_same_command_twice_changes_nothing(capsys, trained):
    before = content(trained / "results") | content(trained / "deployments")
    train = ["train", trained, "--n-train", 100, "--epochs", 1]
    for command in (train, ["deploy", trained, *STM]):
        code, out, _ = call(capsys, *command, "--json")
        assert code == 0 and json.loads(out)["candidates"]
    assert content(trained / "results") | content(trained / "deployments") == before
    refuse(capsys, "trained on other data", "train", trained, "--n-train", 90, "--epochs", 1)
    refuse(capsys, "choose another run folder", "train", trained, "--n-train", 100, "--epochs", 2)


# Disks and signals -------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 1 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("only root may mount a small disk, and not in every container")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def fill(disk, n_free):
    (disk / "fill").unlink(missing_ok=True)
    n = shutil.disk_usage(disk).free - n_free
    (disk / "fill").write_bytes(b"x" * max(0, n))


def test_a_full_disk_stops_every_stage_and_all_goes_on_when_there_is_room(capsys, home, small_disk):
    run = shutil.copytree(home / "run", small_disk / "run")
    search = ["autosearch", "--lut", home / "lut.json", "--top-k", 1, "--run", small_disk / "new"]
    train = ["train", run, "--n-train", 100, "--epochs", 1]
    fill(small_disk, 0)
    refuse(capsys, "No space left", *search)
    refuse(capsys, "No space left", *train)
    assert not list(small_disk.rglob("*.tmp*"))
    (small_disk / "fill").unlink()
    assert call(capsys, *train)[0] == 0
    kept = content(run / "results")
    fill(small_disk, 8192)
    refuse(capsys, "free the disk", "deploy", run, *STM)
    assert content(run / "results") == kept and not list((run / "bundles").glob("*"))
    (small_disk / "fill").unlink()
    assert call(capsys, "deploy", run, *STM)[0] == 0


LOSE = """
import signal
class Finalised:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)
signal.signal(signal.SIGALRM, lambda number, frame: Finalised() and None)
"""


@pytest.mark.parametrize(
    ("number", "prelude"),
    [(signal.SIGINT, ""), (signal.SIGALRM, LOSE)],
    ids=["raised", "lost in a finaliser"],
)
def test_a_training_interrupted_half_way_goes_on_by_the_same_command(capsys, run, number, prelude):
    train = ["train", str(run), "--n-train", "100", "--epochs", "40"]
    process = subprocess.Popen(
        [sys.executable, "-c", f"{prelude}\nfrom hot.cli import main; main()", *train],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while process.poll() is None and not list(run.glob("training/*/*/checkpoint.pt")):
        time.sleep(0.02)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, ""), err
    assert "the same command goes on" in err and "Traceback" not in err
    assert not list(run.glob("results/*"))
    code, out, _ = call(capsys, *train, "--json")
    assert code == 0
    assert all(candidate["trained"] for candidate in json.loads(out)["candidates"])
