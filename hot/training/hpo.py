"""The search for hyper-parameters: one Optuna study a candidate, in the run's database."""

import contextlib
import dataclasses
import itertools
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import optuna
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from hot.errors import InputError, StorageError, TrainingError, unknown_name
from hot.records import Recipe
from hot.training.recipe import check_recipe
from hot.training.schedule import OPTIMIZERS

GRID = "grid"


@dataclass(frozen=True)
class HpoSettings:
    """What is searched for every candidate, and how.

    Parameters without values keep those of the base recipe. For the sampler `grid` the values given
    are the points of the grid, as in HOT; for `tpe` and `gp` they are the two ends of a range.

    Attributes:
        n_trials: trials a candidate; a grid ends earlier where it has fewer points.
        sampler: one of `SAMPLERS`.
        pruner: one of `PRUNERS`; it stops trials that are behind the others at the same epoch.
        learning_rate, weight_decay: searched on a logarithmic scale.
        gamma: factor of the step schedule, searched on a linear scale.
        optimizers: the optimisers to choose from.
        adaptive_factor: where `sgd` is searched beside others, the learning rate of the others is
            the searched one times this.
    """

    n_trials: int = 1
    sampler: str = "tpe"
    pruner: str = "none"
    learning_rate: tuple[float, ...] = ()
    weight_decay: tuple[float, ...] = ()
    gamma: tuple[float, ...] = ()
    optimizers: tuple[str, ...] = ()
    adaptive_factor: float = 0.02


def _make_tpe(seed: int, n_startup: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=n_startup)


