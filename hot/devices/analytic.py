"""A device that is estimated: the roofline of counts of every node."""

import hashlib
import json
from collections.abc import Sequence

import onnx

from hot.devices.contract import Settings
from hot.devices.description import description_files, load_description
from hot.devices.energy import MODELLED_ENERGY
from hot.devices.roofline import NodeCounts, count_nodes
from hot.records import ESTIMATES, Artifact, DeviceInfo, Measurement, NodeTime
from hot.units import format_bytes

__all__ = ["Analytic", "description_files"]

_EXTERNAL = "external memory counts as fast as the chip's own"


class Analytic:
    """Estimates from a description: each node takes as long as its arithmetic or its traffic does.

    Assumption: a node is bound by either its multiply-accumulates or its bytes, and every kind of
    layer reaches the same share of the peak; depthwise layers, which reuse little, are often slower
    on real kernels than this says.

    References:
        Williams, Waterman and Patterson, Roofline: an insightful visual performance model for
        multicore architectures, 2009.
    """

    def __init__(self, description: str = "reference", external_memory: bool = False) -> None:
        """Use the description of that name, or the one in the file at that path.

        Args:
            external_memory: what does not fit the memories of the description lies outside, and
                counts as if it were as fast there; without it, such a model does not run.
        """
        self._description = load_description(description)
        self._is_unlimited = external_memory

    def describe(self) -> DeviceInfo:
        """The device; the digest of its constants is in the fingerprint."""
        text = json.dumps(self._description.model_dump(mode="json"), sort_keys=True)
        fingerprint = {
            "model": "roofline 1",
            "description": self._description.name,
            "constants": hashlib.sha256(text.encode()).hexdigest()[:16],
            "onnx": onnx.__version__,
        }
        if self._is_unlimited:
            fingerprint["external_memory"] = "on"
        precisions = tuple(str(name) for name in self._description.macs_per_s)
        notes = (_EXTERNAL,) if self._is_unlimited else ()
        return DeviceInfo(
            self._description.name,
            ESTIMATES,
            precisions,
            fingerprint,
            energy=None if self._description.power_mw is None else MODELLED_ENERGY,
            notes=notes,
        )

    def measure(self, artifact: Artifact, settings: Settings) -> Measurement:
        """The estimate of one artifact; it needs no settings but `per_node`."""
        if artifact.precision not in self._description.macs_per_s:
            known = ", ".join(self._description.macs_per_s)
            return Measurement(
                None,
                failure=f"{self._description.name} runs {known}, not {artifact.precision}",
            )
        try:
            counts = count_nodes(artifact.path, artifact.precision)
        except (ValueError, OSError) as error:
            return Measurement(None, failure=str(error))
        weight_bytes = sum(node.weight_bytes for node in counts)
        map_bytes = max(node.map_bytes for node in counts)
        misfit = self._misfit(weight_bytes, map_bytes)
        if misfit is not None:
            return Measurement(None, failure=misfit)
        nodes = tuple(
            NodeTime(node.name, node.operator, self._node_ms(node, artifact.precision))
            for node in counts
        )
        latency_ms = sum(node.latency_ms for node in nodes)
        power = self._description.power_mw
        return Measurement(
            latency_ms=latency_ms,
            peak_memory_bytes=weight_bytes + map_bytes,
            energy_mj=None if power is None else power.value * latency_ms / 1e3,
            nodes=nodes if settings.per_node else (),
        )

    def measure_all(self, artifacts: Sequence[Artifact], settings: Settings) -> list[Measurement]:
        """The estimates of all artifacts."""
        return [self.measure(artifact, settings) for artifact in artifacts]

    def _node_ms(self, node: NodeCounts, precision: str) -> float:
        """max(MACs / peak, bytes / bandwidth) + constant."""
        description = self._description
        overhead = description.node_overhead_us
        arithmetic_s = node.macs / description.macs_per_s[precision].value  # type: ignore[index]
        traffic_s = (node.weight_bytes + node.map_bytes) / description.bytes_per_s.value
        constant_s = overhead.value / 1e6 if overhead is not None else 0.0
        return 1e3 * (max(arithmetic_s, traffic_s) + constant_s)

    def _misfit(self, weight_bytes: int, map_bytes: int) -> str | None:
        """Why the model does not fit the memory, or None."""
        description = self._description
        if self._is_unlimited:
            return None
        for what, need, limit in (
            ("weights", weight_bytes, description.weight_capacity_bytes),
            ("maps of one layer", map_bytes, description.activation_capacity_bytes),
        ):
            if limit is not None and need > limit.value:
                return (
                    f"the model does not fit {description.name}: its {what} take "
                    f"{format_bytes(need)}, the limit is {format_bytes(limit.value)}"
                )
        return None
