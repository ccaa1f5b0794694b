"""The error tree: what a user can mend is a `HotError`; a caller's bug is a `ValueError`."""

import difflib
from collections.abc import Iterable


class HotError(Exception):
    """A mistake the user can mend: the message says what is wrong and what to do; exit code 2."""

    exit_code = 2


class InputError(HotError):
    """A file, key, option or value that cannot be used."""


class SpaceError(InputError):
    """A search space or an architecture that is not valid."""


class LutError(InputError):
    """A look-up table that is missing, damaged, incomplete, or made for something else."""


class DataError(InputError):
    """A data set that cannot be read or that does not fit the task."""


class DeviceError(HotError):
    """A device that cannot be used here; the message says what is missing."""


class StorageError(HotError):
    """A file or folder that cannot be written: full disk, read-only folder, missing rights."""


class TrainingError(HotError):
    """A training that cannot go on (non-finite loss, checkpoint of another run)."""


class DeployError(HotError):
    """An artifact that could not be made or that does not agree with its model."""


class InfeasibleError(HotError):
    """No architecture meets the budgets; exit code 3.

    `nearest` maps every resource under budget to the least value at which the program becomes
    feasible with the other budgets unchanged (in the budget's unit), or None where none helps.
    """

    exit_code = 3

    def __init__(self, message: str, nearest: dict[str, float | None] | None = None) -> None:
        super().__init__(message)
        self.nearest = dict(nearest or {})


def unknown_name(kind: str, name: object, known: Iterable[str]) -> str:
    """One message for a wrong name: the near match, if any, and all known ones.

    >>> unknown_name("device", "cpuu", ["cpu", "analytic"])
    "unknown device 'cpuu'; did you mean 'cpu'? Known: analytic, cpu"
    """
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return f"unknown {kind} {name!r}{hint} Known: {', '.join(names)}"
