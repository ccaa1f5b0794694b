"""Bundles: the folder that ships: the model, its manifest, a runner, what a compiler made."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from hot.deploy.runners import RUNNERS
from hot.devices import Settings
from hot.errors import InputError, StorageError
from hot.files import sha256, write_text
from hot.records import (
    Artifact,
    Budget,
    DeviceInfo,
    LayerNoise,
    Measurement,
    Prediction,
    Provenance,
    load_record,
    save_record,
)

MODEL, MANIFEST, RUNNER = "model", "manifest.json", "run.py"  # MODEL without its suffix


@dataclass(frozen=True)
class CalibrationPlan:
    """Which training images the ranges of activations come from.

    Attributes:
        n_samples: at most all of the training split.
        method: one of `hot.export.CALIBRATIONS`.
        seed: of the choice of images.
    """

    n_samples: int = 128
    method: str = "minmax"
    seed: int = 0


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself; everything needed to run and to judge its model.

    Attributes:
        architecture: key in the space `space`.
        input_shape: (1, C, H, W), float32: (pixels / pixel_range[1] - mean) / std, a channel.
        labels: by index of the scores.
        budget: the limits of the search, or None.
        predicted: before anything was built; `predicted_ms` at the bundle's precision and device.
        measured: on `device`; says in its `kind` whether measured or estimated.
        settings: of the measurement.
        parity: largest absolute difference of the scores to the torch model's.
        weights_sha256, data_sha256: of the checkpoint and the data it was made from.
        model: name of the model file.
        compiled: names of the files that the device's compiler made of it.
        checksums: SHA-256 of the bundle's other files.
    """

    candidate: str
    space: str
    architecture: str
    precision: str
    input_shape: tuple[int, int, int, int]
    pixel_range: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    labels: tuple[str, ...]
    budget: Budget | None
    predicted: Prediction
    predicted_ms: float | None
    measured: Measurement
    device: DeviceInfo
    metric: str
    metric_value: float
    torch_metric_value: float
    parity: float
    layers: tuple[LayerNoise, ...]
    weakest_layer: str | None
    calibration: CalibrationPlan
    settings: Settings
    weights_sha256: str
    data_sha256: str
    provenance: Provenance
    model: str = f"{MODEL}.onnx"
    compiled: tuple[str, ...] = ()
    checksums: dict[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Bundle:
    """A verified bundle: its folder, its manifest, its model."""

    path: Path
    manifest: Manifest

    @property
    def artifact(self) -> Artifact:
        """The model file."""
        return Artifact(
            self.path / self.manifest.model, self.manifest.precision, self.manifest.input_shape
        )


def write_runner(folder: Path, format_name: str) -> None:
    """Write the bundle's runner script, which needs numpy and the format's runtime only."""
    write_text(folder / RUNNER, RUNNERS[format_name])


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, with the checksums of the files beside it."""
    sums = {name: sha256(folder / name) for name in _files(manifest)}
    save_record(folder / MANIFEST, replace(manifest, checksums=sums))


def _files(manifest: Manifest) -> tuple[str, ...]:
    return (manifest.model, RUNNER, *manifest.compiled)


@contextlib.contextmanager
def bundle_folder(path: Path) -> Iterator[Path]:
    """A temporary folder that becomes the bundle `path` when the block ends without an error.

    A kill leaves the earlier bundle, if any, as it was; what it left over is removed the next time.

    Raises:
        StorageError: the folder cannot be written or the disk is full.
    """
    prefix = f".{path.name}.tmp-"
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left_over in path.parent.glob(f"{prefix}*"):
            shutil.rmtree(left_over)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=prefix))
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o777 & ~umask)
        if path.exists():
            os.replace(path, temporary.with_name(f"{temporary.name}.old"))
        os.replace(temporary, path)
    except OSError as error:
        raise StorageError(
            f"cannot write the bundle {path}: {error.strerror or error}; "
            "free the disk or choose another folder"
        ) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.rmtree(temporary.with_name(f"{temporary.name}.old"), ignore_errors=True)


def load_bundle(path: str | os.PathLike[str]) -> Bundle:
    """The bundle at `path`, every file compared with its checksum.

    Raises:
        InputError: there is none, or a file is missing or was changed; names it.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(f"no bundle at {folder}; make it with hot deploy")
    manifest = load_record(folder / MANIFEST, Manifest)
    for name in _files(manifest):
        if name not in manifest.checksums:
            raise InputError(f"{folder / MANIFEST} has no checksum of {name}; deploy again")
        if not (folder / name).is_file():
            raise InputError(f"the bundle {folder} has no {name}; deploy again")
        found = sha256(folder / name)
        if found != manifest.checksums[name]:
            raise InputError(
                f"{folder / name} is damaged or was changed: its SHA-256 is {found[:12]}..., "
                f"the manifest says {manifest.checksums[name][:12]}...; deploy again"
            )
    return Bundle(folder, manifest)
