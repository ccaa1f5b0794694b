"""Artifacts: model files that devices run."""

from hot.export.onnx import export_onnx, part_of
from hot.export.quantize import CALIBRATIONS, QUANTIZERS, load_model, quantize

__all__ = ["CALIBRATIONS", "QUANTIZERS", "export_onnx", "load_model", "part_of", "quantize"]
