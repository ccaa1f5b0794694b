"""LUTs as files: `luts/<device>/<space>-....json`, in a form that a diff can show."""

import math
import os
from pathlib import Path

from hot.errors import InputError, LutError
from hot.lut.store import LutKey, LutStore, key_of
from hot.records import DeviceInfo, Lut, load_record, save_record
from hot.space import Space

_PACKAGE = Path(__file__).resolve().parent.parent
_FOLDERS = (_PACKAGE / "luts", _PACKAGE.parent / "luts")


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
    for key, value in lut.sentinels.items():
        if not math.isfinite(value) or value <= 0:
            raise LutError(f"{what}: sentinel {key!r} holds {value}; run hot build-lut again")