def _make_gp(seed: int, n_startup: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.GPSampler(seed=seed, n_startup_trials=n_startup)


def _make_random(seed: int, n_startup: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.RandomSampler(seed=seed)


SAMPLERS: dict[str, Callable[[int, int], optuna.samplers.BaseSampler]] = {
    GRID: _make_random,  # its trials are enqueued with all parameters: nothing is left to sample
    "tpe": _make_tpe,
    "gp": _make_gp,
}
PRUNERS: dict[str, Callable[[int], optuna.pruners.BasePruner]] = {
    "none": lambda epochs: optuna.pruners.NopPruner(),
    "median": lambda epochs: optuna.pruners.MedianPruner(
        n_startup_trials=3, n_warmup_steps=epochs // 4
    ),
    "hyperband": lambda epochs: optuna.pruners.HyperbandPruner(
        min_resource=max(1, epochs // 9), max_resource=epochs, reduction_factor=3
    ),
}


def check_settings(settings: HpoSettings, base: Recipe) -> None:
    """Raise `InputError` unless the search can be made around `base`; names what cannot."""
    if settings.n_trials < 1:
        raise InputError(f"n_trials must be at least 1, not {settings.n_trials}")
    if settings.sampler not in SAMPLERS:
        raise InputError(unknown_name("sampler", settings.sampler, SAMPLERS))
    if settings.pruner not in PRUNERS:
        raise InputError(unknown_name("pruner", settings.pruner, PRUNERS))
    for optimizer in settings.optimizers:
        if optimizer not in OPTIMIZERS:
            raise InputError(unknown_name("optimizer", optimizer, OPTIMIZERS))
    if settings.gamma and base.schedule != "step":
        raise InputError(
            f"gamma is searched, but it acts on the step schedule only, not on {base.schedule!r}; "
            "set the recipe's schedule to 'step' or leave gamma out of the search"
        )
    for name in ("learning_rate", "weight_decay", "gamma"):
        _check_range(name, getattr(settings, name), settings.sampler)
    check_recipe(base)


def _check_range(name: str, values: tuple[float, ...], sampler: str) -> None:
    highest = 1.0 if name == "gamma" else math.inf
    if not all(0 < value <= highest and math.isfinite(value) for value in values):
        raise InputError(f"searched values of {name} must lie in (0, {highest:g}], not {values}")
    if values and sampler != GRID and not (len(values) == 2 and values[0] < values[1]):
        raise InputError(
            f"{name} needs the two ends of a range for the sampler {sampler!r}, not {values}; "
            "single values belong to the sampler 'grid'"
        )


def count_trials(settings: HpoSettings) -> int:
    """The trials of one candidate."""
    if settings.sampler != GRID:
        return settings.n_trials
    return min(settings.n_trials, len(_grid(settings, 0))) if _choices(settings) else 1


def _choices(settings: HpoSettings) -> dict[str, tuple[float | str, ...]]:
    """The searched parameters and their values, in a fixed order."""
    found: dict[str, tuple[float | str, ...]] = {
        "optimizer": settings.optimizers,
        "learning_rate": settings.learning_rate,
        "weight_decay": settings.weight_decay,
        "gamma": settings.gamma,
    }
    return {name: values for name, values in found.items() if values}


def _grid(settings: HpoSettings, seed: int) -> list[dict[str, float | str]]:
    """All points of the grid, in a random order: fewer trials than points still spread over it."""
    choices = _choices(settings)
    points = [dict(zip(choices, row, strict=True)) for row in itertools.product(*choices.values())]
    return [points[i] for i in np.random.default_rng(seed).permutation(len(points))]


@contextlib.contextmanager
def open_storage(url: str) -> Iterator[RDBStorage]:
    """The database of the studies; Optuna's own log is silenced down to warnings meanwhile.

    Raises:
        TrainingError: the database is damaged or of another version.
        StorageError: it cannot be written, for example because the disk is full.
    """
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        storage = RDBStorage(url)
    except OperationalError as error:  # a full disk, a folder that cannot be written, a lock
        optuna.logging.set_verbosity(verbosity)
        raise _unusable(url, error) from error
    except Exception as error:  # every database driver has its own
        optuna.logging.set_verbosity(verbosity)
        raise TrainingError(
            f"cannot open the studies in {url}: {str(error).splitlines()[0]}; "
            "restore the file, or remove it to search anew"
        ) from error
    try:
        yield storage
    except (optuna.exceptions.StorageInternalError, SQLAlchemyError) as error:
        raise _unusable(url, error) from error
    finally:
        storage.scoped_session.remove()
        storage.engine.dispose()
        optuna.logging.set_verbosity(verbosity)


def _unusable(url: str, error: Exception) -> StorageError:
    cause = error if isinstance(error, SQLAlchemyError) else error.__cause__
    return StorageError(
        f"cannot use the studies in {url}: {getattr(cause, 'orig', cause)}; check the space on "
        "the disk and the rights, then give the same command again"
    )


@dataclass
class CandidateStudy:
    """The trials of one candidate: asks for the next one, takes what came of it.

    Every trial's parameters follow from the seed, its number and what the study knows when it is
    asked for, so that a search that is interrupted goes on with the trials it would have made.
    """

    study: optuna.Study
    settings: HpoSettings
    base: Recipe
    seed: int

    @property
    def n_started(self) -> int:
        """Trials that are finished or were handed out."""
        return len(self._trials(TrialState.WAITING, is_wanted=False))

    @property
    def n_finished(self) -> int:
        """Trials that are complete, pruned or failed."""
        return sum(trial.state.is_finished() for trial in self.study.get_trials(deepcopy=False))

    def with_result(self) -> list[int]:
        """Numbers of the trials that are complete or pruned."""
        states = (TrialState.COMPLETE, TrialState.PRUNED)
        return [t.number for t in self.study.get_trials(deepcopy=False, states=states)]

    def last_error(self) -> str:
        """Why the last failed trial failed."""
        failed = self._trials(TrialState.FAIL, is_wanted=True)
        return str(failed[-1].user_attrs.get("error")) if failed else "no trial has ended"

    def _trials(self, state: TrialState, is_wanted: bool) -> list[optuna.trial.FrozenTrial]:
        trials = self.study.get_trials(deepcopy=False)
        return [trial for trial in trials if (trial.state == state) is is_wanted]

    def ask(self) -> "AskedTrial":
        """A new trial."""
        number = self.n_started
        self._use_sampler(number)
        if self.settings.sampler == GRID and not self._trials(TrialState.WAITING, is_wanted=True):
            points = _grid(self.settings, self.seed)
            self.study.enqueue_trial(points[number % len(points)])
        return self._prepare(self.study.ask())

    def unfinished(self) -> list["AskedTrial"]:
        """The trials that an earlier process left when it ended, with the parameters they had."""
        found = []
        for frozen in self._trials(TrialState.RUNNING, is_wanted=True):
            self._use_sampler(frozen.number)
            found.append(self._prepare(optuna.trial.Trial(self.study, frozen._trial_id)))
        return found

    def _use_sampler(self, number: int) -> None:
        n_startup = min(10, max(2, self.settings.n_trials // 3))
        self.study.sampler = SAMPLERS[self.settings.sampler](self.seed + number, n_startup)

    def _prepare(self, trial: optuna.trial.Trial) -> "AskedTrial":
        values: dict[str, Any] = {
            name: self._suggest(trial, name, row) for name, row in self._rows()
        }
        recipe = replace(self.base, seed=self.seed + trial.number, **values)
        optimizers = self.settings.optimizers
        if "sgd" in optimizers and recipe.optimizer != "sgd" and self.settings.learning_rate:
            factor = self.settings.adaptive_factor
            recipe = replace(recipe, learning_rate=recipe.learning_rate * factor)
        known = self.study.get_trials(deepcopy=False)[trial.number].intermediate_values
        return AskedTrial(self.study, trial, recipe, dict(known))

    def _rows(self) -> list[tuple[str, tuple[float | str, ...]]]:
        return list(_choices(self.settings).items())

    def _suggest(
        self, trial: optuna.trial.Trial, name: str, values: tuple[float | str, ...]
    ) -> float | str:
        if self.settings.sampler == GRID or name == "optimizer":
            chosen: float | str = trial.suggest_categorical(name, values)
            return chosen
        low, high = (float(value) for value in values)
        return float(trial.suggest_float(name, low, high, log=name != "gamma"))


@dataclass
class AskedTrial:
    """A trial that is being trained."""

    study: optuna.Study
    trial: optuna.trial.Trial
    recipe: Recipe
    reported: dict[int, float]

    @property
    def number(self) -> int:
        """Its number in its study, from 0."""
        return int(self.trial.number)

    def report(self, epoch: int, value: float) -> bool:
        """Keep the metric of an epoch; whether the pruner gives the trial up."""
        if epoch not in self.reported:
            self.trial.report(value, epoch)
            self.reported[epoch] = value
        return bool(self.trial.should_prune())

    def finish(self, value: float, is_pruned: bool) -> None:
        """Close the trial with its metric."""
        if is_pruned:
            self.study.tell(self.trial, state=TrialState.PRUNED)
        else:
            self.study.tell(self.trial, value)

    def fail(self, reason: str) -> None:
        """Close the trial as failed; the study keeps the reason."""
        self.trial.set_user_attr("error", reason)
        self.study.tell(self.trial, state=TrialState.FAIL)


def open_study(
    storage: RDBStorage,
    name: str,
    settings: HpoSettings,
    base: Recipe,
    seed: int,
    is_maximised: bool,
    subject: str,
) -> CandidateStudy:
    """The study called `name`, new or continued; only `n_trials` may differ when it is continued.

    Args:
        storage: where it is kept.
        name: of the candidate.
        settings: the search.
        base: the recipe that it changes.
        seed: of the samplers and of the trainings.
        is_maximised: the metric's direction.
        subject: what is trained: architecture and data.

    Raises:
        TrainingError: the database holds another search under this name.
    """
    study = optuna.create_study(
        storage=storage,
        study_name=name,
        direction="maximize" if is_maximised else "minimize",
        pruner=PRUNERS[settings.pruner](base.epochs),
        load_if_exists=True,
    )
    described = {
        "settings": dataclasses.asdict(replace(settings, n_trials=1)),
        "base": base.numbers,
        "seed": seed,
        "subject": subject,
    }
    mark = json.dumps(described, sort_keys=True)
    stored = study.user_attrs.get("search")
    if stored is None:
        study.set_user_attr("search", mark)
    elif stored != mark:
        old = json.loads(stored)
        changed = ", ".join(key for key, value in json.loads(mark).items() if old[key] != value)
        raise TrainingError(
            f"the run has a search for {name!r} already, with another {changed}; "
            "give the same one to go on, or choose another run folder"
        )
    return CandidateStudy(study, settings, base, seed)
