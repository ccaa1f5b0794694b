"""Quantities with units: as a user writes them (`30ms`, `2MiB`, `10M`), as hot shows them."""

import math
import re

from hot.errors import InputError

# Factors to the base unit of each dimension: ms, bytes, mJ, one MAC.
UNITS: dict[str, dict[str, float]] = {
    "latency": {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1e3},
    "memory": {
        "B": 1.0,
        "kB": 1e3,
        "KB": 1e3,
        "MB": 1e6,
        "GB": 1e9,
        "KiB": 2.0**10,
        "MiB": 2.0**20,
        "GiB": 2.0**30,
    },
    "energy": {"nJ": 1e-6, "uJ": 1e-3, "mJ": 1.0, "J": 1e3},
    "macs": {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9},
}
_EXAMPLE = {"latency": "30ms", "memory": "2MiB", "energy": "1.5mJ", "macs": "300M"}
_QUANTITY = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*([A-Za-z]*)\s*")


def parse_quantity(text: str, dimension: str, what: str = "value") -> float:
    """The value of `text` in ms, bytes, mJ or MACs; finite and greater than zero.

    Raises:
        InputError: the number or the unit is missing or wrong; names `what` and the units allowed.

    >>> parse_quantity("2MiB", "memory")
    2097152.0
    >>> parse_quantity("500 us", "latency")
    0.5
    """
    units = UNITS[dimension]
    allowed = ", ".join(u or "no unit" for u in units)
    match = _QUANTITY.fullmatch(str(text))
    if match is None or match[2] not in units:
        raise InputError(
            f"{what} must be a number with one of the units {allowed}, not {str(text)!r}; "
            f"write it as for example {_EXAMPLE[dimension]}"
        )
    value = float(match[1]) * units[match[2]]
    if not math.isfinite(value) or value <= 0:
        raise InputError(f"{what} must be greater than zero and finite, not {str(text)!r}")
    return value


def parse_share(text: str, what: str = "value") -> float:
    """The fraction that a percentage is; greater than zero.

    Raises:
        InputError: not a percentage.

    >>> parse_share("80%")
    0.8
    """
    number = text.strip().removesuffix("%").strip()
    if not re.fullmatch(r"[0-9]*\.?[0-9]+", number) or float(number) <= 0:
        raise InputError(f"{what} must be a percentage greater than zero, not {text!r}")
    return float(number) / 100


def format_bytes(value: float) -> str:
    """Bytes with a binary unit.

    >>> format_bytes(2097152), format_bytes(900)
    ('2.00 MiB', '900 B')
    """
    for unit, factor in (("GiB", 2.0**30), ("MiB", 2.0**20), ("KiB", 2.0**10)):
        if value >= factor:
            return f"{value / factor:.2f} {unit}"
    return f"{value:.0f} B"


def format_count(value: float) -> str:
    """A count (MACs, parameters) with k, M or G.

    >>> format_count(300_774_272), format_count(12)
    ('300.77 M', '12')
    """
    for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= factor:
            return f"{value / factor:.2f} {unit}"
    return f"{value:.0f}"


def format_ms(value: float) -> str:
    """Milliseconds with three significant digits.

    >>> format_ms(12.3456), format_ms(0.012345)
    ('12.3 ms', '0.0123 ms')
    """
    return f"{value:.3g} ms" if value < 1000 else f"{value:.0f} ms"
