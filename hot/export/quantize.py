"""Artifacts at the precisions that devices run: int8, int16, fp16, from an fp32 ONNX file.

What was chosen, and why (the digits network, ONNX Runtime 1.31 on x86 with VNNI, one thread):

- int8 activations are unsigned and asymmetric: the same accuracy as signed ones and a fifth faster
  (0.056 against 0.071 ms), because ReLU and Clip then fold into the range of the quantised tensor.
- Weights are signed, symmetric, one scale an output channel: 2 dB better scores than one scale a
  tensor, at the same speed.
- The scores stay float: the last matrix product gives them unrounded, 2 dB better, no slower.
- Calibration takes least and greatest value; percentile and entropy were no more accurate and took
  twice as long.
- int16 and fp16 have no kernels on ONNX Runtime's CPU provider: convolutions run in float between
  conversions (4.7 times slower than fp32 for int16, 1.5 times for fp16). The files are smaller and
  the rounding is real, so accuracy holds for devices that do have such kernels; latency does not.

References:
    Jacob et al., Quantization and training of neural networks for efficient integer-arithmetic-only
    inference, CVPR 2018 (arXiv 1712.05877).
"""

import contextlib
import io
import os
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx.version_converter import convert_version
from onnxruntime.capi import onnxruntime_pybind11_state as runtime
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.transformers.float16 import convert_float_to_float16

from hot.errors import DeployError, InputError, unknown_name
from hot.files import atomic_path
from hot.records import Artifact, part_of

CALIBRATIONS = {
    "minmax": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
    "entropy": CalibrationMethod.Entropy,
}

# ONNX Runtime's errors share no base class of their own.
RUNTIME_ERRORS = (
    runtime.Fail,
    runtime.InvalidArgument,
    runtime.InvalidGraph,
    runtime.InvalidProtobuf,
    runtime.NotImplemented,
    runtime.RuntimeException,
)

_OPSET_OF_INT16 = 21  # the first ONNX opset whose QuantizeLinear takes 16 bits


@dataclass(frozen=True)
class Calibration:
    """How ranges of activations are found.

    Attributes:
        samples: normalised inputs, each (1, C, H, W) float32.
        method: one of `CALIBRATIONS`.
        is_range_reduced: 7-bit weights, for x86 without VNNI, whose 8-bit products saturate.
    """

    samples: Sequence[np.ndarray]
    method: str = "minmax"
    is_range_reduced: bool = False


class _Reader(CalibrationDataReader):
    def __init__(self, name: str, samples: Sequence[np.ndarray]) -> None:
        self._rows: Iterator[dict[str, np.ndarray]] = iter([{name: s} for s in samples])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._rows, None)


