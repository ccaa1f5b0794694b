"""Deployment: a trained candidate as a verified, measured bundle for a device."""

from hot.deploy.bundle import Bundle, CalibrationPlan, Manifest, load_bundle
from hot.deploy.flow import deploy
from hot.deploy.verify import layer_noise, run_artifact

__all__ = [
    "Bundle",
    "CalibrationPlan",
    "Manifest",
    "deploy",
    "layer_noise",
    "load_bundle",
    "run_artifact",
]
