"""The configuration of a whole run: one YAML file, validated with the key at fault."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from hot.files import read_yaml, validate
from hot.records import DataSpec, DistillSettings, Recipe
from hot.space import ModelSpec, SpaceSpec

if TYPE_CHECKING:
    from hot.training import HpoSettings

Count = Annotated[int, Field(ge=1)]


def _check_networks(n: int) -> int:
    if n < 0 or 0 < n < 3:
        raise ValueError("must be 0 (no check) or at least 3 networks")
    return n


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SpaceSection(_Section):
    """The search space; what is not given is taken from its file.

    Attributes:
        name: a known space or a file; with `model`, `timm/NAME`, `torchvision/NAME` or
            `package.module:factory`.
        model: how the blocks of that model become slots; `{}` for the defaults.
    """

    name: str
    width: Annotated[float, Field(gt=0)] = 1.0
    resolution: Count | None = None
    n_classes: Annotated[int, Field(ge=2)] | None = None
    in_channels: Count | None = None
    granularity: Literal["slot", "layer"] | None = None
    model: ModelSpec | None = None

    def spec(self) -> SpaceSpec:
        """The same as a record."""
        return SpaceSpec(**{name: getattr(self, name) for name in type(self).model_fields})


class DeviceSection(_Section):
    """The device: its name, the threads it may use (its own default where not given), and options.

    Attributes:
        options: what else the device may be told, as `hot devices` lists it.
    """

    name: str = "cpu"
    threads: Count | None = None
    options: dict[str, str | int | float | bool] = Field(default_factory=dict)

    def given(self) -> dict[str, str | int | float | bool]:
        """Threads and options as `make_device` takes them."""
        return self.options if self.threads is None else {"threads": self.threads, **self.options}


class LutSection(_Section):
    """The look-up table: an existing file, or how to build one (`method` as in `build_lut`).

    `correct` fits the table to the networks that check it.
    """

    file: str | None = None
    store: str | None = None
    method: str | None = None
    precision: str = "fp32"
    check_networks: Annotated[int, AfterValidator(_check_networks)] = 12
    correct: bool = False


class QualitySection(_Section):
    """How quality is scored; a name or a file alone, `quality: macs`, stands for its scorer.

    Attributes:
        original: how the network is trained that a scorer compares with; by default as the
            candidates are, and not at all where the space's model brings weights.
        corrections: rounds in which picks are measured as whole networks to correct the table.
    """

    scorer: str = "macs"
    distill: DistillSettings = DistillSettings()
    original: Recipe | None = None
    corrections: Annotated[int, Field(ge=0)] = 0


def _read_quality(given: object) -> object:
    return {"scorer": given} if isinstance(given, str) else given


class SearchSection(_Section):
    """One search. Limits carry a unit (`30ms`, `2MiB`) or are a share of the baseline's (`90%`)."""

    model_config = ConfigDict(coerce_numbers_to_str=True)  # `30` is a limit that lacks its unit

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")] | None = None
    objective: str = "accuracy"
    latency_budget: str | None = None
    memory_budget: str | None = None
    activation_budget: str | None = None
    energy_budget: str | None = None
    macs_budget: str | None = None
    min_quality: str | None = None
    top_k: Count = 8
    min_distance: Count = 1
    solver: str = "exact"
    time_limit_s: Annotated[float, Field(gt=0)] | None = None


class SweepSection(_Section):
    """The front over a resource: `latency`, `memory`, `energy` or `macs`, between two budgets.

    Attributes:
        lowest: by default the least that any architecture takes.
        highest: by default the search's own budget of this resource, or else the baseline's.
        step: between the budgets that are asked for; by default every point of the front.
    """

    model_config = ConfigDict(coerce_numbers_to_str=True)

    resource: Literal["latency", "memory", "energy", "macs"]
    lowest: str | None = None
    highest: str | None = None
    step: str | None = None


class HpoSection(_Section):
    """The hyper-parameter search of every candidate; one trial trains the recipe as it is."""

    trials: Count = 1
    workers: Count = 1
    sampler: str = "tpe"
    pruner: str = "none"
    learning_rate: tuple[float, ...] = ()
    weight_decay: tuple[float, ...] = ()
    gamma: tuple[float, ...] = ()
    optimizers: tuple[str, ...] = ()

    def settings(self) -> "HpoSettings":
        """The same as the training takes it."""
        from hot.training import HpoSettings

        searched = self.model_dump(exclude={"trials", "workers"})
        return HpoSettings(n_trials=self.trials, **searched)


class TrainingSection(_Section):
    """The task, its data and the recipe."""

    task: str = "classification"
    data: str = "digits"
    n_train: Count | None = None
    n_val: Count | None = None
    n_test: Count | None = None
    recipe: Recipe = Recipe()
    hpo: HpoSection = HpoSection()

    def data_spec(self, seed: int) -> DataSpec:
        """The data as a record; `seed` decides the splits."""
        return DataSpec(self.task, self.data, self.n_train, self.n_val, self.n_test, seed)


class DeploymentSection(_Section):
    """The precisions every candidate is deployed at; by default fp32 and int8 if the device can."""

    precisions: Annotated[list[str], Field(min_length=1)] | None = None

    def filled(self, usual: Sequence[str]) -> "DeploymentSection":
        """The section with the precisions, where it names none, that are usual for the device."""
        return DeploymentSection(precisions=self.precisions or list(usual))


class Config(_Section):
    """A whole run."""

    schema_version: Annotated[Literal[1], Field(alias="schema")] = 1
    folder: str | None = None
    seed: Annotated[int, Field(ge=0)] = 0
    space: SpaceSection
    device: DeviceSection = DeviceSection()
    lut: LutSection = LutSection()
    quality: Annotated[QualitySection, BeforeValidator(_read_quality)] = QualitySection()
    search: Annotated[list[SearchSection], Field(min_length=1)]
    sweep: SweepSection | None = None
    training: TrainingSection = TrainingSection()
    deployment: DeploymentSection = DeploymentSection()

    def text(self) -> str:
        """The configuration with every default written out, as a run folder keeps it."""
        document: dict[str, Any] = self.model_dump(mode="json", by_alias=True, exclude={"folder"})
        return yaml.safe_dump(document, sort_keys=False)


def load_config(path: str | os.PathLike[str]) -> Config:
    """The configuration in a YAML file.

    Raises:
        InputError: missing, not YAML, or a key that is wrong; names file, key and what is allowed.
    """
    return validate(Config, read_yaml(path, "configuration"), f"configuration {path}")
