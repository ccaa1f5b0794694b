"""The page of a report: one HTML file with everything in it, readable without a network."""

import base64
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import jinja2

from hot.errors import StorageError
from hot.files import write_text
from hot.records import (
    MEASURES,
    Candidate,
    Deployment,
    DeviceInfo,
    RunFolder,
    now,
)
from hot.report.gather import BASELINE, Findings, gather
from hot.report.panels import Panel, lut_source, plan_panels
from hot.report.style import FRACTIONS
from hot.units import format_bytes, format_count, format_ms

_HERE = Path(__file__).resolve().parent
PAGE = "index.html"


@dataclass(frozen=True)
class Card:
    """One number at the head of the page."""

    label: str
    value: str
    detail: str


@dataclass(frozen=True)
class Row:
    """A line of the table of candidates: a candidate and one of its deployments, if any."""

    candidate: Candidate
    deployment: Deployment | None
    is_first: bool
    n_rows: int
    torch_metric: float | None
    ratio: float | None  # latency over the baseline's
    proof: str


def write_report(run: RunFolder) -> Path:
    """Write `report/index.html` and its figures into the run; the path of the page.

    Stages that have not run are said to be missing. The page makes no request.

    Raises:
        InputError: a record of the run is damaged; names the file.
        StorageError: the run cannot be written.
    """
    found = gather(run)
    folder = run.file("report")
    panels = {panel.key: _draw(panel, draw, folder) for panel, draw in plan_panels(found)}
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        ms=format_ms,
        bytes=format_bytes,
        count=format_count,
        metric=partial(_format_metric, found.metric),
    )
    text = environment.get_template("page.html").render(
        found=found,
        title=run.path.resolve().name,
        css=(_HERE / "page.css").read_text(encoding="utf-8"),
        panels=panels,
        cards=_cards(found),
        warnings=_warnings(found),
        rows=_rows(found),
        devices=_devices(found),
        lut_source=lut_source(found),
        written=now(),
    )
    write_text(folder / PAGE, text)
    return folder / PAGE


def _draw(panel: Panel, draw: Callable[[Path], None] | None, folder: Path) -> Panel:
    path = folder / f"{panel.key}.png"
    if draw is None:
        _remove(path)
        return panel
    draw(path)
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return replace(panel, image=f"data:image/png;base64,{data}")


def _remove(path: Path) -> None:
    """Remove the figure an earlier report left of a stage that is gone."""
    try:
        if path.exists():
            path.unlink()
    except OSError as error:
        raise StorageError(
            f"cannot remove {path}: {error.strerror or error}; check the rights of the folder"
        ) from error


def _format_metric(metric: str, value: float) -> str:
    return f"{value:.2%}" if metric in FRACTIONS else f"{value:.4g}"


def _cards(found: Findings) -> list[Card]:
    cards = []
    shown = [d for d in found.deployments if d.measured.latency_ms is not None]
    picks = [d for d in shown if d.candidate != BASELINE]
    if picks:
        best = max(picks, key=lambda d: (d.metric_value, -(d.measured.latency_ms or 0.0)))
        fast = min(picks, key=lambda d: d.measured.latency_ms or 0.0)
        base = found.deployment_like(BASELINE, best)
        detail = f"{best.candidate}, {best.precision}"
        if base:
            points = 100 * (best.metric_value - base.metric_value)
            detail += f": {points:+.2f} points against the baseline"
        label = f"best {found.metric}"
        cards.append(Card(label, _format_metric(found.metric, best.metric_value), detail))
        ratio = _ratio(found, fast)
        detail = f"{fast.candidate}, {fast.precision}"
        if ratio:
            detail += f": {1 / ratio:.2f}x the baseline's speed"
        cards.append(Card("fastest", format_ms(fast.measured.latency_ms or 0.0), detail))
    if found.lut:
        check = found.lut.check
        value = f"{check.mean_error:.1%}" if check else "not checked"
        detail = (
            f"mean error; Spearman {check.spearman:.3f} on {check.n_networks} held-out networks"
            if check
            else "run hot check-lut to see how far predictions can be trusted"
        )
        cards.append(Card("latency table", value, detail))
    if found.quality:
        table = found.quality
        detail = f"made in {table.seconds:.0f} s from {table.n_images:,} images"
        cards.append(Card("quality", table.scorer, detail if table.n_images else "counted"))
    if found.space:
        detail = f"architectures in {len(found.space.slots)} slots of {found.space.name}"
        cards.append(Card("search space", format_count(found.space.size), detail))
    return cards


def _warnings(found: Findings) -> list[str]:
    """What a reader must know before believing a number."""
    said = [f"{c.name}: {note}" for c in found.candidates for note in c.notes]
    if found.lut and not found.lut.check:
        said.append("The latency table was not checked on held-out networks: run hot check-lut.")
    for left in found.quality.left_out if found.quality else ():
        said.append(f"{left.choice} of {left.slot} could not be scored: {left.reason}")
    for d in found.deployments:
        name = f"{d.candidate} at {d.precision}"
        if d.measured.failure:
            said.append(f"{name} could not be measured: {d.measured.failure}")
        if not d.measured.is_steady:
            spread = f"{d.measured.spread:.0%}"
            said.append(f"{name}: the latency stayed unsteady (spread {spread}); measure again.")
        if d.device.kind != MEASURES:
            said.append(f"{name}: the latency on {d.device.name} is {d.device.kind}, not measured.")
    said += [f"{device.key}: {note}" for device in _all_devices(found) for note in device.notes]
    if found.candidates and not any(c.name == BASELINE for c in found.candidates):
        said.append("The run has no baseline, so no gain can be stated.")
    return list(dict.fromkeys(said))


def _rows(found: Findings) -> list[Row]:
    rows = []
    for candidate in found.candidates:
        deployments: list[Deployment | None] = [*found.deployments_of(candidate)] or [None]
        result = found.results.get(candidate.name)
        for index, d in enumerate(deployments):
            torch_metric = result.test_metric if result else None
            if d is not None:
                torch_metric = d.torch_metric_value
            ratio = _ratio(found, d) if d else None
            rows.append(
                Row(
                    candidate,
                    d,
                    index == 0,
                    len(deployments),
                    torch_metric,
                    ratio,
                    _proof(candidate),
                )
            )
    return rows


def _ratio(found: Findings, deployment: Deployment) -> float | None:
    """Latency over the baseline's at the same precision on the same device."""
    base = found.deployment_like(BASELINE, deployment)
    mine = deployment.measured.latency_ms
    if base is None or not base.measured.latency_ms or mine is None:
        return None
    return mine / base.measured.latency_ms


def _proof(candidate: Candidate) -> str:
    if candidate.name == BASELINE:
        return "original network"
    if candidate.is_proven:
        return f"proven rank {candidate.rank}"
    if candidate.value is None or candidate.bound is None:
        return "not proven"
    gap = abs(candidate.bound - candidate.value) / max(abs(candidate.value), 1e-12)
    return f"not proven: gap {gap:.2%}"


def _devices(found: Findings) -> list[DeviceInfo]:
    return list({device.key: device for device in _all_devices(found)}.values())


def _all_devices(found: Findings) -> list[DeviceInfo]:
    return [d.device for d in found.deployments] + ([found.lut.device] if found.lut else [])
