"""Building a look-up table: measure what is missing, watch for drift, work out the entries."""

import logging
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hot.devices import Device, Settings
from hot.errors import DeviceError
from hot.lut.artifacts import make_artifacts
from hot.lut.attribute import PartTime, attribute
from hot.lut.drift import (
    drifted_segments,
    make_sentinels,
    reference_timing,
    time_sentinels,
)
from hot.lut.methods import DEFAULT_METHODS, SETTINGS, Method, find_method
from hot.lut.plan import Job, Work, sentinel_networks, unique_work
from hot.lut.store import JobResult, LutKey, LutStore
from hot.progress import Advance, progress
from hot.records import Artifact, Lut, Measurement
from hot.space import Space

log = logging.getLogger(__name__)
_GROUP_MACS = 2.5e9  # networks interleaved at a time: their sessions must fit the memory
_GROUP_MOST = 24
_DRIFT_ROUNDS = 2


@dataclass(frozen=True)
class _Build:
    """What one build works with."""

    space: Space
    device: Device
    precision: str
    method: Method
    store: LutStore
    settings: Settings
    lut_id: int
    seed: int
    works: dict[str, Work]

    @property
    def format_name(self) -> str:
        """Of the artifacts: the one that the device prefers."""
        return self.device.describe().formats[0]


def build_lut(
    space: Space,
    device: Device,
    precision: str = "fp32",
    method: str | None = None,
    *,
    store: LutStore | str | os.PathLike[str],
    settings: Settings | None = None,
    seed: int = 0,
    is_fresh: bool = False,
) -> Lut:
    """The LUT of a space on a device; a build that was stopped goes on, a finished one is read.

    Args:
        method: one of `METHODS`; by default the device's own, else `in-context` on one that
            measures, `isolated` on one that estimates.
        store: the database, or the path of an SQLite file or URL.
        settings: how each artifact is measured, by default `hot.lut.methods.SETTINGS`; whether node
            by node follows from the method.
        seed: of the layout of the networks, the weights and the inputs; a build that goes on keeps
            the seed it began with.
        is_fresh: forget what was measured before.

    Raises:
        LutError: unknown method, entries that cannot be measured, or another process is building.
        DeviceError: the device does not know the precision, or runs none of the networks.
        StorageError: the database or the temporary folder cannot be written.
    """
    info = device.describe()
    method = method or info.method or DEFAULT_METHODS[info.kind]
    row = find_method(method)
    if precision not in info.precisions:
        raise DeviceError(
            f"the device {info.name!r} does not run {precision!r}; "
            f"it runs {', '.join(info.precisions)}; choose one of them as the LUT's precision"
        )
    database = store if isinstance(store, LutStore) else LutStore(store)
    try:
        key = LutKey(space.key, info.key, precision, method)
        old = database.find(key) if is_fresh else None
        if old is not None:
            with database.builder(old):
                database.forget(old)
        lut_id = database.open_lut(key, info, space, seed)
        build = _Build(
            space,
            device,
            precision,
            row,
            database,
            settings or SETTINGS,
            lut_id,
            database.seed(lut_id),
            unique_work(space),
        )
        if not database.is_finished(lut_id):
            with database.builder(lut_id):
                _run(build, str(key))
        return database.load(key)
    finally:
        if database is not store:
            database.close()


def _run(build: _Build, label: str) -> None:
    failed = [k for k, r in build.store.results(build.lut_id).items() if r.failure is not None]
    build.store.drop_jobs(build.lut_id, failed)  # of an earlier try: what failed may run now
    jobs = build.method.plan(build.space, build.seed)
    with tempfile.TemporaryDirectory(prefix="hot-lut-") as name:
        folder = Path(name)
        keys = [a.key for a in sentinel_networks(build.space, build.seed)]
        sentinels = make_sentinels(
            build.space, keys, build.precision, folder, build.seed, build.format_name
        )
        _measure_missing(build, jobs, sentinels, folder, f"LUT {label}")
        for turn in range(1, 1 + _DRIFT_ROUNDS):
            if not _drop_drifted(build):
                break
            again = _afresh(build, turn)
            _measure_missing(again, jobs, sentinels, folder, f"LUT {label}, after a drift")
        else:
            if _drifted_jobs(build):
                log.warning(
                    "the sentinel networks kept moving: %d of %d measurements of the LUT of %s "
                    "were taken while they were off; build it on a quiet machine",
                    len(_drifted_jobs(build)),
                    len(jobs),
                    build.space.key,
                )
    results = list(build.store.results(build.lut_id).values())
    shares = [result.unnamed_share for result in results if result.failure is None]
    build.store.finish(
        build.lut_id,
        build.method.entries(build.space, build.precision, results),
        reference_timing(build.store.timings(build.lut_id)),
        float(np.mean(shares)) if shares else 0.0,
    )


