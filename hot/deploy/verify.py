"""Does an artifact do what its torch model does, and if not, from which layer on."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from hot.errors import DeployError
from hot.export import load_model
from hot.export.onnx import INPUT
from hot.export.quantize import RUNTIME_ERRORS
from hot.records import Artifact, LayerNoise

MOST_DB = 200.0  # stands for no noise at all: JSON has no infinity, float64 keeps some 300 dB
PARITY = 1e-4  # of the largest score, or of 1 where all are smaller
_NO_LAYERS = ("Constant", "Flatten")
# The ratio of a value that is rounded once to b bits: 6.02 dB a bit of the weights.
ROUNDING_DB = {"int8": 6.02 * 8, "int16": 6.02 * 8, "fp16": 6.02 * 11}


def run_artifact(artifact: Artifact, images: Iterable[np.ndarray]) -> np.ndarray:
    """Outputs (N, ...) float32 of the artifact for normalised images, each (1, C, H, W) float32.

    Raises:
        DeployError: the runtime cannot run it.
    """
    session = _session(load_model(artifact.path), artifact)
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: image})[0] for image in images])


def run_module(module: nn.Module, images: np.ndarray, batch: int = 256) -> np.ndarray:
    """Outputs (N, ...) float32 of a torch module in evaluation mode for images (N, C, H, W)."""
    module.eval()
    with torch.inference_mode():
        parts = [
            module(torch.from_numpy(images[start : start + batch])).float().numpy()
            for start in range(0, len(images), batch)
        ]
    return np.concatenate(parts)


def check_parity(artifact: Artifact, wanted: np.ndarray, got: np.ndarray) -> float:
    """The largest difference of two outputs; an fp32 artifact must agree with its torch model.

    Raises:
        DeployError: it is larger than rounding explains.
    """
    difference = float(np.abs(wanted - got).max())
    limit = PARITY * max(1.0, float(np.abs(wanted).max()))
    if not difference <= limit:
        raise DeployError(
            f"the exported model {artifact.path.name} does not agree with its torch model: outputs "
            f"differ by {difference:.3g}, allowed is {limit:.3g}; check custom layers for what "
            "the export cannot see (branches on values, state)"
        )
    return difference


@dataclass(frozen=True)
class _Probe:
    """A layer of the quantised graph: its tensor there, the fp32 one, the layers it reads."""

    name: str
    tensor: str
    reference: str
    inputs: tuple[str, ...]


def layer_noise(
    reference: Artifact, quantised: Artifact, images: Sequence[np.ndarray]
) -> tuple[tuple[LayerNoise, ...], str | None]:
    """Signal-to-noise ratio of every layer of `quantised`, in graph order, and the weakest layer.

    The ratio compares the layer's output, after its rounding and with the activation that became
    part of it, with the same tensor of the fp32 model: 10 log10(sum x^2 / sum (x - q)^2) over all
    images. The weakest layer is the one whose ratio lies furthest below that of its worst input;
    None where no layer rounds. The network's input counts as rounded once, to the bits of the
    weights: measured, it is nearly free of noise, and the first layer would always be the weakest.

    Args:
        images: normalised, each (1, C, H, W) float32.
    """
    fp32, other = load_model(reference.path), load_model(quantised.path)
    start = fp32.graph.input[0].name
    probes = _probes(fp32.graph, other.graph)
    wanted = _tensors(fp32, reference, [p.reference for p in probes])
    got = _tensors(other, quantised, [p.tensor for p in probes])
    signal, noise = np.zeros(len(probes)), np.zeros(len(probes))
    for image in images:
        pairs = zip(wanted.run(None, {start: image}), got.run(None, {start: image}), strict=True)
        for index, (x, q) in enumerate(pairs):
            x64, q64 = np.asarray(x, np.float64), np.asarray(q, np.float64)
            signal[index] += (x64**2).sum()
            noise[index] += ((x64 - q64) ** 2).sum()
    layers = tuple(
        LayerNoise(p.name, snr_db(s, n)) for p, s, n in zip(probes, signal, noise, strict=True)
    )
    ratio_db = {layer.layer: layer.snr_db for layer in layers}
    if quantised.precision in ROUNDING_DB:
        ratio_db[INPUT] = ROUNDING_DB[quantised.precision]
    return layers, weakest_layer({p.name: p.inputs for p in probes}, ratio_db)


def weakest_layer(inputs: dict[str, tuple[str, ...]], ratio_db: dict[str, float]) -> str | None:
    """The layer whose ratio lies furthest below that of its worst input; None where none falls.

    Args:
        inputs: of every layer, the layers it reads.
        ratio_db: the ratio of every layer, and of the network's input.
    """
    falls_db = {
        layer: min(ratio_db[name] for name in known) - ratio_db[layer]
        for layer, names in inputs.items()
        if (known := [name for name in names if name in ratio_db])
    }
    worst = max(falls_db, key=falls_db.__getitem__, default=None)
    return worst if worst is not None and falls_db[worst] > 0 else None


def snr_db(signal: float, noise: float) -> float:
    """10 log10(signal / noise), within -200 and 200 dB.

    >>> snr_db(100.0, 1.0), snr_db(1.0, 0.0), snr_db(0.0, 0.0)
    (20.0, 200.0, 200.0)
    """
    if noise <= 0:
        return MOST_DB
    if signal <= 0:
        return -MOST_DB
    return float(np.clip(10 * math.log10(signal / noise), -MOST_DB, MOST_DB))


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
