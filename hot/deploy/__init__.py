"""Deployment: a trained candidate as a verified, measured bundle for a device."""

from hot.deploy.bundle import Bundle, CalibrationPlan, Manifest, load_bundle
from hot.deploy.flow import deploy
from hot.deploy.precisions import check_precision, usual_precisions
from hot.deploy.verify import layer_noise, run_artifact

__all__ = [
    "Bundle",
    "CalibrationPlan",
    "Manifest",
    "check_precision",
    "deploy",
    "layer_noise",
    "load_bundle",
    "run_artifact",
    "usual_precisions",
]
