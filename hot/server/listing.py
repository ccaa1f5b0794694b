"""What may be shown of the folders the server was given: files by name, whole or refused.

A name in a request is looked up among these; none is ever opened as a path.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from hot.errors import InputError
from hot.lut import find_luts

Stamp = tuple[tuple[str, int, int], ...]
MOST_BYTES = 64 * 2**20
_RUN_MARK = "config.yaml"
_RUN_RECORDS = (
    "provenance.json", "space.json", "space.yaml", "lut.json", "front.json",
    "candidates/*.json", "results/*.json", "deployments/*.json",
)  # fmt: skip


def list_luts(folder: Path | None) -> dict[str, Path]:
    """LUT files by name: those that ship with hot, and those of `folder` and one level below.

    A file of the folder stands in place of a shipped one of its name.
    """
    found = dict(find_luts())
    if folder is not None:
        for path in _inside(folder, [*folder.glob("*.json"), *folder.glob("*/*.json")]):
            found[_name(folder, path).removesuffix(".json")] = path
    return dict(sorted(found.items()))


def list_runs(folder: Path | None) -> dict[str, Path]:
    """Run folders by name: `folder` itself, and those up to three levels below it."""
    if folder is None:
        return {}
    marks = [path for depth in range(4) for path in folder.glob("*/" * depth + _RUN_MARK)]
    return {
        folder.resolve().name if path.parent == folder else _name(folder, path.parent): path.parent
        for path in _inside(folder, marks)
    }


def run_files(run: Path) -> list[Path]:
    """The records of a run that are shown; links that lead out of the run are left out."""
    return _inside(run, [path for pattern in _RUN_RECORDS for path in run.glob(pattern)])


def stamp(paths: Iterable[Path]) -> Stamp:
    """Name, time of change in ns and size of every file: another stamp, another content.

    Raises:
        OSError: a file is gone.
        InputError: a file is larger than any that hot writes.
    """
    stats = [(str(path), path.stat()) for path in paths]
    for name, found in stats:
        if found.st_size > MOST_BYTES:
            raise InputError(f"{name} has {found.st_size} bytes, more than is read for a page")
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)


def _inside(folder: Path, paths: Iterable[Path]) -> list[Path]:
    """Those paths that are files within `folder`, links followed, in order of name."""
    root = folder.resolve()
    return sorted(p for p in set(paths) if p.is_file() and p.resolve().is_relative_to(root))


def _name(folder: Path, path: Path) -> str:
    """The path within the folder, as text that has a JSON form whatever bytes it is made of."""
    return os.fsencode(path.relative_to(folder).as_posix()).decode("utf-8", "replace")
