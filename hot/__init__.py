"""hot: provably best networks for a device, trained, quantised, measured."""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

# Public names by the room that has them; a room is loaded when one of its names is first used.
_ROOMS: dict[str, tuple[str, ...]] = {
    "hot.autosearch": ("Tables", "autosearch", "baseline", "front"),
    "hot.config": (
        "Config", "LutSection", "QualitySection", "SearchSection", "SweepSection",
        "TrainingSection", "load_config",
    ),
    "hot.deploy": ("deploy", "load_bundle"),
    "hot.devices": ("make_device",),
    "hot.errors": ("HotError", "InfeasibleError"),
    "hot.lut": ("build_lut", "check_lut", "correct_latency", "load_lut", "save_lut"),
    "hot.nn": ("Library", "build", "space_from_model", "torch_operator"),
    "hot.pipeline": ("assess", "deploy_all", "measure", "run", "search", "start", "train"),
    "hot.quality": ("Evidence", "score"),
    "hot.records": (
        "Budget", "Candidate", "DistillSettings", "Recipe", "RunFolder", "parse_budget",
    ),
    "hot.report": ("write_report",),
    "hot.space": (
        "ModelSpec", "Operator", "Space", "SpaceSpec", "load_space", "register_operator",
        "space_files",
    ),
    "hot.tasks": ("load_images",),
    "hot.training": ("HpoSettings", "fit", "optimise"),
}  # fmt: skip
_HOME = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'hot' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})


class _Package(ModuleType):
    """Keeps the functions `autosearch` and `deploy` from being hidden by the rooms of these names.

    An import of `hot.deploy` binds the room to the attribute `deploy`, where users of `hot` expect
    the function; `from hot.deploy import ...` finds the room without it.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
