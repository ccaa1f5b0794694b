"""Artifacts: model files that devices run."""

from hot.export.onnx import export_onnx, part_of

__all__ = ["export_onnx", "part_of"]
