"""The table of devices, and how one is made from its name and options."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import entry_points

from hot.devices.analytic import Analytic, description_files
from hot.devices.contract import Device
from hot.devices.onnxruntime import OnnxRuntimeCpu
from hot.errors import InputError, unknown_name
from hot.records import ESTIMATES, MEASURES


@dataclass(frozen=True)
class DeviceRow:
    """A row of the table of devices.

    Attributes:
        make: makes the device; its parameters, all with defaults, are the device's options.
        kind: `measured` or `estimated`.
        meaning: one line for the user.
    """

    make: Callable[..., Device]
    kind: str
    meaning: str


DEVICES: dict[str, DeviceRow] = {
    "cpu": DeviceRow(OnnxRuntimeCpu, MEASURES, "this machine's processor, through ONNX Runtime"),
    "analytic": DeviceRow(Analytic, ESTIMATES, "a roofline of counts, from a YAML description"),
}


def known_devices() -> dict[str, DeviceRow]:
    """`DEVICES`, the descriptions that ship with hot, and what packages add (`hot.devices`).

    An entry point names a `DeviceRow`.
    """
    added: dict[str, DeviceRow] = {p.name: p.load() for p in entry_points(group="hot.devices")}
    described = {
        name: DeviceRow(partial(Analytic, description=name), ESTIMATES, f"a roofline, from {path}")
        for name, path in description_files().items()
    }
    return {**added, **described, **DEVICES}


def make_device(name: str, **options: str | int | float) -> Device:
    """The device called `name`, with its options, for example `make_device("cpu", threads=1)`.

    Options may be text, as the command line gives them. A name that ends in `.yaml` is the path of
    a description.

    Raises:
        InputError: unknown name or option, or an option of the wrong form.
        DeviceError: the device cannot be used here.
    """
    rows = known_devices()
    if name.endswith((".yaml", ".yml")):
        return Analytic(description=name)
    if name not in rows:
        raise InputError(unknown_name("device", name, rows) + "; or give a YAML description")
    make = rows[name].make
    allowed = dict(inspect.signature(make).parameters)
    fixed = set(make.keywords) if isinstance(make, partial) else set()
    parsed = {}
    for option, value in options.items():
        if option not in allowed or option in fixed:
            known = sorted(allowed.keys() - fixed)
            raise InputError(
                f"the device {name!r} has no option {option!r}; it has {', '.join(known) or 'none'}"
            )
        parsed[option] = _parse(name, option, value, type(allowed[option].default))
    device: Device = make(**parsed)
    return device


def _parse(device: str, option: str, value: str | int | float, kind: type) -> str | int | float:
    try:
        parsed: str | int | float = kind(value)
    except ValueError as error:
        raise InputError(
            f"the option {option!r} of the device {device!r} must be {kind.__name__}, not {value!r}"
        ) from error
    return parsed
