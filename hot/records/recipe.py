"""How a network is trained: every number that decides the result."""

from dataclasses import dataclass
from typing import ClassVar

from pydantic import ConfigDict


@dataclass(frozen=True)
class Recipe:
    """The hyper-parameters of one training.

    Attributes:
        optimizer: `sgd` (Nesterov), `adam` or `adamw`.
        schedule: `cosine` (to zero) or `step` (times `gamma` at each of `milestones`).
        gamma: factor of the step schedule, the paper's factor of gamma.
        milestones: fractions of the epochs at which the step schedule acts.
        crop_padding: pixels of random-crop padding; 0 for no crop.
        mixup: alpha of mixup; 0 for none.
        ema_decay: decay of the weight average that is evaluated; 0 for none.
        patience: epochs without a better validation metric before the training stops; 0 for never.
        precision: `auto` probes whether bfloat16 pays here; or `fp32`, `bf16`.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    epochs: int = 20
    batch_size: int = 128
    optimizer: str = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    schedule: str = "cosine"
    gamma: float = 0.5
    milestones: tuple[float, ...] = (0.5, 0.75)
    warmup_epochs: int = 1
    label_smoothing: float = 0.0
    horizontal_flip: bool = False
    crop_padding: int = 0
    mixup: float = 0.0
    ema_decay: float = 0.0
    dropout: float = 0.0
    patience: int = 0
    precision: str = "auto"
    seed: int = 0


@dataclass(frozen=True)
class DataSpec:
    """The data of a run.

    Attributes:
        task: one of `hot.tasks.TASKS`.
        source: what `hot.tasks.load_images` reads.
        n_train, n_val, n_test: at most all of each split.
        seed: of the splits.
    """

    task: str = "classification"
    source: str = "digits"
    n_train: int | None = None
    n_val: int | None = None
    n_test: int | None = None
    seed: int = 0