def _measure_missing(
    build: _Build, jobs: list[Job], sentinels: dict[str, Artifact], folder: Path, label: str
) -> None:
    done = build.store.results(build.lut_id)
    missing = [job for job in jobs if job.key not in done]
    if not missing:
        return
    segment = _time(build, sentinels)
    with progress(label, len(jobs), len(jobs) - len(missing)) as advance:
        for group in _groups(build, missing):
            results = _measure_group(build, group, folder, advance)
            build.store.add_results(build.lut_id, segment, results)
            segment = _time(build, sentinels)


def _time(build: _Build, sentinels: dict[str, Artifact]) -> int:
    turn = len(build.store.timings(build.lut_id))
    timing = time_sentinels(build.device, sentinels, _afresh(build, turn).settings)
    return build.store.add_timing(build.lut_id, timing)


def _afresh(build: _Build, turn: int) -> _Build:
    """The build with settings of another seed: a server measures again what it knows already."""
    settings = build.settings
    return replace(build, settings=replace(settings, seed=settings.seed + turn))


def _drifted_jobs(build: _Build) -> list[str]:
    moved = drifted_segments(build.store.timings(build.lut_id))
    return [key for key, at in build.store.segments(build.lut_id).items() if at in moved]


def _drop_drifted(build: _Build) -> bool:
    """Forget what was taken while the sentinels were off; whether there was any."""
    dropped = _drifted_jobs(build)
    if dropped:
        log.info("%d measurements were taken during a drift and are repeated", len(dropped))
        build.store.drop_jobs(build.lut_id, dropped)
    return bool(dropped)


def _groups(build: _Build, jobs: list[Job]) -> list[list[Job]]:
    """The jobs in their order, as many a group as can be interleaved."""
    groups: list[list[Job]] = []
    held = float("inf")
    for job in jobs:
        macs = sum(build.works[key].counts.macs for _, key in job.parts)
        if held + macs > _GROUP_MACS or len(groups[-1]) >= _GROUP_MOST:
            groups.append([])
            held = 0.0
        groups[-1].append(job)
        held += macs
    return groups


def _measure_group(
    build: _Build, group: Sequence[Job], folder: Path, advance: Advance
) -> list[JobResult]:
    settings = replace(build.settings, per_node=build.method.per_node, memory=False)
    with tempfile.TemporaryDirectory(prefix="group-", dir=folder) as name:
        artifacts = make_artifacts(
            build.space,
            group,
            build.works,
            build.precision,
            Path(name),
            build.seed,
            build.format_name,
        )
        measured = build.device.measure_all(artifacts, settings)
    advance(len(group))
    to_result = _network_result if build.method.per_node else _work_result
    return [to_result(job, result) for job, result in zip(group, measured, strict=True)]


def _network_result(job: Job, measured: Measurement) -> JobResult:
    if measured.latency_ms is None:
        return JobResult(job.key, None, 0.0, (), failure=measured.failure)
    if not measured.nodes:
        failure = "the device gives no per-node times; choose the method 'fitted'"
        return JobResult(job.key, None, 0.0, (), failure=failure)
    parts, unnamed = attribute(measured.nodes, job.parts)
    return JobResult(
        job.key, measured.latency_ms, measured.spread, parts, measured.energy_mj, unnamed
    )


def _work_result(job: Job, measured: Measurement) -> JobResult:
    if measured.latency_ms is None:
        return JobResult(job.key, None, 0.0, (), failure=measured.failure)
    parts: tuple[PartTime, ...] = ()
    if job.architecture is None:
        parts = (PartTime(job.key, job.key, measured.latency_ms, 0),)
    return JobResult(job.key, measured.latency_ms, measured.spread, parts, measured.energy_mj)
