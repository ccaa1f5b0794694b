"""How well a look-up table predicts whole networks that were not used to build it."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from hot.devices import Device, Settings
from hot.errors import LutError
from hot.lut.artifacts import make_artifact
from hot.lut.drift import watch
from hot.lut.plan import held_out, network_job, unique_work
from hot.progress import progress
from hot.records import CheckResult, Lut, now
from hot.space import Architecture, Space

LEAST_NETWORKS = 3  # fewer tell nothing of an order
_GROUP = 10
_ENUMERATED = 10_000
_DRIFT_ROUNDS = 2


def check_lut(
    lut: Lut,
    space: Space,
    device: Device,
    n: int = 30,
    seed: int = 1,
    settings: Settings | None = None,
) -> CheckResult:
    """Predicted against measured latency of `n` random networks that the LUT has not seen.

    Raises:
        LutError: the LUT belongs to another space or device, is incomplete, or the space has no
            `n` other networks, or fewer than three of them run on the device.
    """
    return check_luts([lut], space, device, n, seed, settings)[0]


def check_luts(
    luts: list[Lut],
    space: Space,
    device: Device,
    n: int = 30,
    seed: int = 1,
    settings: Settings | None = None,
) -> list[CheckResult]:
    """The same for several LUTs of one precision, against one and the same measurement."""
    for lut in luts:
        lut.require(space, device.describe())
    (precision,) = {lut.precision for lut in luts}
    used = {key for lut in luts for key in networks_used(lut)}
    tables = [lut.table(space) for lut in luts]
    networks = held_out(space, n, seed, used)
    settings = settings or Settings()
    with watch(luts[0], space, device, settings) as is_moved:
        measured = measure_networks(space, networks, precision, device, settings, seed, is_moved)
    kept = [(a, ms) for a, ms in zip(networks, measured, strict=True) if ms is not None]
    if len(kept) < LEAST_NETWORKS:
        raise LutError(
            f"only {len(kept)} of {n} networks of {space.name!r} run on "
            f"{device.describe().name!r}: too few to check a LUT"
        )
    architectures, truth = zip(*kept, strict=True)
    return [
        compare(architectures, [table.predict_ms(space, a) for a in architectures], truth, seed)
        for table in tables
    ]


def networks_used(lut: Lut) -> set[str]:
    """Keys of what the LUT was built from, and of the networks that corrected its table."""
    used = {*lut.jobs, *lut.sentinels}
    if lut.corrected is not None and lut.check is not None:
        used.update(lut.check.architectures)
    return used


def count_unseen(lut: Lut, space: Space) -> int:
    """Networks of `space` that were not used to build `lut`; of a large space at least so many."""
    used = networks_used(lut)
    if space.size > _ENUMERATED:
        return space.size - len(used)
    return sum(architecture.key not in used for architecture in space.enumerate())


def compare(
    architectures: tuple[Architecture, ...],
    predicted_ms: list[float],
    measured_ms: tuple[float, ...],
    seed: int,
) -> CheckResult:
    """The errors of predictions, relative to what was measured."""
    predicted, measured = np.array(predicted_ms), np.array(measured_ms)
    error = predicted / measured - 1.0
    return CheckResult(
        n_networks=len(measured),
        mean_error=float(np.abs(error).mean()),
        worst_error=float(np.abs(error).max()),
        bias=float(error.mean()),
        spearman=float(spearmanr(predicted, measured).statistic),
        seed=seed,
        date=now(),
        predicted_ms=tuple(float(value) for value in predicted),
        measured_ms=tuple(float(value) for value in measured),
        architectures=tuple(architecture.key for architecture in architectures),
    )


def measure_networks(
    space: Space,
    architectures: list[Architecture],
    precision: str,
    device: Device,
    settings: Settings,
    seed: int,
    is_moved: Callable[[], bool] = lambda: False,
) -> list[float | None]:
    """Latency of whole networks in ms; None where the device cannot run one.

    Args:
        is_moved: whether the device has drifted; what was measured before it did is repeated, at
            most twice.
    """
    works, (format_name, *_) = unique_work(space), device.describe().formats
    settings = replace(settings, per_node=False, memory=False)
    found: list[float | None] = []
    with progress("checking the LUT", len(architectures)) as advance:
        for start in range(0, len(architectures), _GROUP):
            group = architectures[start : start + _GROUP]
            with tempfile.TemporaryDirectory(prefix="hot-lut-") as name:
                artifacts = []
                for index, architecture in enumerate(group):
                    place = Path(name) / str(index)
                    place.mkdir()
                    job = network_job(space, architecture)
                    artifacts.append(
                        make_artifact(space, job, works, precision, place, seed, format_name)
                    )
                for turn in range(1 + _DRIFT_ROUNDS):
                    # Another seed: a server measures again what it knows already.
                    again = replace(settings, seed=settings.seed + turn)
                    results = device.measure_all(artifacts, again)
                    if not is_moved():
                        break
                found += [result.latency_ms for result in results]
            advance(len(group))
    return found
