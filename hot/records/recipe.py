"""How a network is trained: every number that decides the result."""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

from pydantic import ConfigDict

_OF_A_LIBRARY = ("inherit", "distill_logits", "distill_temperature", "distill_features")


@dataclass(frozen=True)
class Recipe:
    """The hyper-parameters of one training.

    The last four need the weights of a `hot.nn.Library`. With a teacher, the original network of
    the space, the loss is `(1 - distill_logits) * task + distill_logits * logits
    + distill_features * features`; the teacher sees the same augmented batches.

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
        inherit: the training starts from the library's weights: the original network's where the
            architecture keeps it, distilled blocks elsewhere. A fifth of the learning rate of a
            start from scratch is a first try: on digits (one seed) the validation accuracy after
            one epoch was 0.95 with it, 0.80 with the whole rate and 0.93 with a fiftieth; after
            four epochs 0.98, 0.98 and 0.96.
        distill_logits: weight in [0, 1] of the divergence of the class probabilities from the
            teacher's, both at `distill_temperature`, times its square; 0 for none.
        distill_temperature: of both softmaxes; 1 leaves the probabilities as they are.
        distill_features: weight of the squared error between the outputs of every slot and the
            teacher's, relative to the square of the teacher's, averaged over the slots; 0 for none.

    References:
        inherit: Molchanov et al., LANA, ECCV 2022; Bercovich et al., Puzzle, 2024.
        distill_logits: Hinton et al., Distilling the Knowledge in a Neural Network, 2015.
        distill_features: Romero et al., FitNets: Hints for Thin Deep Nets, ICLR 2015; the relative
            error is Puzzle's.
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
    inherit: bool = False
    distill_logits: float = 0.0
    distill_temperature: float = 4.0
    distill_features: float = 0.0

    @property
    def has_teacher(self) -> bool:
        """Whether the original network teaches this training."""
        return self.distill_logits > 0 or self.distill_features > 0

    @property
    def needs_library(self) -> bool:
        """Whether this training needs the weights of a library."""
        return self.inherit or self.has_teacher

    @property
    def without_library(self) -> "Recipe":
        """The same training from scratch and without a teacher."""
        return dataclasses.replace(
            self,
            inherit=Recipe.inherit,
            distill_logits=Recipe.distill_logits,
            distill_temperature=Recipe.distill_temperature,
            distill_features=Recipe.distill_features,
        )

    @property
    def numbers(self) -> dict[str, object]:
        """What identifies the recipe: its values, without those of a library it does not use."""
        values = dataclasses.asdict(self)
        return {k: v for k, v in values.items() if k not in _OF_A_LIBRARY or self.needs_library}


@dataclass(frozen=True)
class DistillSettings:
    """The numbers of the quality scorer `distill`.

    Attributes:
        steps: of every candidate.
        batch: images of a step.
        learning_rate: at the first step; it falls to zero along a half cosine.
        optimizer: `adam` or `sgd` (momentum 0.9, Nesterov).
        precision: `auto` probes whether bfloat16 pays for the candidates of a slot; `fp32`, `bf16`.
        measure: what plugging a candidate in must keep; a name of `hot.quality.MEASURES`.
        n_measure: images of the validation split it is measured on; all where there are fewer.
        feature_mib: memory for the features of one slot; images that do not fit are not cached, and
            where not even four batches fit, features are computed anew at every step.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    steps: int = 150
    batch: int = 64
    learning_rate: float = 0.003
    optimizer: str = "adam"
    precision: str = "auto"
    measure: str = "distance"
    n_measure: int = 1000
    feature_mib: int = 512


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
