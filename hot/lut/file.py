"""LUTs as files: `luts/<device>/<space>-....json`, in a form that a diff can show."""

import math
import os
import re
from pathlib import Path

from hot.errors import InputError, LutError, unknown_name
from hot.lut.store import LutKey, LutStore, key_of
from hot.records import DeviceInfo, LatencyTable, Lut, load_record, save_record
from hot.space import Space

_PACKAGE = Path(__file__).resolve().parent.parent
_FOLDERS = (_PACKAGE / "luts", _PACKAGE.parent / "luts")
# The name of a LUT's file: that of the space, its width, resolution and the rest of its key.
_STEM = re.compile(r"(?P<space>\w+)-w(?P<width>[\d.]+)-r(?P<resolution>\d+)-")
_DEFAULT_SPACE = "mobilenetv2"  # which a device's name alone stands for, at its least resolution


def lut_file_name(lut: Lut) -> str:
    """`<device>/<space>-<fingerprint>-<precision>-<method>.json`."""
    fingerprint = lut.device.key.removeprefix(f"{lut.device.name}-")
    return f"{lut.device.name}/{lut.space}-{fingerprint}-{lut.precision}-{lut.method}.json"


def save_lut(lut: Lut, folder: str | os.PathLike[str]) -> Path:
    """Write a LUT below `folder`, and return the path of its file; an older one is replaced.

    Raises:
        LutError: an entry is not a finite number.
        StorageError: the folder cannot be written.
    """
    check_numbers(lut, "the LUT")
    path = Path(folder) / lut_file_name(lut)
    save_record(path, lut)
    return path


def load_lut(
    path: str | os.PathLike[str], space: Space | None = None, device: DeviceInfo | None = None
) -> Lut:
    """The LUT in a file, which belongs to `space` and `device` where given.

    Raises:
        LutError: the file is missing, damaged or incomplete, or made for another space or device.
    """
    try:
        lut = load_record(path, Lut)
    except LutError:
        raise
    except InputError as error:
        raise LutError(str(error)) from error
    check_numbers(lut, f"the LUT {path}")
    if space is not None:
        lut.require(space, device)
        lut.table(space)
    return lut


def find_luts() -> dict[str, Path]:
    """The LUT files that ship with hot, by `<device>/<name>`."""
    return {
        f"{path.parent.name}/{path.stem}": path
        for folder in _FOLDERS
        for path in sorted(folder.glob("*/*.json"))
    }


def find_lut(name_or_path: str, space: Space | None = None) -> Path:
    """The file of a LUT that ships with hot, by a name, or the file at a path.

    Names are `<device>` (with `space`, the one of it; else that of mobilenetv2 at its least
    resolution, or the only one), `<device>/<space>`, `<device>/<space>-<resolution>`, and the whole
    `<device>/<file>` as in `find_luts`.

    Raises:
        LutError: there is none, or more than one of that name; names them.
    """
    known = find_luts()
    if name_or_path in known:
        return known[name_or_path]
    if Path(name_or_path).is_file():
        return Path(name_or_path)
    device, _, rest = name_or_path.partition("/")
    own = [name for name in known if name.startswith(f"{device}/")]
    if not own:
        devices = {name.partition("/")[0] for name in known}
        raise LutError(
            f"no LUT at {name_or_path}; check the path, or make one with hot build-lut --out: "
            + unknown_name("LUT", device, devices)
        )
    found = [name for name in own if rest in _short_names(name)]
    if space is not None:
        found = [name for name in found if name.startswith(f"{device}/{space.key}-")]
    elif not rest and len(found) > 1:
        found = _defaults(found)
    if len(found) == 1:
        return known[found[0]]
    if not found:
        wanted = f"{name_or_path!r}" + (f" of the space {space.key!r}" if space else "")
        raise LutError(f"no LUT is called {wanted}; of {device} there are: {', '.join(own)}")
    raise LutError(f"{len(found)} LUTs are called {name_or_path!r}: choose of {', '.join(found)}")


def _short_names(name: str) -> tuple[str, ...]:
    """What may follow the device in a shorter name of a shipped LUT; nothing is one of it."""
    match = _STEM.match(name.partition("/")[2])
    if match is None:
        return ("",)
    return ("", match["space"], f"{match['space']}-{match['resolution']}")


def _defaults(names: list[str]) -> list[str]:
    """Of LUTs of one device, those of the default space at its least resolution; else all."""
    resolution = {
        name: int(match["resolution"])
        for name in names
        if (match := _STEM.match(name.partition("/")[2])) and match["space"] == _DEFAULT_SPACE
    }
    least = min(resolution.values(), default=None)
    return [name for name in resolution if resolution[name] == least] or names


def export_lut(store: LutStore, key: LutKey, folder: str | os.PathLike[str]) -> Path:
    """Write a finished LUT of the database to its file below `folder`."""
    return save_lut(store.load(key), folder)


def import_lut(store: LutStore, path: str | os.PathLike[str]) -> LutKey:
    """Read a LUT file into the database; its key.

    Raises:
        LutError: the file is damaged, or the database holds a LUT of the same key.
    """
    lut = load_lut(path)
    key = key_of(lut)
    store.add_lut(lut)
    return key


def check_numbers(lut: Lut, what: str) -> None:
    """Raise `LutError` unless every latency and energy is finite and not negative."""
    for key, entry in lut.entries.items():
        energy = 0.0 if entry.energy_mj is None else entry.energy_mj
        for value in (entry.latency_ms, entry.spread, energy):
            if not math.isfinite(value) or value < 0:
                raise LutError(
                    f"{what}: entry {key!r} holds {value}, not a finite number from zero up; "
                    "the file is damaged: restore it or run hot build-lut"
                )
    if lut.corrected is not None:
        _check_corrected(lut.corrected, what)
    for key, value in lut.sentinels.items():
        if not math.isfinite(value) or value <= 0:
            raise LutError(f"{what}: sentinel {key!r} holds {value}; run hot build-lut again")


def _check_corrected(table: LatencyTable, what: str) -> None:
    values = [table.fixed_ms, *(value for row in table.latency_ms for value in row)]
    pairs = [term.value for term in table.pairs]
    if not all(math.isfinite(value) and value >= 0 for value in values) or not all(
        math.isfinite(value) for value in pairs
    ):
        raise LutError(
            f"{what}: its corrected table holds what is no finite number from zero up; the file is "
            "damaged: restore it or run hot check-lut --correct"
        )
