"""What commands show: documents for machines, and how a person reads them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from hot.devices import device_options, known_devices
from hot.records import (
    RESOURCE_LABELS,
    Candidate,
    CheckResult,
    Deployment,
    Front,
    Lut,
    RunFolder,
    format_resource,
    from_document,
    to_document,
)
from hot.report import gather
from hot.space import Space, SpaceSpec, describe_space, load_spec, space_files
from hot.units import format_bytes, format_count, format_ms

Document = dict[str, Any]
_SHOWN_POINTS = 16
out = Console(highlight=False, soft_wrap=True)


def draw_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on stdout, wide where that is no terminal."""
    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    (out if out.is_terminal else Console(highlight=False, width=200)).print(table)


# Devices and spaces ------------------------------------------------------------------------------


def list_devices() -> Document:
    """All known devices: what each does, its options, and what it lacks to be usable here."""
    return {
        "devices": [
            {
                "name": name,
                "kind": row.kind,
                "meaning": row.meaning,
                "missing": row.missing(),
                "options": device_options(row.make),
            }
            for name, row in known_devices().items()
        ]
    }


def draw_devices(document: Document) -> None:
    """A table of `list_devices`, and how to get what is missing."""
    rows = [
        (
            d["name"],
            d["kind"],
            "yes" if d["missing"] is None else "no",
            ", ".join(f"{key}={_option(value)}" for key, value in d["options"].items()),
            d["meaning"],
        )
        for d in document["devices"]
    ]
    columns = ("device", "its figures are", "usable here", "options", "what it is")
    draw_table(columns, rows)
    for missing, names in _group_missing(document["devices"]).items():
        out.print(f"{', '.join(names)}: {missing}", markup=False)


def _group_missing(devices: Sequence[Document]) -> dict[str, list[str]]:
    """The names of the devices that lack the same, by what they lack."""
    found: dict[str, list[str]] = {}
    for device in devices:
        if device["missing"] is not None:
            found.setdefault(device["missing"], []).append(device["name"])
    return found


def _option(value: object) -> str:
    return ("off", "on")[value] if isinstance(value, bool) else str(value)


def list_spaces() -> Document:
    """All spaces that ship with hot."""
    specs = [SpaceSpec(name) for name in space_files()]
    return {"spaces": [_describe(spec, load_spec(spec)) for spec in specs]}


def show_space(spec: SpaceSpec) -> Document:
    """One space with its slots and their choices."""
    space = load_spec(spec)
    slots = [
        {
            "slot": slot.name,
            "input": str(slot.layers[0].input),
            "output_channels": slot.layers[0].out_channels,
            "stride": slot.layers[0].stride,
            "layers": len(slot.layers),
            "original": slot.original.key,
            "choices": list(slot.keys),
        }
        for slot in space.slots
    ]
    return {**_describe(spec, space), "slots": slots}


def _describe(spec: SpaceSpec, space: Space) -> Document:
    if space.backbone is None:
        description, widths = describe_space(spec.name)
    else:
        description, widths = f"the blocks of {spec.name}", [1.0]
    counts = space.counts(space.original)
    return {
        "name": spec.name,
        "key": space.key,
        "description": description,
        "widths": widths,
        "resolution": space.resolution,
        "n_slots": len(space.slots),
        "size": space.size,
        "macs_range": list(space.macs_range()),
        "original": {
            "architecture": space.original.key,
            "macs": counts.macs,
            "params": counts.params,
            "weight_bytes_fp32": counts.weight_bytes("fp32"),
            "peak_activation_bytes_fp32": counts.activation_bytes("fp32"),
        },
    }


def _range(values: Sequence[int]) -> str:
    return " .. ".join(map(format_count, values))


def draw_spaces(document: Document) -> None:
    """A table of `list_spaces`."""
    rows = [
        (
            space["name"],
            f"{space['size']:,}",
            str(space["n_slots"]),
            str(space["resolution"]),
            _range(space["macs_range"]),
            format_count(space["original"]["macs"]),
            ", ".join(f"{width:g}" for width in space["widths"]),
            space["description"],
        )
        for space in document["spaces"]
    ]
    columns = ("space", "size", "slots", "pixels", "MACs", "original", "widths", "what it is")
    draw_table(columns, rows)


