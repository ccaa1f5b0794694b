"""What training and deployment hand back."""

from dataclasses import dataclass

from hot.records.measurement import DeviceInfo, Measurement
from hot.records.recipe import Recipe


@dataclass(frozen=True)
class EpochRow:
    """One epoch: mean training loss, validation loss and metric, learning rate, wall seconds."""

    epoch: int
    train_loss: float
    val_loss: float
    val_metric: float
    learning_rate: float
    seconds: float


@dataclass(frozen=True)
class TrainResult:
    """One finished training of one candidate.

    Attributes:
        metric: name of the task's metric, for example `accuracy`.
        val_metric: best validation value; the weights in `checkpoint` are of that epoch.
        test_metric: value of those weights on the test split.
        checkpoint: path of the weights, relative to the run folder.
        state: `complete`, `pruned` (stopped by the HPO) or `stopped` (patience).
        seconds: wall time of all epochs.
        n_images: images of the training split.
        n_images_seen: images of all training steps, repeated ones and augmented ones counted.
        n_images_taught: those that a teacher, the original network, saw too; 0 without one.
        precision: the precision of the training's arithmetic, probed for `auto`.
        fingerprint: identifies the training: recipe, architecture, space, data, device kind.
        n_threads: threads of the training; on a GPU it decides nothing.
    """

    candidate: str
    architecture: str
    recipe: Recipe
    metric: str
    val_metric: float
    test_metric: float
    best_epoch: int
    history: tuple[EpochRow, ...]
    checkpoint: str
    seconds: float
    n_images: int
    precision: str
    trial: int = 0
    state: str = "complete"
    fingerprint: str = ""
    device: str = "cpu"
    n_threads: int = 0
    n_images_seen: int = 0
    n_images_taught: int = 0


@dataclass(frozen=True)
class LayerNoise:
    """Signal-to-noise ratio in dB of one layer's output, quantised against fp32."""

    layer: str
    snr_db: float


@dataclass(frozen=True)
class Deployment:
    """One candidate on the device: what was predicted and what was measured.

    Attributes:
        bundle: folder of the bundle, relative to the run folder.
        file_bytes: size of the model file.
        metric_value: the task's metric of the artifact itself on the test split.
        torch_metric_value: the same of the torch model.
        parity: largest absolute difference of the outputs to the torch model's.
        layers: per-layer signal-to-noise ratios, in graph order; empty for fp32.
        weakest_layer: where the ratio falls most; None for fp32.
        predicted_ms: from the LUT; None without one.
    """

    candidate: str
    architecture: str
    precision: str
    bundle: str
    file_bytes: int
    metric: str
    metric_value: float
    torch_metric_value: float
    parity: float
    layers: tuple[LayerNoise, ...]
    weakest_layer: str | None
    predicted_ms: float | None
    measured: Measurement
    device: DeviceInfo
