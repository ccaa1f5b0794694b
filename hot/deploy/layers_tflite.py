"""Layers of a TFLite artifact beside those of the fp32 model it was made from."""

from collections.abc import Iterable, Iterator

import numpy as np

from hot.deploy.layers import Pair
from hot.export import TfliteModel
from hot.export.onnx import INPUT
from hot.records import Artifact

_NO_LAYERS = ("RESHAPE", "TRANSPOSE", "PAD", "QUANTIZE", "DEQUANTIZE")


def run_tflite(artifact: Artifact, images: Iterable[np.ndarray]) -> np.ndarray:
    """Outputs (N, ...) float32 of the artifact for normalised images, each (1, C, H, W) float32.

    Raises:
        DeployError: the runtime cannot run it.
    """
    return TfliteModel(artifact).run_all(images)


class TfliteLayers:
    """The layers that both graphs have, by the tensor they write."""

    def __init__(self, reference: Artifact, quantised: Artifact) -> None:
        self._wanted = TfliteModel(reference, keeps_tensors=True)
        self._got = TfliteModel(quantised, keeps_tensors=True)
        sources = self._got.graph()
        wanted = self._wanted.graph()
        self._layers = [
            name
            for name in sources
            if name in wanted and name.rpartition("/")[2].partition(".")[0] not in _NO_LAYERS
        ]
        known = {*self._layers, INPUT}
        self.inputs = {name: tuple(_real(name, sources, known)) for name in self._layers}

    def run(self, image: np.ndarray) -> Iterator[Pair]:
        """The outputs of every layer, in the order of `inputs`."""
        self._wanted.run(image)
        self._got.run(image)
        return ((self._wanted.tensor(name), self._got.tensor(name)) for name in self._layers)


def _real(name: str, sources: dict[str, tuple[str, ...]], known: set[str]) -> Iterator[str]:
    """The layers behind what a layer reads, through operators that are no layers."""
    for source in sources[name]:
        if source in known:
            yield source
        elif source in sources:
            yield from _real(source, sources, known)
