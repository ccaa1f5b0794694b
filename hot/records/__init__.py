"""Records: what crosses the borders of rooms, each with one file form; no torch."""

from hot.records.artifact import Artifact, part_of
from hot.records.budget import RESOURCE_LABELS, Budget, format_resource, parse_budget, parse_quality
from hot.records.candidate import Candidate
from hot.records.document import from_document, load_record, save_record, to_document
from hot.records.front import Front, FrontPoint
from hot.records.measurement import ESTIMATES, MEASURES, DeviceInfo, Measurement, NodeTime
from hot.records.outcome import Deployment, EpochRow, LayerNoise, TrainResult
from hot.records.prediction import Prediction
from hot.records.recipe import DataSpec, DistillSettings, Recipe
from hot.records.run import Provenance, RunFolder, now, processor, provenance
from hot.records.tables import (
    HEAD,
    STEM,
    CheckResult,
    LatencyTable,
    LeftOut,
    Lut,
    LutEntry,
    PairTerm,
    QualityTable,
    sum_choices,
)

__all__ = [
    "ESTIMATES",
    "HEAD",
    "MEASURES",
    "RESOURCE_LABELS",
    "STEM",
    "Artifact",
    "Budget",
    "Candidate",
    "CheckResult",
    "DataSpec",
    "Deployment",
    "DeviceInfo",
    "DistillSettings",
    "EpochRow",
    "Front",
    "FrontPoint",
    "LatencyTable",
    "LayerNoise",
    "LeftOut",
    "Lut",
    "LutEntry",
    "Measurement",
    "NodeTime",
    "PairTerm",
    "Prediction",
    "Provenance",
    "QualityTable",
    "Recipe",
    "RunFolder",
    "TrainResult",
    "format_resource",
    "from_document",
    "load_record",
    "now",
    "parse_budget",
    "parse_quality",
    "part_of",
    "processor",
    "provenance",
    "save_record",
    "sum_choices",
    "to_document",
]
