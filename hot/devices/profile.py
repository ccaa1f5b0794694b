"""Per-node times from the profile that ONNX Runtime writes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hot.devices.robust import midmean
from hot.records import NodeTime

_SUFFIX = "_kernel_time"


def read_profile(path: Path, kept: Sequence[int]) -> tuple[NodeTime, ...]:
    """The time of every node in execution order, over the runs numbered `kept`.

    Raises:
        ValueError: the runs do not all hold the same nodes, so this is no sequential session.
    """
    runs = _split_runs(json.loads(path.read_text(encoding="utf-8")))
    chosen = [runs[index] for index in kept]
    names = [event["name"] for event in chosen[0]]
    if any([event["name"] for event in run] != names for run in chosen):
        raise ValueError(f"the runs in {path} differ in their nodes")
    times = np.array([[event["dur"] for event in run] for run in chosen], dtype=float) / 1e3
    return tuple(
        NodeTime(
            event["name"].removesuffix(_SUFFIX),
            event.get("args", {}).get("op_name", ""),
            midmean(times[:, index]),
        )
        for index, event in enumerate(chosen[0])
    )


def _split_runs(events: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The node events of each run: those that lie inside its `model_run` event."""
    nodes = sorted((e for e in events if e.get("cat") == "Node"), key=lambda e: e["ts"])
    nodes = [e for e in nodes if e["name"].endswith(_SUFFIX)]
    marks = [e for e in events if e.get("name") == "model_run"]
    starts = np.array(sorted(e["ts"] for e in marks), dtype=float)
    runs: list[list[dict[str, Any]]] = [[] for _ in starts]
    for event in nodes:
        runs[int(np.searchsorted(starts, event["ts"], side="right")) - 1].append(event)
    return runs