def draw_space(document: Document) -> None:
    """`show_space` as a head and a table of slots."""
    original = document["original"]
    out.print(f"{document['name']}: {document['description']}")
    out.print(f"{document['size']:,} architectures, {_range(document['macs_range'])} MACs")
    out.print(
        f"original: {format_count(original['macs'])} MACs, "
        f"{format_count(original['params'])} parameters, "
        f"{format_bytes(original['weight_bytes_fp32'])} weights and "
        f"{format_bytes(original['peak_activation_bytes_fp32'])} peak activations in fp32"
    )
    rows = [
        (
            slot["slot"],
            slot["input"],
            f"{slot['output_channels']} /{slot['stride']}",
            str(slot["layers"]),
            slot["original"],
            " ".join(slot["choices"]),
        )
        for slot in document["slots"]
    ]
    draw_table(("slot", "input", "out /stride", "layers", "original", "choices"), rows)


# Look-up tables ----------------------------------------------------------------------------------


def describe_lut(lut: Lut) -> Document:
    """What a LUT is, without its entries."""
    return {
        "space": lut.space,
        "device": to_document(lut.device),
        "precision": lut.precision,
        "resolution": lut.resolution,
        "method": lut.method,
        "created": lut.created,
        "n_entries": len(lut.entries),
        "check": to_document(lut.check) if lut.check else None,
    }


def draw_lut(document: Document) -> None:
    """`describe_lut` in a few lines."""
    device, check = document["device"], document["check"]
    out.print(
        f"LUT of {document['space']} on {device['name']} ({device['kind']}), "
        f"{document['precision']}, {document['method']}: {document['n_entries']} entries, "
        f"{document['created']}"
    )
    out.print("  " + ", ".join(f"{k} {v}" for k, v in device["fingerprint"].items()))
    out.print(f"  check: {_check_line(check)}")
    draw_marks(device)
    if "file" in document:
        out.print(f"  written to {document['file']}")


def draw_marks(device: Document) -> None:
    """What a reader of a device's figures must know: how energy is told, and its notes."""
    if device["energy"] is not None:
        out.print(f"energy on {device['name']}: {device['energy']}")
    for note in device["notes"]:
        out.print(f"note: {device['name']}: {note}", markup=False)


def _check_line(check: Document | None) -> str:
    if check is None:
        return "none yet: hot check-lut measures how well it predicts"
    return str(from_document(check, CheckResult, "the check of the LUT"))


# Candidates and runs -----------------------------------------------------------------------------


def list_candidates(
    lut: Lut, candidates: Sequence[Candidate], front: Front | None = None
) -> Document:
    """Picks and baseline with their predictions, what these rest on, and the front if there is."""
    return {
        "lut": describe_lut(lut),
        "candidates": [to_document(candidate) for candidate in candidates],
        "front": None if front is None else to_document(front),
    }


def draw_candidates(document: Document) -> None:
    """A table of `list_candidates`."""
    rows, notes = [], []
    for candidate in document["candidates"]:
        predicted = candidate["predicted"]
        latency, energy = predicted["latency_ms"], predicted["energy_mj"]
        rows.append(
            (
                candidate["name"],
                "-" if latency is None else format_ms(latency),
                "-" if energy is None else f"{energy:.3g} mJ",
                format_count(predicted["macs"]),
                format_count(predicted["params"]),
                format_bytes(predicted["weight_bytes"]),
                format_bytes(predicted["activation_bytes"]),
                _score(predicted["quality"]),
                "yes" if candidate["is_proven"] else "-",
                candidate["architecture"],
            )
        )
        notes += [f"{candidate['name']} {note}" for note in candidate["notes"]]
    columns = ("candidate", "latency", "energy", "MACs", "params", "weights", "activations")
    draw_table((*columns, "quality", "proven", "architecture"), rows)
    for note in notes:
        out.print(f"note: {note}")
    if document["front"] is not None:
        _draw_front(document["front"])
    lut = document["lut"]
    out.print(
        f"predictions: LUT on {lut['device']['name']} ({lut['device']['kind']}), "
        f"{_check_line(lut['check'])}"
    )
    draw_marks(lut["device"])


def _score(quality: float | None) -> str:
    if quality is None:
        return "-"
    return format_count(quality) if quality >= 1000 else f"{quality:.4g}"


