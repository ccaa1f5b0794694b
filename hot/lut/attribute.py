"""Node times of a whole network, attributed to its parts by name."""

from collections.abc import Sequence
from dataclasses import dataclass

from hot.records import NodeTime, part_of

_PREPARES_NEXT = "ReorderInput"


@dataclass(frozen=True)
class PartTime:
    """What the profiler saw of one part of a network.

    Attributes:
        part: `stem`, `<slot>.<layer>` or `head`.
        work_key: the LUT entry that the part is.
        latency_ms: sum over its nodes.
        n_nodes: how many nodes it has in the optimised graph.
    """

    part: str
    work_key: str
    latency_ms: float
    n_nodes: int


def attribute(
    nodes: Sequence[NodeTime], parts: Sequence[tuple[str, str]]
) -> tuple[tuple[PartTime, ...], float]:
    """The time of every part, and the share of node time whose name told no part.

    Nodes that the runtime puts in itself (layout reorders, transposes, casts) often have no part in
    their name. A `ReorderInput` counts to the node after it, for which it prepares the map; any
    other to the node before it, whose output it converts.

    Args:
        parts: part to work key, in the order of execution.
    """
    times = {part: 0.0 for part, _ in parts}
    counts = dict.fromkeys(times, 0)
    here, unnamed = parts[0][0], 0.0
    waiting: list[NodeTime] = []
    for node in nodes:
        part = _find_part(node.name)
        if part in times:
            here = part
        else:
            unnamed += node.latency_ms
            if node.operator == _PREPARES_NEXT:
                waiting.append(node)
                continue
        for one in (*waiting, node):
            times[here] += one.latency_ms
            counts[here] += 1
        waiting.clear()
    for one in waiting:
        times[here] += one.latency_ms
        counts[here] += 1
    total = sum(times.values())
    rows = tuple(PartTime(part, key, times[part], counts[part]) for part, key in parts)
    return rows, unnamed / total if total > 0 else 0.0


def _find_part(name: str) -> str | None:
    """The part in a name, also where the runtime put a prefix before the node's path."""
    start = name.find("/")
    return part_of(name[start:]) if start >= 0 else None
