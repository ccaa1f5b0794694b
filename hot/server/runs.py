"""A run folder as the pages show it: its candidates, its front, and what was deployed."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np

from hot.errors import LutError
from hot.records import (
    RESOURCE_LABELS,
    Candidate,
    Deployment,
    Front,
    FrontPoint,
    Lut,
    Provenance,
    RunFolder,
    TrainResult,
    load_record,
)
from hot.server.grid import describe_slot
from hot.server.listing import Stamp, run_files, stamp
from hot.server.shown import (
    Point,
    RunDetail,
    ShownDeployment,
    ShownFront,
    ShownSlot,
    show_device,
)
from hot.space import Space, SpaceSpec

MOST_FRONT_POINTS = 3000  # a browser draws as many without a pause
T = TypeVar("T")
_log = logging.getLogger(__name__)


def show_run(name: str, path: Path) -> RunDetail:
    """The run in the folder `path`; read again only when one of its files changed.

    Raises:
        HotError: a record is damaged.
        OSError: a file went away meanwhile.
    """
    return _show(name, path, stamp(run_files(path)))


@lru_cache(maxsize=128)
def _show(name: str, path: Path, stamp: Stamp) -> RunDetail:
    files = {Path(file).relative_to(path).as_posix(): Path(file) for file, _, _ in stamp}
    origin = _load(files, Provenance, "provenance.json")
    lut = _load(files, Lut, "lut.json")
    front = _load(files, Front, "front.json")
    candidates = sorted(
        _load_all(files, Candidate, "candidates"),
        key=lambda c: (c.rank > 0, c.objective, c.rank, c.name),
    )
    results = {r.candidate: r for r in _load_all(files, TrainResult, "results")}
    deployments = _load_all(files, Deployment, "deployments")
    space = _space(files, path)
    spec = _load(files, SpaceSpec, "space.json")
    metrics = [r.metric for r in results.values()] + [d.metric for d in deployments]
    points = _points(candidates, front, results, deployments)
    return RunDetail(
        name=name,
        date=origin.date if origin else "",
        machine=origin.machine if origin else "",
        commit=origin.commit if origin else "",
        space=candidates[0].space if candidates else (spec.name if spec else ""),
        device=show_device(lut.device) if lut else None,
        n_candidates=len(candidates),
        n_deployments=len(deployments),
        n_front=len(front.points) if front else 0,
        metric=metrics[0] if metrics else None,
        scorer=front.scorer if front else None,
        lut=_lut_line(lut),
        slots=_slots(space, lut, points),
        front=_front(front),
        points=points,
    )


def _load(files: Mapping[str, Path], kind: type[T], name: str) -> T | None:
    return load_record(files[name], kind) if name in files else None


def _load_all(files: Mapping[str, Path], kind: type[T], folder: str) -> list[T]:
    return [
        load_record(path, kind) for name, path in files.items() if name.startswith(f"{folder}/")
    ]


def _space(files: Mapping[str, Path], path: Path) -> Space | None:
    """The run's space where it is written down as YAML in the run; code of a model stays unrun."""
    spec = _load(files, SpaceSpec, "space.json")
    if spec is None or spec.model is not None or "space.yaml" not in files:
        return None
    return RunFolder(path).space()


def _lut_line(lut: Lut | None) -> str | None:
    if lut is None:
        return None
    check = f"; checked: {lut.check}" if lut.check else "; not checked on held-out networks"
    made = lut.created or "date unknown"
    return f"{lut.device.kind} on {lut.device.key}, {lut.precision}, {lut.method}, {made}{check}"


def _points(
    candidates: Sequence[Candidate],
    front: Front | None,
    results: Mapping[str, TrainResult],
    deployments: Sequence[Deployment],
) -> tuple[Point, ...]:
    """Candidates first, then the points of the front that are none of them."""
    known = {c.architecture for c in candidates}
    swept = _thin(front.points) if front else ()
    on_front = {point.architecture for point in front.points} if front else set()
    named = [
        _point(c, c.architecture in on_front, results.get(c.name), deployments) for c in candidates
    ]
    is_proven = front is not None and front.is_proven
    return (*named, *(_swept(f, is_proven) for f in swept if f.architecture not in known))


