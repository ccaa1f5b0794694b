"""The precisions that a device's artifacts can have."""

from hot.errors import DeviceError, InputError, unknown_name
from hot.export import find_format
from hot.records import DeviceInfo
from hot.space import PRECISIONS

_USUAL = ("fp32", "int8")


def deployable(info: DeviceInfo) -> tuple[str, ...]:
    """The precisions that the device runs and that can be written in the format it prefers."""
    written = find_format(info.formats[0]).precisions
    return tuple(name for name in info.precisions if name in written)


def usual_precisions(info: DeviceInfo) -> tuple[str, ...]:
    """What is deployed unless the user chooses: fp32 and int8, as far as the device has them."""
    known = deployable(info)
    return tuple(name for name in _USUAL if name in known) or known


def check_precision(info: DeviceInfo, precision: str) -> None:
    """Raise where a model at that precision would not run on the device as what it is.

    Raises:
        InputError: there is no such precision.
        DeviceError: the device does not have it; names those that it has.
    """
    known = deployable(info)
    if precision not in PRECISIONS:
        raise InputError(unknown_name("precision", precision, known))
    if precision not in known:
        raise DeviceError(
            f"the device {info.name!r} does not run {precision!r}; it runs {', '.join(known)}: "
            "choose one of them as the precision of the deployment"
        )
