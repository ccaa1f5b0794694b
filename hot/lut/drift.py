"""Drift: sentinel networks say whether the device is as fast as when a LUT was built."""

import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from hot.devices import Device, Settings
from hot.errors import DeviceError
from hot.lut.artifacts import make_artifact
from hot.lut.methods import SETTINGS
from hot.lut.plan import network_job, unique_work
from hot.records import Artifact, Lut
from hot.space import Space

log = logging.getLogger(__name__)
DRIFT_LIMIT = 0.08  # relative; the spread of one timing on a busy machine is about half of that


def make_sentinels(
    space: Space, keys: list[str], precision: str, folder: Path, seed: int, format_name: str
) -> dict[str, Artifact]:
    """The artifacts of the sentinel networks by architecture key, in the format of a device."""
    works = unique_work(space)
    made = {}
    for index, key in enumerate(keys):
        place = folder / f"sentinel-{index}"
        place.mkdir()
        job = network_job(space, space.parse(key))
        made[key] = make_artifact(space, job, works, precision, place, seed, format_name)
    return made


def _sentinels_of(lut: Lut, space: Space, device: Device, folder: Path) -> dict[str, Artifact]:
    keys, (format_name, *_) = list(lut.sentinels), device.describe().formats
    return make_sentinels(space, keys, lut.precision, folder, lut.seed, format_name)


def time_sentinels(
    device: Device, sentinels: dict[str, Artifact], settings: Settings
) -> dict[str, float]:
    """Latency of every sentinel in ms.

    A sentinel that does not fit the device is left out.

    Raises:
        DeviceError: the device can run none of them.
    """
    settings = replace(settings, per_node=False, memory=False)
    measured = device.measure_all(list(sentinels.values()), settings)
    found = {
        key: result.latency_ms
        for key, result in zip(sentinels, measured, strict=True)
        if result.latency_ms is not None
    }
    if not found:
        raise DeviceError(f"{device.describe().name!r} runs no network here: {measured[0].failure}")
    return found


def relative_drift(reference: dict[str, float], timing: dict[str, float]) -> float:
    """How much slower (> 0) or faster a timing is than the reference: the median over sentinels."""
    shared = reference.keys() & timing.keys()
    return float(np.median([timing[key] / reference[key] - 1.0 for key in shared]))


def reference_timing(timings: dict[int, dict[str, float]]) -> dict[str, float]:
    """The median latency of every sentinel over all timings."""
    keys = {key for timing in timings.values() for key in timing}
    return {
        key: float(np.median([timing[key] for timing in timings.values() if key in timing]))
        for key in sorted(keys)
    }


def drifted_segments(timings: dict[int, dict[str, float]], limit: float = DRIFT_LIMIT) -> set[int]:
    """The segments before or after which the sentinels were off the reference by more than `limit`.

    Segment n lies between the timings n and n + 1.
    """
    reference = reference_timing(timings)
    moved = {n for n, timing in timings.items() if abs(relative_drift(reference, timing)) > limit}
    return moved | {n - 1 for n in moved}


@contextmanager
def watch(
    lut: Lut, space: Space, device: Device, settings: Settings
) -> Iterator[Callable[[], bool]]:
    """A function that tells whether the device is off what it was when `lut` was built.

    At the end a warning is logged if it was off when last asked.
    """
    drift = 0.0
    with tempfile.TemporaryDirectory(prefix="hot-lut-") as folder:
        sentinels = _sentinels_of(lut, space, device, Path(folder))

        def is_moved() -> bool:
            nonlocal drift
            if sentinels:
                timing = time_sentinels(device, sentinels, _of_now(settings))
                drift = relative_drift(lut.sentinels, timing)
            return abs(drift) > DRIFT_LIMIT

        yield is_moved
    if abs(drift) > DRIFT_LIMIT:
        _warn(lut, drift)


def sentinel_drift(
    lut: Lut, space: Space, device: Device, settings: Settings | None = None
) -> float:
    """Relative drift of this device since `lut` was built; warns in the log beyond the limit.

    Raises:
        LutError: the LUT belongs to another space or device.
    """
    lut.require(space, device.describe())
    if not lut.sentinels:
        log.warning("the LUT of %s has no sentinels: its drift is unknown", lut.space)
        return 0.0
    with tempfile.TemporaryDirectory(prefix="hot-lut-") as folder:
        sentinels = _sentinels_of(lut, space, device, Path(folder))
        timing = time_sentinels(device, sentinels, _of_now(settings or SETTINGS))
    drift = relative_drift(lut.sentinels, timing)
    if abs(drift) > DRIFT_LIMIT:
        _warn(lut, drift)
    return drift


def _of_now(settings: Settings) -> Settings:
    """The settings with a seed that was never used: no server answers from what it measured before.

    The seed decides no latency, only the order in which the sentinels are run.
    """
    return replace(settings, seed=time.time_ns() % 2**31)


def _warn(lut: Lut, drift: float) -> None:
    log.warning(
        "the LUT of %s no longer holds here: its sentinel networks run %.0f %% %s than when it "
        "was built (%s); build it again, or wait until the machine is quiet",
        lut.space,
        abs(drift) * 100,
        "slower" if drift > 0 else "faster",
        lut.created,
    )