def _thin(points: Sequence[FrontPoint]) -> Sequence[FrontPoint]:
    """All points, or an even selection of so many as a browser draws."""
    if len(points) <= MOST_FRONT_POINTS:
        return points
    picked = np.linspace(0, len(points) - 1, MOST_FRONT_POINTS).round().astype(int)
    return [points[index] for index in picked]


def _point(
    candidate: Candidate,
    is_on_front: bool,
    result: TrainResult | None,
    deployments: Sequence[Deployment],
) -> Point:
    return Point(
        name=candidate.name,
        objective="baseline" if candidate.rank == 0 else candidate.objective,
        rank=candidate.rank,
        is_proven=candidate.is_proven,
        is_on_front=is_on_front,
        architecture=candidate.architecture,
        choices=tuple(candidate.architecture.split(",")),
        budget="" if candidate.budget is None else str(candidate.budget),
        notes=candidate.notes,
        predicted=asdict(candidate.predicted),
        trained=result.test_metric if result else None,
        deployments=tuple(_deployed(d) for d in deployments if d.candidate == candidate.name),
    )


def _swept(point: FrontPoint, is_proven: bool) -> Point:
    return Point(
        name=None,
        objective="front",
        rank=0,
        is_proven=is_proven,
        is_on_front=True,
        architecture=point.architecture,
        choices=tuple(point.architecture.split(",")),
        budget="",
        notes=(),
        predicted=asdict(point.predicted),
        trained=None,
        deployments=(),
    )


def _deployed(d: Deployment) -> ShownDeployment:
    return ShownDeployment(
        precision=d.precision,
        device=d.device.key,
        kind=d.device.kind,
        notes=d.device.notes,
        predicted_ms=d.predicted_ms,
        measured_ms=d.measured.latency_ms,
        spread=d.measured.spread,
        is_steady=d.measured.is_steady,
        energy_mj=d.measured.energy_mj,
        energy_source=d.device.energy,
        peak_memory_bytes=d.measured.peak_memory_bytes,
        file_bytes=d.file_bytes,
        metric_value=d.metric_value,
        torch_metric_value=d.torch_metric_value,
        failure=d.measured.failure,
    )


def _front(front: Front | None) -> ShownFront | None:
    return (
        None
        if front is None
        else ShownFront(
            resource=RESOURCE_LABELS[front.resource],
            scorer=front.scorer,
            budget=str(front.budget),
            is_proven=front.is_proven,
            step=front.step,
            n_points=len(front.points),
            n_shown=len(_thin(front.points)),
        )
    )


def _slots(space: Space | None, lut: Lut | None, points: Sequence[Point]) -> tuple[ShownSlot, ...]:
    """The slots in order; by number alone where the run's space is not written down."""
    if space is None:
        n_slots = max((len(point.choices) for point in points), default=0)
        return tuple(
            ShownSlot(name=f"slot {i}", shape="", layers=1, original=None, costs_ms={})
            for i in range(1, n_slots + 1)
        )
    costs = _costs(space, lut)
    return tuple(
        ShownSlot(
            name=slot.name,
            shape=describe_slot(slot),
            layers=len(slot.layers),
            original=slot.original.key,
            costs_ms=dict(zip(slot.keys, row, strict=True)) if row else {},
        )
        for slot, row in zip(space.slots, costs, strict=True)
    )


def _costs(space: Space, lut: Lut | None) -> Sequence[tuple[float, ...]]:
    """Latency of every choice of every slot in ms; empty rows without a LUT of this space."""
    if lut is not None:
        try:
            rows = lut.table(space).latency_ms
        except LutError as error:
            _log.warning("the run's latency table does not fit its space: %s", error)
        else:
            if [len(row) for row in rows] == [len(slot.choices) for slot in space.slots]:
                return rows
    return [()] * len(space.slots)
