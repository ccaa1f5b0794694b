"""From a trained candidate to its bundle: export, quantise, verify, measure, ship."""

import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from hot.deploy.bundle import (
    MODEL,
    CalibrationPlan,
    Manifest,
    bundle_folder,
    load_bundle,
    write_manifest,
    write_runner,
)
from hot.deploy.precisions import check_precision
from hot.deploy.verify import check_parity, layer_noise, run_artifact, run_module
from hot.devices import Compiler, Device, Settings
from hot.errors import DeployError, InputError
from hot.export import Format, find_format
from hot.files import sha256
from hot.nn import build
from hot.records import (
    Artifact,
    Budget,
    Candidate,
    Deployment,
    DeviceInfo,
    LayerNoise,
    Lut,
    RunFolder,
    TrainResult,
    provenance,
)
from hot.tasks import Classification, ImageData, Task
from hot.training import load_weights

N_PARITY = 64  # test images whose scores are compared with the torch model's
N_NOISE = 32  # calibration images behind the signal-to-noise ratios
log = logging.getLogger(__name__)


def deploy(
    run: RunFolder,
    candidate: Candidate,
    result: TrainResult,
    data: ImageData,
    device: Device,
    precision: str,
    settings: Settings | None = None,
    *,
    budget: Budget | None = None,
    task: Task | None = None,
    calibration: CalibrationPlan | None = None,
) -> Deployment:
    """The candidate as a bundle in `run`, verified on the test split and measured on `device`.

    The same call again returns the stored deployment, unless its latency failed or stayed unsteady,
    or the weights, data, device, settings or bundle changed; a killed one leaves nothing behind
    that counts.

    Args:
        precision: one that the device runs.
        settings: of the measurement; without them the usual ones, memory included.
        budget: the limits of the search, for the manifest; the candidate's own without.

    Raises:
        InputError: an unknown precision, or a result of another architecture.
        TrainingError: the weights are missing, damaged, or of another architecture.
        DeployError: the artifact does not agree with its torch model.
        DeviceError: the device cannot be used, or does not run the precision.
        StorageError: the run cannot be written.
    """
    check_precision(device.describe(), precision)
    if result.architecture != candidate.architecture:
        raise InputError(
            f"the training result is of {result.architecture!r}, the candidate "
            f"{candidate.name!r} is {candidate.architecture!r}; train this candidate"
        )
    job = _Job(
        run,
        candidate,
        result,
        data,
        device,
        precision,
        settings or Settings(memory=True),
        budget or candidate.budget,
        task or Classification(),
        calibration or CalibrationPlan(),
    )
    stored = _find_stored(job)
    if stored is not None:
        return stored
    with bundle_folder(job.bundle) as folder:
        manifest = _make(job, folder)
    deployment = _deployment(manifest, job.bundle)
    run.save(deployment, "deployments", f"{job.name}.json")
    return deployment


@dataclass(frozen=True)
class _Job:
    """The arguments of `deploy`, defaults filled in."""

    run: RunFolder
    candidate: Candidate
    result: TrainResult
    data: ImageData
    device: Device
    precision: str
    settings: Settings
    budget: Budget | None
    task: Task
    plan: CalibrationPlan

    @property
    def name(self) -> str:
        """What bundle and record are called."""
        return f"{self.candidate.name}-{self.precision}"

    @property
    def bundle(self) -> Path:
        """The bundle's folder."""
        return self.run.file("bundles", self.name)

    @property
    def format(self) -> Format:
        """That of the model: the one that the device prefers."""
        return find_format(self.device.describe().formats[0])

    @property
    def weights(self) -> Path:
        """The file of the trained weights."""
        return self.run.file(self.result.checkpoint)


def _find_stored(job: _Job) -> Deployment | None:
    """The deployment an earlier call made of the same things, if it is whole."""
    if not job.run.file("deployments", f"{job.name}.json").is_file():
        return None
    try:
        manifest = load_bundle(job.bundle).manifest
        stored = job.run.load(Deployment, "deployments", f"{job.name}.json")
    except InputError as error:
        log.warning("%s is deployed again: %s", job.name, error)
        return None
    if not job.weights.is_file():
        return None
    made_of = (
        manifest.architecture,
        manifest.weights_sha256,
        manifest.data_sha256,
        manifest.device.key,
        manifest.calibration,
        manifest.settings,
    )
    wanted = (
        job.candidate.architecture,
        sha256(job.weights),
        job.data.digest,
        job.device.describe().key,
        job.plan,
        job.settings,
    )
    is_good = stored.measured.failure is None and stored.measured.is_steady
    return stored if is_good and made_of == wanted else None


