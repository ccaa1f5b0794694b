"""The house keeps its floors: rooms import downwards, heavy packages stay in their rooms."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import hot

ROOT = Path(hot.__file__).parent
FLOORS = [
    {"errors", "units", "interrupt", "progress", "files"},
    {"space"},
    {"records"},
    {"nn", "export", "tasks", "devices"},
    {"lut", "training"},
    {"quality", "autosearch", "dnas", "regtune", "deploy", "server", "report"},
    {
        "config", "precheck", "pipeline", "views", "comparison", "options", "cli", "cli_serve",
        "__init__",
    },
]  # fmt: skip
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# Rooms of one floor that may see each other, one way: an artifact is made of a module.
NEIGHBOURS = {("export", "nn")}
HEAVY = {
    "torch": {"nn", "export", "tasks", "training", "quality", "deploy"},
    "torchvision": {"nn", "tasks", "training"},
    "timm": {"nn", "training"},
    "optuna": {"training"},
    "sqlalchemy": {"lut", "server", "training"},  # training: for Optuna's errors alone
    "fastapi": {"server"},
    "starlette": {"server"},
    "uvicorn": {"cli_serve"},
    "prometheus_client": {"server"},
    "openvino": {"devices"},
    "litert_torch": {"export"},
    "ai_edge_quantizer": {"export"},
    "ai_edge_litert": {"export", "devices"},
    "tvm": {"devices"},
    "pynvml": {"devices"},
    "httpx": {"devices"},
    "onnxruntime": {"devices", "export", "deploy"},
    "pulp": {"autosearch"},
    "highspy": {"autosearch"},
    "matplotlib": {"report"},
    "sklearn": {"tasks"},
    "click": {"options", "cli", "cli_serve"},
}
FILES = sorted(ROOT.rglob("*.py"))


def room_of(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module
            if node.module == "hot":
                yield from (f"hot.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_lower_floors_and_itself(path):
    room = room_of(path)
    for name in imports(path):
        top, *rest = name.split(".")
        if top == "hot" and rest:
            other = rest[0]
            below = FLOOR[other] < FLOOR[room] or FLOOR[room] in (0, 6)
            assert below or other == room or (room, other) in NEIGHBOURS, f"{room} imports {name}"
        elif top in HEAVY:
            assert room in HEAVY[top], f"{room} imports {top}"


@pytest.mark.parametrize(
    "module", ["hot", "hot.space", "hot.records", "hot.lut", "hot.autosearch", "hot.cli"]
)
def test_importing_a_light_room_does_not_load_the_heavy_packages(module):
    code = (
        f"import sys, {module}\n"
        "heavy = {'torch', 'optuna', 'onnxruntime', 'matplotlib', 'timm'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
