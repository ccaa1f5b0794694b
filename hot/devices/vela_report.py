"""What Vela reports of a compiled model, as a measurement."""

import re
from typing import Any

from hot.records import Measurement, NodeTime

_CPU = "Passthrough"  # what Vela calls an operator that it leaves to the host
_REASON = re.compile(r"ofm: '(?P<tensor>.*)'\s*\nReason: (?P<reason>[^(\n]*)")
_MOST_NAMED = 5
# Vela's memories to the names of the counters; the accelerator's own buffers are part of it.
_MEMORIES = {
    "Sram": "sram",
    "Dram": "dram",
    "OnChipFlash": "flash",
    "OffChipFlash": "flash",
}


def to_measurement(
    report: dict[str, Any], said: str, clock_hz: float, per_node: bool, label: str
) -> Measurement:
    """The measurement that a report of the worker stands for.

    An operator that Vela leaves to the host costs no cycles in its estimate, so a model that has
    one is a failure.

    Args:
        said: what Vela printed, where it gives the reasons of what it leaves to the host.
        label: of the model, for the failure.
    """
    left = _left_to_host(report, said)
    if left or report["cpu_ops"]:
        return Measurement(None, failure=f"{label}: {_failure(left, report['cpu_ops'])}")
    cycles = report["cycles"]
    if cycles <= 0:
        return Measurement(None, failure=f"{label} holds no operator that the NPU runs")
    counters = _counters(report)
    return Measurement(
        latency_ms=1e3 * cycles / clock_hz,
        peak_memory_bytes=sum(counters[f"{name}_bytes"] for name in ("sram", "flash", "dram")),
        nodes=_nodes(report, clock_hz) if per_node else (),
        counters=counters,
    )


def _counters(report: dict[str, Any]) -> dict[str, int]:
    """Cycles, operations, and of every memory its peak and its traffic, in bytes.

    Where weights lie in the SRAM, Vela counts them to its peak, and so does `sram_bytes`.
    """
    counters = {
        "cycles": report["cycles"],
        "npu_cycles": report["npu_cycles"],
        "macs": report["macs"],
        "npu_ops": report["npu_ops"],
        "weight_bytes": report["weight_bytes"],
        "encoded_weight_bytes": report["encoded_weight_bytes"],
    }
    for name in ("sram", "flash", "dram"):
        counters |= {f"{name}_bytes": 0, f"{name}_traffic_bytes": 0}
    for memory, figures in report["memories"].items():
        if memory in _MEMORIES:
            counters[f"{_MEMORIES[memory]}_bytes"] += figures["peak_bytes"]
            counters[f"{_MEMORIES[memory]}_traffic_bytes"] += figures["traffic_bytes"]
    return counters


def _nodes(report: dict[str, Any], clock_hz: float) -> tuple[NodeTime, ...]:
    """The rows in the order of execution; what was merged into another row costs nothing itself."""
    return tuple(
        NodeTime(row["name"], row["operator"], 1e3 * int(row["op_cycles"]) / clock_hz)
        for row in report["rows"]
    )


def _left_to_host(report: dict[str, Any], said: str) -> list[str]:
    """The operators that Vela leaves to the host, each with its tensor and the reason."""
    operators = {row["id"]: row["operator"] for row in report["source"]}
    reasons = {m["tensor"]: m["reason"].strip() for m in _REASON.finditer(said)}
    found = []
    for row in report["rows"]:
        if row["operator"] != _CPU:
            continue
        reason = reasons.get(row["name"])
        name = f"{operators.get(row['source_id'], 'an operator')} {_short(row['name'])!r}"
        found.append(f"{name} ({reason})" if reason else name)
    return found


def _failure(left: list[str], n_left: int) -> str:
    named = ", ".join(left[:_MOST_NAMED]) or "operators it does not name"
    more = f" and {len(left) - _MOST_NAMED} more" if len(left) > _MOST_NAMED else ""
    return (
        f"{max(n_left, len(left))} operators would run on the host, for which Vela counts nothing: "
        f"{named}{more}; give a model that is int8 throughout, of operators that Vela maps"
    )


def _short(name: str) -> str:
    """A tensor's name without what the converter joined to it."""
    first = name.split(";")[0]
    return first if len(first) <= 80 else f"...{first[-77:]}"
