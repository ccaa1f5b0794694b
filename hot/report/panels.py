"""The panels of the page: which figure shows what, from where, and what to run for one missing."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hot.records import RESOURCE_LABELS, DeviceInfo, Front
from hot.report.figures import (
    front_figure,
    hpo_figure,
    noise_figure,
    pareto_figure,
    prediction_figure,
    training_figure,
)
from hot.report.gather import Findings
from hot.report.maps import lut_figure, slots_figure


@dataclass(frozen=True)
class Panel:
    """A section of the page around one figure.

    Attributes:
        image: the PNG as a data URI; None where the stage has not run.
        missing: what to run to get it.
        source: where the figures come from.
    """

    key: str
    title: str
    about: str
    missing: str
    source: str = ""
    image: str | None = None


def plan_panels(found: Findings) -> list[tuple[Panel, Callable[[Path], None] | None]]:
    """Every panel, with what draws it or None where its stage has not run."""
    measured = [d for d in found.deployments if d.measured.latency_ms is not None]
    space, table = found.space, found.table
    check = found.lut.check if found.lut else None
    results = [found.results[c.name] for c in found.candidates if c.name in found.results]
    networks = {c.name: a for c in found.candidates if (a := found.architecture(c)) is not None}
    marked = dict(list(networks.items())[:2])
    predicted = [d for d in measured if d.predicted_ms is not None]
    return [
        (
            Panel(
                "pareto",
                f"{found.metric.capitalize()} against latency",
                "Every deployed model on the device. The line is the front: nothing shown is both "
                "faster and better. Bars are the spread of the samples.",
                "No deployment has a latency yet: run hot deploy.",
                _device_source(found),
            ),
            partial(pareto_figure, measured) if measured else None,
        ),
        (
            Panel(
                "front",
                "What every budget buys",
                _about_front(found.front) if found.front else "",
                "No sweep yet: run hot autosearch with --sweep.",
                lut_source(found),
            ),
            partial(front_figure, found.front, found.candidates) if found.front else None,
        ),
        (
            Panel(
                "slots",
                "What was chosen",
                "The operator at every slot of every network: e is the expansion, k the kernel. "
                "Above each slot its output channels and input height.",
                "No candidates yet: run hot autosearch.",
            ),
            partial(slots_figure, space, networks) if space and networks else None,
        ),
        (
            Panel(
                "prediction",
                "Predicted against measured",
                "Whole networks that the table was not built from, and what was deployed. "
                "On the line a prediction is exact.",
                "Nothing to compare yet: run hot check-lut, or deploy at the table's precision.",
                lut_source(found),
            ),
            partial(prediction_figure, check, predicted) if check or predicted else None,
        ),
        (
            Panel(
                "lut",
                "The latency table",
                "What each choice costs at its slot, all repeated layers included. "
                "Empty where the choice is not legal.",
                "No latency table yet: run hot build-lut.",
                lut_source(found),
            ),
            partial(lut_figure, table, space, marked) if table and space else None,
        ),
        (
            Panel(
                "training",
                "Training",
                "The best trial of every candidate.",
                "Nothing trained yet: run hot train.",
                _training_source(found),
            ),
            partial(training_figure, results) if results else None,
        ),
        (
            Panel(
                "hpo",
                "Search for hyper-parameters",
                "Every finished trial.",
                "No trials yet: run hot train.",
                _training_source(found),
            ),
            partial(hpo_figure, found.trials, found.metric) if found.trials else None,
        ),
        (
            Panel(
                "noise",
                "What rounding does, layer by layer",
                "Signal-to-noise ratio of each layer's output against the fp32 model, on "
                "calibration images. 6 dB are one bit.",
                "No quantised deployment yet: run hot deploy --precision int8.",
                "computed by ONNX Runtime on the machine that deployed",
            ),
            partial(noise_figure, found.deployments)
            if any(d.layers for d in found.deployments)
            else None,
        ),
    ]


def _about_front(front: Front) -> str:
    which = "All architectures of most predicted quality within some budget"
    if front.step is not None:
        which = "The architectures of most predicted quality at budgets in equal steps"
    proof = "proven" if front.is_proven else "not proven: the time limit ended the sweep"
    label = RESOURCE_LABELS[front.resource]
    return f"{which} of {label}, {proof}, under {front.budget}. Predictions, not measurements."


def _device_source(found: Findings) -> str:
    """Device, kind, date and numbers of samples behind the measurements."""
    groups: dict[str, set[int]] = {}
    for d in found.deployments:
        made = found.made[d.candidate, d.precision]
        date = made.date[:10] if made else "date unknown"
        said = f"{d.device.kind} on {d.device.key}{_marks(d.device)}, {date}"
        groups.setdefault(said, set()).add(len(d.measured.samples_ms))
    return "; ".join(
        f"{said}, medians of {min(sizes)} to {max(sizes)} samples" if max(sizes) else said
        for said, sizes in groups.items()
    )


def lut_source(found: Findings) -> str:
    """Device, date and check of the latency table; empty without one."""
    if not found.lut:
        return ""
    lut = found.lut
    check = f"; checked: {lut.check}" if lut.check else "; not checked on held-out networks"
    return (
        f"{lut.device.kind} on {lut.device.key}, {lut.precision}, {lut.method}, "
        f"{lut.created or 'date unknown'}{check}{_marks(lut.device)}"
    )


def _marks(device: DeviceInfo) -> str:
    """How the device tells energy, and what must stand beside its figures."""
    energy = () if device.energy is None else (f"energy {device.energy}",)
    return "".join(f"; {mark}" for mark in (*energy, *device.notes))


def _training_source(found: Findings) -> str:
    results = found.results.values()
    if not results:
        return ""
    sizes = sorted({result.n_images for result in results})
    minutes = sum(result.seconds for result in results) / 60
    precisions = ", ".join(sorted({result.precision for result in results}))
    machine = found.provenance.machine if found.provenance else "machine unknown"
    return (
        f"{len(results)} best trials on {' or '.join(map(str, sizes))} training images each, "
        f"{minutes:.1f} min together, {precisions}; {machine}"
    )
