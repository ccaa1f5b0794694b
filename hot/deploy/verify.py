"""Does an artifact do what its torch model does, and if not, from which layer on."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from hot.deploy.layers import LayerPairs
from hot.deploy.layers_onnx import OnnxLayers, run_onnx
from hot.deploy.layers_tflite import TfliteLayers, run_tflite
from hot.errors import DeployError
from hot.export.onnx import INPUT
from hot.records import Artifact, LayerNoise

MOST_DB = 200.0  # stands for no noise at all: JSON has no infinity, float64 keeps some 300 dB
PARITY = 1e-4  # of the largest score, or of 1 where all are smaller
# The ratio of a value that is rounded once to b bits: 6.02 dB a bit of the weights.
ROUNDING_DB = {"int8": 6.02 * 8, "int16": 6.02 * 8, "fp16": 6.02 * 11}


@dataclass(frozen=True)
class Verifier:
    """How the artifacts of one format are run and looked into."""

    run: Callable[[Artifact, Iterable[np.ndarray]], np.ndarray]
    layers: Callable[[Artifact, Artifact], LayerPairs]


VERIFIERS: dict[str, Verifier] = {
    "onnx": Verifier(run_onnx, OnnxLayers),
    "tflite": Verifier(run_tflite, TfliteLayers),
}


def run_artifact(artifact: Artifact, images: Iterable[np.ndarray]) -> np.ndarray:
    """Outputs (N, ...) float32 of the artifact for normalised images, each (1, C, H, W) float32.

    Raises:
        InputError: there is no such file, or it is damaged.
        DeployError: the runtime cannot run it.
    """
    return VERIFIERS[artifact.format].run(artifact, images)


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
    pairs = VERIFIERS[quantised.format].layers(reference, quantised)
    signal, noise = np.zeros(len(pairs.inputs)), np.zeros(len(pairs.inputs))
    for image in images:
        for index, (x, q) in enumerate(pairs.run(image)):
            x64, q64 = np.asarray(x, np.float64), np.asarray(q, np.float64)
            signal[index] += (x64**2).sum()
            noise[index] += ((x64 - q64) ** 2).sum()
    layers = tuple(
        LayerNoise(name, snr_db(s, n))
        for name, s, n in zip(pairs.inputs, signal, noise, strict=True)
    )
    ratio_db = {layer.layer: layer.snr_db for layer in layers}
    if quantised.precision in ROUNDING_DB:
        ratio_db[INPUT] = ROUNDING_DB[quantised.precision]
    return layers, weakest_layer(pairs.inputs, ratio_db)


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