def _draw_front(front: Document) -> None:
    """The points of a front, of many an even selection."""
    resource, points = front["resource"], front["points"]
    picked = sorted({round(i) for i in np.linspace(0, len(points) - 1, _SHOWN_POINTS)})
    rows = [
        (
            format_resource(resource, point["amount"]),
            _score(point["value"]),
            format_count(point["predicted"]["macs"]),
            format_count(point["predicted"]["params"]),
            point["architecture"],
        )
        for point in (points[i] for i in picked)
    ]
    label = RESOURCE_LABELS[resource]
    draw_table((label, f"quality ({front['scorer']})", "MACs", "params", "architecture"), rows)
    out.print(
        f"front: {len(points)} points by {label}, "
        f"{'proven' if front['is_proven'] else 'not proven'}, {front['seconds']:.2f} s"
        + ("" if front["step"] is None else f", at steps of {front['step']:.4g}")
        + ("; --json tells all" if len(picked) < len(points) else "")
    )


def summarise(run: RunFolder) -> Document:
    """Every candidate of a run: predicted, trained, deployed."""
    findings = gather(run)
    page = run.file("report", "index.html")
    rows = []
    for candidate in findings.candidates:
        result = findings.results.get(candidate.name)
        rows.append(
            {
                **to_document(candidate),
                "trained": None
                if result is None
                else {
                    "metric": result.metric,
                    "val_metric": result.val_metric,
                    "test_metric": result.test_metric,
                    "trial": result.trial,
                    "learning_rate": result.recipe.learning_rate,
                    "optimizer": result.recipe.optimizer,
                    "weight_decay": result.recipe.weight_decay,
                },
                "deployments": [_deployment(d) for d in findings.deployments_of(candidate)],
            }
        )
    return {
        "run": str(run.path),
        "lut": describe_lut(findings.lut) if findings.lut else None,
        "candidates": rows,
        "report": str(page) if page.is_file() else None,
    }


def _deployment(deployment: Deployment) -> Document:
    return {
        "precision": deployment.precision,
        "device": deployment.device.name,
        "bundle": deployment.bundle,
        "file_bytes": deployment.file_bytes,
        "metric": deployment.metric,
        "metric_value": deployment.metric_value,
        "predicted_ms": deployment.predicted_ms,
        "measured_ms": deployment.measured.latency_ms,
        "failure": deployment.measured.failure,
        "energy_mj": deployment.measured.energy_mj,
        "energy": deployment.device.energy,
        "notes": list(deployment.device.notes),
        "peak_memory_bytes": deployment.measured.peak_memory_bytes,
        "weakest_layer": deployment.weakest_layer,
    }


def draw_summary(document: Document) -> None:
    """A table of `summarise`."""
    rows, notes = [], []
    for candidate in document["candidates"]:
        trained = candidate["trained"]
        first = (
            candidate["name"],
            format_count(candidate["predicted"]["macs"]),
            format_count(candidate["predicted"]["params"]),
            "-" if trained is None else f"{trained['test_metric']:.2%}",
            "-" if trained is None else _best_trial(trained),
        )
        deployed = [_deployment_cells(d) for d in candidate["deployments"]]
        for index, cells in enumerate(deployed or [("-",) * 7]):
            rows.append((*(first if index == 0 else ("",) * 5), *cells))
        notes += [f"{candidate['name']} {note}" for note in candidate["notes"]]
        notes += [f"{d['device']}: {note}" for d in candidate["deployments"] for note in d["notes"]]
    columns = ("candidate", "MACs", "params", "trained", "best trial", "deployed", "accuracy")
    draw_table((*columns, "predicted", "measured", "energy", "file", "peak memory"), rows)
    for note in dict.fromkeys(notes):
        out.print(f"note: {note}", markup=False)
    if document["lut"] is not None:
        out.print(f"predictions: {_check_line(document['lut']['check'])}")
    out.print(f"run: {document['run']}")
    if document["report"] is not None:
        out.print(f"report: {document['report']}")


def _best_trial(trained: Document) -> str:
    return f"{trained['trial']}: {trained['optimizer']}, rate {trained['learning_rate']:.3g}"


def _deployment_cells(deployment: Document) -> tuple[str, ...]:
    memory, energy = deployment["peak_memory_bytes"], deployment["energy_mj"]
    predicted, measured = deployment["predicted_ms"], deployment["measured_ms"]
    return (
        f"{deployment['precision']} on {deployment['device']}",
        f"{deployment['metric_value']:.2%}",
        "-" if predicted is None else format_ms(predicted),
        deployment["failure"] or format_ms(measured),
        "-" if energy is None else f"{energy:.3g} mJ {deployment['energy'] or ''}".strip(),
        format_bytes(deployment["file_bytes"]),
        "-" if memory is None else format_bytes(memory),
    )
