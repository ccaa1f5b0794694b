"""Layers of an ONNX artifact beside those of the fp32 model it was made from."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime

from hot.deploy.layers import Pair
from hot.errors import DeployError
from hot.export import load_model
from hot.export.onnx import INPUT
from hot.export.quantize import RUNTIME_ERRORS
from hot.records import Artifact

_NO_LAYERS = ("Constant", "Flatten")


def run_onnx(artifact: Artifact, images: Iterable[np.ndarray]) -> np.ndarray:
    """Outputs (N, ...) float32 of the artifact for normalised images, each (1, C, H, W) float32.

    Raises:
        DeployError: the runtime cannot run it.
    """
    session = _session(load_model(artifact.path), artifact)
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: image})[0] for image in images])


@dataclass(frozen=True)
class _Probe:
    """A layer of the quantised graph: its tensor there, the fp32 one, the layers it reads."""

    name: str
    tensor: str
    reference: str
    inputs: tuple[str, ...]


class OnnxLayers:
    """The layers that both graphs have, by node name; each after the activation it took over."""

    def __init__(self, reference: Artifact, quantised: Artifact) -> None:
        fp32, other = load_model(reference.path), load_model(quantised.path)
        self._input = fp32.graph.input[0].name
        probes = _probes(fp32.graph, other.graph)
        self.inputs = {probe.name: probe.inputs for probe in probes}
        self._wanted = _tensors(fp32, reference, [p.reference for p in probes])
        self._got = _tensors(other, quantised, [p.tensor for p in probes])

    def run(self, image: np.ndarray) -> Iterator[Pair]:
        """The outputs of every layer, in the order of `inputs`."""
        feed = {self._input: image}
        return zip(self._wanted.run(None, feed), self._got.run(None, feed), strict=True)


def _probes(fp32: onnx.GraphProto, other: onnx.GraphProto) -> list[_Probe]:
    """The layers both graphs have, by node name."""
    matches = {n.name: n for n in fp32.node if n.op_type not in _NO_LAYERS}
    kept = {node.name for node in other.node}
    fp32_readers, readers = _readers(fp32), _readers(other)
    maker = {name: node for node in other.node for name in node.output}
    probes = []
    for node in other.node:
        if node.name not in matches:
            continue
        reference = matches[node.name].output[0]
        while len(after := fp32_readers.get(reference, [])) == 1 and after[0].name not in kept:
            reference = after[0].output[0]  # an activation that the rounding took over
        tensor = _rounded(node.output[0], readers)
        sources = [_source(name, maker, matches) for name in node.input]
        known = tuple(name for name in sources if name in matches or name == INPUT)
        probes.append(_Probe(node.name, tensor, reference, known))
    return probes


def _readers(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    """The nodes that read each tensor."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    return readers


def _source(
    tensor: str, maker: dict[str, onnx.NodeProto], layers: dict[str, onnx.NodeProto]
) -> str:
    """The layer whose output `tensor` is, conversions aside; of an input or a weight, its name."""
    while tensor in maker and maker[tensor].name not in layers and maker[tensor].input:
        tensor = maker[tensor].input[0]
    return maker[tensor].name if tensor in maker else tensor


def _rounded(tensor: str, readers: dict[str, list[onnx.NodeProto]]) -> str:
    """The tensor after its QuantizeLinear and DequantizeLinear, where it has them."""
    for kind in ("QuantizeLinear", "DequantizeLinear"):
        step = next((node for node in readers.get(tensor, ()) if node.op_type == kind), None)
        if step is None:
            return tensor
        tensor = step.output[0]
    return tensor


def _tensors(
    model: onnx.ModelProto, artifact: Artifact, names: Sequence[str]
) -> onnxruntime.InferenceSession:
    """A session whose outputs are the tensors `names`."""
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return _session(model, artifact)


def _session(model: onnx.ModelProto, artifact: Artifact) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except RUNTIME_ERRORS as error:
        reason = str(error).strip().splitlines()[0]
        raise DeployError(f"ONNX Runtime cannot run {artifact.path}: {reason}") from error
