"""Artifacts: model files that devices run."""

from hot.errors import InputError, unknown_name
from hot.export.format import Format
from hot.export.onnx import export_onnx, export_onnx_all
from hot.export.quantize import CALIBRATIONS, QUANTIZERS, load_model, quantize
from hot.export.tflite import export_tflite
from hot.export.tflite_file import TfliteModel
from hot.export.tflite_many import export_tflite_all
from hot.export.tflite_quantize import RECIPES, quantize_tflite

__all__ = [
    "CALIBRATIONS",
    "FORMATS",
    "QUANTIZERS",
    "RECIPES",
    "Format",
    "TfliteModel",
    "export_onnx",
    "export_onnx_all",
    "export_tflite",
    "export_tflite_all",
    "find_format",
    "load_model",
    "quantize",
    "quantize_tflite",
]

FORMATS: dict[str, Format] = {
    "onnx": Format(".onnx", tuple(QUANTIZERS), export_onnx, export_onnx_all, quantize),
    "tflite": Format(".tflite", tuple(RECIPES), export_tflite, export_tflite_all, quantize_tflite),
}


def find_format(name: str) -> Format:
    """The format called `name`.

    Raises:
        InputError: there is none; names the near match and all known ones.
    """
    if name not in FORMATS:
        raise InputError(unknown_name("format", name, FORMATS))
    return FORMATS[name]
