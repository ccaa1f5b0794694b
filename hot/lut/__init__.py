"""Look-up tables of latency: planned, built, stored, checked."""

from hot.lut.build import build_lut
from hot.lut.check import (
    LEAST_NETWORKS,
    check_lut,
    check_luts,
    count_unseen,
    measure_networks,
)
from hot.lut.compare import Comparison, SlotComparison, compare_luts
from hot.lut.correct import correct_latency, correct_lut
from hot.lut.drift import DRIFT_LIMIT, sentinel_drift
from hot.lut.file import (
    export_lut,
    find_lut,
    find_luts,
    import_lut,
    load_lut,
    lut_file_name,
    save_lut,
)
from hot.lut.methods import METHODS
from hot.lut.store import LutKey, LutStore, key_of

__all__ = [
    "DRIFT_LIMIT",
    "LEAST_NETWORKS",
    "METHODS",
    "Comparison",
    "LutKey",
    "LutStore",
    "SlotComparison",
    "build_lut",
    "check_lut",
    "check_luts",
    "compare_luts",
    "correct_latency",
    "correct_lut",
    "count_unseen",
    "export_lut",
    "find_lut",
    "find_luts",
    "import_lut",
    "key_of",
    "load_lut",
    "lut_file_name",
    "measure_networks",
    "save_lut",
    "sentinel_drift",
]
