"""What the README shows, works: its Python runs, its commands run one after the other."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hot.config import Config
from hot.files import validate
from hot.training import HpoSettings

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
HOT = Path(sys.executable).with_name("hot")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_first_lines_are_the_two_commands():
    first, second = blocks("sh")[0].splitlines()
    for line in (first, second):
        assert (ROOT / line.split()[0]).is_file()


@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.strip().split("\n")[0])
def test_a_python_block_runs(code, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def keys(value):
    """All keys of a document, with those they stand below; lists count as what they hold."""
    if isinstance(value, list):
        return set().union(*map(keys, value)) if value else set()
    if not isinstance(value, dict):
        return set()
    return {(name, *rest) for name, inner in value.items() for rest in ((), *keys(inner))}


def test_the_configuration_shows_every_key_and_the_defaults():
    (text,) = blocks("yaml")
    shown = yaml.safe_load(text)
    config = validate(Config, shown, "README")
    assert keys(shown) == keys(yaml.safe_load(config.text())) | {("folder",)}
    least = {"space": {"name": "digits"}, "search": [{}]}
    default = validate(Config, least, "least").model_dump(by_alias=True)
    written = config.model_dump(by_alias=True)
    assert shown["training"]["hpo"].keys() - {"trials", "workers"} < set(
        HpoSettings.__dataclass_fields__
    )
    for section in ("device", "lut", "deployment", "seed", "quality"):
        mine, theirs = default[section], written[section]
        if not isinstance(mine, dict):
            assert mine == theirs
        else:
            assert all(theirs[key] == value for key, value in mine.items() if value is not None)
    for part in ("recipe", "hpo"):
        assert default["training"][part] == written["training"][part]


def test_the_commands_run_in_the_order_of_the_steps(tmp_path, monkeypatch):
    monkeypatch.setenv("HOT_CACHE", str(tmp_path / "cache"))
    lines = [line for block in blocks("sh")[1:] for line in block.splitlines()]
    assert len(lines) >= 8
    for line in lines:
        command = shlex.split(line)
        assert command[0] == "hot"
        done = subprocess.run([HOT, *command[1:]], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    assert (tmp_path / "runs" / "second" / "report" / "index.html").is_file()


def test_the_results_are_what_the_script_writes():
    done = subprocess.run(
        [sys.executable, "scripts/readme.py", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_map_names_every_room():
    rooms = {p.parent.name for p in (ROOT / "hot").glob("*/__init__.py")}
    shown = README[README.index("## Map") :]
    assert not {room for room in rooms if f"hot/{room}`" not in shown}
