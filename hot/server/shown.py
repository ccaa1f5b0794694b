"""The documents of the pages' end points: what is shown of LUTs and of runs."""

import math
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from hot.records import HEAD, STEM, CheckResult, DeviceInfo, Lut
from hot.server.grid import Grid, GridRow


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


Number = Annotated[float | None, AfterValidator(_finite)]  # what is no number is not there


class Shown(BaseModel):
    """What all documents share."""

    model_config = ConfigDict(frozen=True)


class Damaged(Shown):
    """A file or folder that cannot be shown, and why."""

    name: str
    error: str


class ShownDevice(Shown):
    """The device behind figures; `kind` says whether they are measured or estimated."""

    name: str
    key: str
    kind: str
    energy: str | None
    notes: tuple[str, ...]
    fingerprint: dict[str, str]


class ShownCheck(Shown):
    """How well a LUT predicted whole networks that it was not built from; errors are fractions."""

    n_networks: int
    mean_error: Number
    worst_error: Number
    spearman: Number
    date: str


class LutSummary(Shown):
    """What a LUT is, without its entries; `n_wanted` None: its space is not known here."""

    name: str
    source: str
    space: str
    device: ShownDevice
    precision: str
    method: str
    resolution: int
    created: str
    n_present: int
    n_wanted: int | None
    check: ShownCheck | None
    is_corrected: bool


class LutList(Shown):
    """All LUTs this server can show."""

    luts: tuple[LutSummary, ...]
    damaged: tuple[Damaged, ...]


class LutDetail(LutSummary):
    """A LUT as a grid of slots and choices; `fixed_ms` is stem and head together."""

    columns: tuple[str, ...]
    rows: tuple[GridRow, ...]
    fixed_ms: Number


class ShownDeployment(Shown):
    """A candidate on a device: predicted beside measured."""

    precision: str
    device: str
    kind: str
    notes: tuple[str, ...]
    predicted_ms: Number
    measured_ms: Number
    spread: Number
    is_steady: bool
    energy_mj: Number
    energy_source: str | None
    peak_memory_bytes: Number
    file_bytes: int
    metric_value: Number
    torch_metric_value: Number
    failure: str | None


class Point(Shown):
    """An architecture of a run: a candidate with its name, or a point of the front without one."""

    name: str | None
    objective: str
    rank: int
    is_proven: bool
    is_on_front: bool
    architecture: str
    choices: tuple[str, ...]
    budget: str
    notes: tuple[str, ...]
    predicted: dict[str, Number]
    trained: Number
    deployments: tuple[ShownDeployment, ...]


class ShownSlot(Shown):
    """A slot of a run's space; `costs_ms`: its choices' latency by the run's LUT, if it has one."""

    name: str
    shape: str
    layers: int
    original: str | None
    costs_ms: dict[str, Number]


class ShownFront(Shown):
    """What was swept; `n_shown` of its `n_points` points are in the document."""

    resource: str
    scorer: str
    budget: str
    is_proven: bool
    step: Number
    n_points: int
    n_shown: int


class RunSummary(Shown):
    """What a run is."""

    name: str
    date: str
    machine: str
    commit: str
    space: str
    device: ShownDevice | None
    n_candidates: int
    n_deployments: int
    n_front: int
    metric: str | None


class RunList(Shown):
    """All runs this server can show."""

    runs: tuple[RunSummary, ...]
    damaged: tuple[Damaged, ...]


class RunDetail(RunSummary):
    """A run with all its architectures."""

    scorer: str | None
    lut: str | None
    slots: tuple[ShownSlot, ...]
    front: ShownFront | None
    points: tuple[Point, ...]


def show_device(info: DeviceInfo) -> ShownDevice:
    """A device as the pages show it."""
    return ShownDevice(
        name=info.name, key=info.key, kind=info.kind, energy=info.energy, notes=info.notes,
        fingerprint=info.fingerprint,
    )  # fmt: skip


def show_lut(name: str, source: str, lut: Lut, grid: Grid) -> LutDetail:
    """A LUT as the pages show it."""
    return LutDetail(
        name=name,
        source=source,
        space=lut.space,
        device=show_device(lut.device),
        precision=lut.precision,
        method=lut.method,
        resolution=lut.resolution,
        created=lut.created,
        n_present=grid.n_present,
        n_wanted=grid.n_wanted,
        check=_show_check(lut.check),
        is_corrected=lut.corrected is not None,
        columns=grid.columns,
        rows=grid.rows,
        fixed_ms=_fixed_ms(lut),
    )


def _show_check(check: CheckResult | None) -> ShownCheck | None:
    return (
        None
        if check is None
        else ShownCheck(
            n_networks=check.n_networks,
            mean_error=check.mean_error,
            worst_error=check.worst_error,
            spearman=check.spearman,
            date=check.date,
        )
    )


def _fixed_ms(lut: Lut) -> float | None:
    """Latency of stem and head; None where one is missing."""
    if STEM not in lut.entries or HEAD not in lut.entries:
        return None
    return lut.entries[STEM].latency_ms + lut.entries[HEAD].latency_ms