def quantize(
    artifact: Artifact,
    precision: str,
    samples: Iterable[np.ndarray],
    path: str | os.PathLike[str],
    method: str = "minmax",
    is_range_reduced: bool = False,
) -> Artifact:
    """Write the fp32 `artifact` at `precision` to `path`; inputs and outputs stay float32.

    Every node keeps, or gets, a name that `part_of` reads; the conversions belong to the part that
    needs them.

    Args:
        precision: one of `QUANTIZERS`.
        samples: normalised inputs, each (1, C, H, W) float32; not read for fp32 and fp16.
        method: how ranges are found, one of `CALIBRATIONS`.
        is_range_reduced: 7-bit weights, for x86 without VNNI, whose 8-bit products saturate.

    Raises:
        InputError: an unknown precision or method, a damaged model, or samples that are missing,
            of another shape, or not finite.
        DeployError: the runtime cannot quantise this model.
        StorageError: the file cannot be written.
    """
    if precision not in QUANTIZERS:
        raise InputError(unknown_name("precision", precision, QUANTIZERS))
    if method not in CALIBRATIONS:
        raise InputError(unknown_name("calibration", method, CALIBRATIONS))
    if artifact.precision != "fp32":
        raise InputError(f"only an fp32 model can be quantised; {artifact.path} is {artifact}")
    model = load_model(artifact.path)
    needs_samples = precision in ("int8", "int16")
    checked = check_samples(samples, artifact.input_shape) if needs_samples else ()
    try:
        made = QUANTIZERS[precision](model, Calibration(checked, method, is_range_reduced))
        _tidy(made)
        _name_by_part(made)
        onnx.checker.check_model(made)
    except (*RUNTIME_ERRORS, onnx.checker.ValidationError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DeployError(f"cannot quantise {artifact.path} to {precision}: {reason}") from error
    with atomic_path(path) as temporary:
        onnx.save(made, str(temporary))
    return Artifact(Path(path), precision, artifact.input_shape)


def load_model(path: str | os.PathLike[str]) -> onnx.ModelProto:
    """The ONNX model in a file, checked.

    Raises:
        InputError: there is none, or it is damaged.
    """
    if not Path(path).is_file():
        raise InputError(f"no model at {path}; export it first")
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except (DecodeError, onnx.checker.ValidationError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"the model {path} is damaged ({reason}); export it again") from error
    return model


def check_samples(samples: Iterable[np.ndarray], shape: tuple[int, ...]) -> list[np.ndarray]:
    """The samples as float32.

    Raises:
        InputError: there are none, or one is of another shape or not finite.
    """
    checked = []
    for index, sample in enumerate(samples):
        array = np.asarray(sample, dtype=np.float32)
        if array.shape != shape:
            raise InputError(
                f"calibration sample {index} has shape {array.shape}, the model takes {shape}"
            )
        if not np.isfinite(array).all():
            raise InputError(
                f"calibration sample {index} holds NaN or infinity; check the data and its "
                "normalisation"
            )
        checked.append(array)
    if not checked:
        raise InputError("quantising needs calibration samples, none were given")
    return checked


def _keep(model: onnx.ModelProto, calibration: Calibration) -> onnx.ModelProto:
    return model


def _to_float16(model: onnx.ModelProto, calibration: Calibration) -> onnx.ModelProto:
    with warnings.catch_warnings():  # weights next to zero become zero, as rounding should
        warnings.filterwarnings("ignore", message="the float32 number")
        return convert_float_to_float16(model, keep_io_types=True)


def _to_int8(model: onnx.ModelProto, calibration: Calibration) -> onnx.ModelProto:
    return _to_integers(model, calibration, QuantType.QUInt8)


def _to_int16(model: onnx.ModelProto, calibration: Calibration) -> onnx.ModelProto:
    upgraded = convert_version(model, _OPSET_OF_INT16)
    return _to_integers(upgraded, calibration, QuantType.QUInt16)


def _to_integers(
    model: onnx.ModelProto, calibration: Calibration, activations: QuantType
) -> onnx.ModelProto:
    """QuantizeLinear / DequantizeLinear pairs around every operator; weights are int8."""
    # Norms are folded by the export, so ONNX Runtime's pre-processing has nothing left to do
    # (measured: equal accuracy and speed); this mark silences its advice to run it.
    mark = model.metadata_props.add()
    mark.key, mark.value = "onnx.quant.pre_process", "onnxruntime.quant"
    with tempfile.TemporaryDirectory(prefix="hot-") as folder:
        target = Path(folder) / "quantized.onnx"
        with contextlib.redirect_stdout(io.StringIO()):  # the histogram methods print
            quantize_static(
                model,
                target,
                _Reader(model.graph.input[0].name, calibration.samples),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                reduce_range=calibration.is_range_reduced,
                activation_type=activations,
                weight_type=QuantType.QInt8,
                calibrate_method=CALIBRATIONS[calibration.method],
                extra_options={"OpTypesToExcludeOutputQuantization": ["Gemm"]},
            )
        return onnx.load(target)


def _tidy(model: onnx.ModelProto) -> None:
    """Put nodes in order of use; constants that became part of a quantised range go."""
    maker = {name: node for node in model.graph.node for name in node.output}
    done: set[str] = set()
    kept: list[onnx.NodeProto] = []
    waiting = [maker[value.name] for value in reversed(model.graph.output) if value.name in maker]
    while waiting:
        node = waiting[-1]
        before = [maker[name] for name in node.input if name in maker and name not in done]
        if before and node.output[0] not in done:
            waiting.extend(reversed(before))
            continue
        waiting.pop()
        if node.output[0] not in done:
            done.update(node.output)
            kept.append(node)
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del model.graph.node[:]
    model.graph.node.extend(copies)


def _name_by_part(model: onnx.ModelProto) -> None:
    """Name every node of no part after the one of a part that reads it, else that feeds it."""
    nodes = model.graph.node
    for order, mine, theirs in (
        (reversed(nodes), "output", "input"),
        (iter(nodes), "input", "output"),
    ):
        owner: dict[str, str] = {}
        for node in order:
            if part_of(node.name) is None:
                near = [owner[name] for name in getattr(node, mine) if name in owner]
                if near:
                    node.name = f"{near[0]}/{node.name.lstrip('/')}"
            if part_of(node.name) is not None:
                for name in getattr(node, theirs):
                    owner.setdefault(name, node.name)


QUANTIZERS: dict[str, Callable[[onnx.ModelProto, Calibration], onnx.ModelProto]] = {
    "fp32": _keep,
    "fp16": _to_float16,
    "int16": _to_int16,
    "int8": _to_int8,
}
