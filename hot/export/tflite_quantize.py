"""TFLite artifacts at the precisions that devices run, from an fp32 TFLite file.

Full-integer: activations are signed 8 (int8) or 16 bits (int16), weights 8 bits, symmetric, one
scale an output channel; inputs and outputs are integers, too. Ranges are least and greatest values
over the samples.

References:
    Jacob et al., Quantization and training of neural networks for efficient integer-arithmetic-only
    inference, CVPR 2018 (arXiv 1712.05877).
"""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from hot.errors import DeployError, InputError, unknown_name
from hot.export.quantize import check_samples
from hot.export.tflite import silent
from hot.export.tflite_file import channels_last, read_tflite, unpack
from hot.files import atomic_path
from hot.records import Artifact

# Precision to the recipe of ai-edge-quantizer that makes it; None keeps the file as it is.
RECIPES: dict[str, str | None] = {
    "fp32": None,
    "int8": "static_wi8_ai8",
    "int16": "static_wi8_ai16",
}


def quantize_tflite(
    artifact: Artifact,
    precision: str,
    samples: Iterable[np.ndarray],
    path: str | os.PathLike[str],
    method: str = "minmax",
    is_range_reduced: bool = False,
) -> Artifact:
    """Write the fp32 TFLite `artifact` at `precision` to `path`; tensors keep their names.

    Args:
        precision: one of `RECIPES`.
        samples: normalised inputs, each (1, C, H, W) float32; not read for fp32.
        method: how ranges are found; there is `minmax` alone.
        is_range_reduced: not needed here: TFLite's kernels add 8-bit products in 32 bits.

    Raises:
        InputError: an unknown precision or method, a damaged model, or samples that are missing,
            of another shape, or not finite.
        DeployError: the quantiser cannot quantise this model, or is not installed.
        StorageError: the file cannot be written.
    """
    if precision not in RECIPES:
        raise InputError(unknown_name("precision", precision, RECIPES))
    if method != "minmax":
        raise InputError(unknown_name("calibration of TFLite files", method, ("minmax",)))
    if artifact.precision != "fp32":
        raise InputError(f"only an fp32 model can be quantised; {artifact.path} is {artifact}")
    content = read_tflite(artifact.path)
    recipe = RECIPES[precision]
    if recipe is not None:
        content = _quantised(
            content, artifact, recipe, check_samples(samples, artifact.input_shape)
        )
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    return Artifact(Path(path), precision, artifact.input_shape)


def _quantised(content: bytes, artifact: Artifact, recipe: str, samples: list[np.ndarray]) -> bytes:
    (signature,) = unpack(content).signatureDefs
    name = signature.inputs[0].name.decode()
    rows = [{name: channels_last(sample)} for sample in samples]
    with silent():
        try:
            from ai_edge_quantizer import quantizer
            from ai_edge_quantizer import recipe as recipes
        except ImportError as error:
            raise DeployError(
                f"quantising TFLite files needs ai-edge-quantizer ({error}): "
                "pip install 'hot[litert]'"
            ) from error
        try:
            made = quantizer.Quantizer(content, getattr(recipes, recipe)())
            ranges = made.calibrate({signature.signatureKey.decode(): rows}, num_threads=1)
            done = made.quantize(ranges, enable_progress_report=False).quantized_model
        except (RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise DeployError(f"cannot quantise {artifact.path}: {reason}") from error
    return bytes(done)