def _make(job: _Job, folder: Path) -> Manifest:
    """Fill the bundle's folder; its manifest."""
    space = job.run.space()
    network = build(space, space.parse(job.candidate.architecture))
    load_weights(job.weights, network)
    images = job.data.normalise(job.data.test.images)
    wanted = run_module(network, images)
    samples = _calibration_samples(job)
    layers: tuple[LayerNoise, ...] = ()
    weakest = None
    with tempfile.TemporaryDirectory(prefix="hot-") as scratch:
        fp32 = Path(scratch) / f"fp32{job.format.suffix}"
        exported = job.format.export(network, space.stem_input, fp32)
        few = images[:N_PARITY]
        check_parity(exported, wanted[:N_PARITY], run_artifact(exported, _one_by_one(few)))
        artifact = job.format.quantize(
            exported,
            job.precision,
            samples,
            folder / f"{MODEL}{job.format.suffix}",
            job.plan.method,
            is_range_reduced=_saturates(job.device.describe()),
        )
        if job.precision != "fp32":
            layers, weakest = layer_noise(exported, artifact, samples[:N_NOISE])
    got = run_artifact(artifact, _one_by_one(images))
    if not np.isfinite(got).all():
        raise DeployError(
            f"{job.name} gives scores that are not finite on the test split; "
            "deploy it at a higher precision"
        )
    targets = torch.from_numpy(job.data.test.labels)
    write_runner(folder, artifact.format)
    measured = job.device.measure(artifact, job.settings)
    manifest = Manifest(
        candidate=job.candidate.name,
        space=space.key,
        architecture=job.candidate.architecture,
        precision=job.precision,
        input_shape=artifact.input_shape,
        pixel_range=(0, 255),
        mean=job.data.mean,
        std=job.data.std,
        labels=job.data.class_names,
        budget=job.budget,
        predicted=job.candidate.predicted,
        predicted_ms=_predicted_ms(job),
        measured=measured,
        device=job.device.describe(),
        metric=job.task.metric,
        metric_value=job.task.score(torch.from_numpy(got), targets),
        torch_metric_value=job.task.score(torch.from_numpy(wanted), targets),
        parity=float(np.abs(wanted - got).max()),
        layers=layers,
        weakest_layer=weakest,
        calibration=job.plan,
        settings=job.settings,
        weights_sha256=sha256(job.weights),
        data_sha256=job.data.digest,
        provenance=provenance(),
        model=artifact.path.name,
        compiled=() if measured.failure else _compile(job.device, artifact, folder),
    )
    write_manifest(folder, manifest)
    return manifest


def _compile(device: Device, artifact: Artifact, folder: Path) -> tuple[str, ...]:
    """The names of the files that the device's compiler, where it has one, writes to the bundle."""
    if not isinstance(device, Compiler):
        return ()
    return tuple(path.name for path in device.compile(artifact, folder))


def _saturates(device: DeviceInfo) -> bool:
    """Whether products of two 8-bit numbers overflow there: x86 processors without VNNI."""
    instructions = device.fingerprint.get("instructions", "")
    return "avx2" in instructions and "vnni" not in instructions


def _calibration_samples(job: _Job) -> list[np.ndarray]:
    """Training images drawn without replacement, normalised, each (1, C, H, W)."""
    n = min(job.plan.n_samples, len(job.data.train))
    chosen = np.random.default_rng(job.plan.seed).choice(len(job.data.train), n, replace=False)
    return list(_one_by_one(job.data.normalise(job.data.train.images[np.sort(chosen)])))


def _one_by_one(images: np.ndarray) -> Iterator[np.ndarray]:
    return (images[index : index + 1] for index in range(len(images)))


def _predicted_ms(job: _Job) -> float | None:
    """The LUT's prediction, where the LUT is of this precision and device; never another's."""
    if not job.run.file("lut.json").is_file():
        return None
    lut = job.run.load(Lut, "lut.json")
    if lut.precision != job.precision:
        log.info(
            "%s: the LUT is of %s, so no latency is predicted at %s",
            job.name, lut.precision, job.precision,
        )  # fmt: skip
        return None
    if lut.device.key != job.device.describe().key:
        log.warning(
            "%s: the LUT is of another device, so no latency is predicted (LUT | here: %s)",
            job.name, lut.device.difference(job.device.describe()),
        )  # fmt: skip
        return None
    return job.candidate.predicted.latency_ms


def _deployment(manifest: Manifest, bundle: Path) -> Deployment:
    return Deployment(
        candidate=manifest.candidate,
        architecture=manifest.architecture,
        precision=manifest.precision,
        bundle=f"bundles/{bundle.name}",
        file_bytes=(bundle / manifest.model).stat().st_size,
        metric=manifest.metric,
        metric_value=manifest.metric_value,
        torch_metric_value=manifest.torch_metric_value,
        parity=manifest.parity,
        layers=manifest.layers,
        weakest_layer=manifest.weakest_layer,
        predicted_ms=manifest.predicted_ms,
        measured=manifest.measured,
        device=manifest.device,
    )
