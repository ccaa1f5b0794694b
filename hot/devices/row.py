"""A row of the table of devices, and how it tells what is missing here."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

from hot.devices.contract import Device


def nothing_missing() -> str | None:
    """What a device that runs everywhere says."""
    return None


@dataclass(frozen=True)
class DeviceRow:
    """A row of the table of devices.

    Attributes:
        make: makes the device; its parameters, all with defaults, are the device's options. It
            imports what is heavy or optional only when it is called.
        kind: `measured` or `estimated`.
        meaning: one line for the user.
        missing: why the device cannot be used here and what to do, for example the line that
            installs it; None where it can. It imports nothing heavy and is quick.
    """

    make: Callable[..., Device]
    kind: str
    meaning: str
    missing: Callable[[], str | None] = nothing_missing


def needs(extra: str, *modules: str) -> Callable[[], str | None]:
    """A `missing` that asks for Python modules, which the extra `hot[extra]` installs.

    >>> needs("npu", "json", "no_such_module")()
    "no_such_module is not installed: pip install 'hot[npu]'"
    >>> needs("npu", "json")() is None
    True
    """

    def missing() -> str | None:
        absent = [name for name in modules if not _is_installed(name)]
        if not absent:
            return None
        verb = "is" if len(absent) == 1 else "are"
        return f"{', '.join(absent)} {verb} not installed: pip install 'hot[{extra}]'"

    return missing


def _is_installed(module: str) -> bool:
    """Whether a module of that name is there; a package of dotted names is imported for it."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ModuleNotFoundError, ValueError):
        return False
