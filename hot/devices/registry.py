"""The table of devices, and how one is made from its name and options."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path

from hot.devices.analytic import Analytic, description_files
from hot.devices.contract import Device
from hot.devices.ethos_u import ethos_u_rows
from hot.devices.row import DeviceRow, needs
from hot.errors import DeviceError, InputError, unknown_name
from hot.files import read_yaml
from hot.records import ESTIMATES, MEASURES, DeviceInfo

Option = str | int | float | bool
_TRUTH = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}


# Light makers: what they import is loaded when a device is made, not when its name is listed.


def _cpu(threads: int = 1) -> Device:
    from hot.devices.onnxruntime import onnxruntime_cpu

    return onnxruntime_cpu(threads)


def _litert(threads: int = 1) -> Device:
    from hot.devices.litert import litert_cpu

    return litert_cpu(threads)


def _cuda(gpu: int = 0, tf32: bool = False) -> Device:
    from hot.devices.cuda import Cuda

    return Cuda(gpu, tf32)


def _missing_cuda() -> str | None:
    from hot.devices.cuda import missing_cuda

    return missing_cuda()


def _openvino(threads: int = 1) -> Device:
    from hot.devices.openvino import openvino_cpu

    return openvino_cpu(threads)


def _tvm(
    trials: int = 0, target: str = "", tracker: str = "", board: str = "", compiler: str = ""
) -> Device:
    from hot.devices.tvm import Tvm

    return Tvm(trials, target, tracker, board, compiler)


DEVICES: dict[str, DeviceRow] = {
    "cpu": DeviceRow(_cpu, MEASURES, "this machine's processor, through ONNX Runtime"),
    "litert": DeviceRow(
        _litert,
        MEASURES,
        "this machine's processor, through LiteRT (TFLite, XNNPACK)",
        needs("litert", "ai_edge_litert", "litert_torch", "ai_edge_quantizer"),
    ),
    "openvino": DeviceRow(
        _openvino,
        MEASURES,
        "this machine's processor, through OpenVINO",
        needs("openvino", "openvino"),
    ),
    "tvm": DeviceRow(
        _tvm,
        MEASURES,
        "this machine's processor, or a board behind a tracker, through TVM's compiler",
        needs("tvm", "tvm", "psutil"),
    ),
    "cuda": DeviceRow(
        _cuda,
        MEASURES,
        "an NVIDIA GPU, through ONNX Runtime's CUDA provider",
        _missing_cuda,
    ),
    "analytic": DeviceRow(Analytic, ESTIMATES, "a roofline of counts, from a YAML description"),
    **ethos_u_rows(),
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


def make_device(name: str, /, **options: Option) -> Device:
    """The device called `name`, with its options, for example `make_device("cpu", threads=1)`.

    Options may be text, as the command line gives them. A name that ends in `.yaml` is the path of
    a description, or of a farm of servers; one with `://` is a server's device.

    Raises:
        InputError: unknown name or option, or an option of the wrong form.
        DeviceError: the device cannot be used here; says what is missing.
    """
    make = _maker(name)
    device: Device = make(**_parse_all(name, make, options))
    return device


def device_options(make: Callable[..., Device]) -> dict[str, Option]:
    """The options of the device that `make` makes, each with its default."""
    fixed = set(make.keywords) if isinstance(make, partial) else set()
    return {
        option: parameter.default
        for option, parameter in inspect.signature(make).parameters.items()
        if option not in fixed
    }


def remake_device(info: DeviceInfo) -> Device:
    """The device of that name as it stands here, with the options that a record's device had.

    Options are read from the fingerprint, where a device writes each under its own name.

    Raises:
        InputError: the device is not known here.
        DeviceError: it cannot be used here.
    """
    options = device_options(_maker(info.name))
    return make_device(
        info.name, **{key: text for key, text in info.fingerprint.items() if key in options}
    )


def _maker(name: str) -> Callable[..., Device]:
    """What makes the device, once nothing that it needs is missing."""
    if "://" in name:
        from hot.devices.remote import make_remote

        return partial(make_remote, name)
    if name.endswith((".yaml", ".yml")):
        document = read_yaml(name, "device description")
        if isinstance(document, dict) and "servers" in document:
            from hot.devices.farm import load_farm

            return partial(load_farm, Path(name))
        return partial(Analytic, description=name)
    rows = known_devices()
    if name not in rows:
        raise InputError(unknown_name("device", name, rows) + "; or give a YAML description")
    missing = rows[name].missing()
    if missing is not None:
        raise DeviceError(f"the device {name!r} cannot be used here: {missing}")
    return rows[name].make


def _parse_all(
    name: str, make: Callable[..., Device], options: Mapping[str, Option]
) -> dict[str, Option]:
    """The options as the types that the maker's defaults have."""
    allowed = device_options(make)
    parsed = {}
    for option, value in options.items():
        if option not in allowed:
            known = ", ".join(sorted(allowed)) or "none"
            raise InputError(f"the device {name!r} has no option {option!r}; it has {known}")
        parsed[option] = _parse(name, option, value, type(allowed[option]))
    return parsed


def _parse(device: str, option: str, value: Option, kind: type) -> Option:
    if kind is bool:
        truth = _TRUTH.get(str(value).lower())
        if truth is None:
            raise InputError(
                f"the option {option!r} of the device {device!r} must be on or off, not {value!r}"
            )
        return truth
    try:
        parsed: Option = kind(value)
    except ValueError as error:
        raise InputError(
            f"the option {option!r} of the device {device!r} must be {kind.__name__}, not {value!r}"
        ) from error
    return parsed
