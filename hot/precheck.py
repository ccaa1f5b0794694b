"""What can be refused before anything is measured: names, units, recipes, data that are not there.

A look-up table and a training take from minutes to hours; a mistake in what follows them should not
wait for their end. Every rule stands in its own room; here they are only asked early.
"""

from collections.abc import Sequence

from hot.autosearch import OBJECTIVES, SOLVERS
from hot.config import Config, QualitySection, SearchSection
from hot.deploy import check_precision
from hot.devices import Device
from hot.errors import DeviceError, InputError, unknown_name
from hot.quality import check_corrections, check_distill, known_scorers, score
from hot.records import Prediction, parse_budget, parse_quality
from hot.space import Space
from hot.tasks import DataOptions, find_task
from hot.training import check_recipe, check_settings

_ANY = Prediction(1.0, 1.0, 1, 1, 1, 1, 1.0)  # stands for the baseline that shares refer to


def check_searches(
    space: Space, sections: Sequence[SearchSection], quality: QualitySection
) -> None:
    """Raise `InputError` for a name, a number or a unit that no LUT can make right."""
    if quality.scorer not in known_scorers():
        score(space, quality.scorer)
    check_corrections(quality.scorer, quality.corrections)
    for section in sections:
        for kind, name, known in (
            ("objective", section.objective, OBJECTIVES),
            ("solver", section.solver, SOLVERS),
        ):
            if name not in known:
                raise InputError(unknown_name(kind, name, known))
        if section.top_k > space.size:
            raise InputError(
                f"top-k is {section.top_k}, but the space has only {space.size} architectures; "
                "ask for fewer"
            )
        parse_quality(section.min_quality, _ANY)
        parse_budget(
            section.latency_budget,
            section.memory_budget,
            section.activation_budget,
            section.energy_budget,
            section.macs_budget,
            reference=_ANY,
        )


def check_config(config: Config, space: Space, device: Device) -> None:
    """Raise what a later stage of a run would raise: its search, training, data or deployment.

    Raises:
        HotError: names the key at fault, what it holds, and what is allowed.
    """
    check_searches(space, config.search, config.quality)
    info = device.describe()
    if config.lut.precision not in info.precisions:
        raise DeviceError(
            f"the device {info.name!r} does not run {config.lut.precision!r}; it runs "
            f"{', '.join(info.precisions)}: choose one of them as the LUT's precision"
        )
    for precision in config.deployment.precisions or ():
        check_precision(info, precision)
    training = config.training
    check_distill(config.quality.distill)
    if config.quality.original is not None:
        check_recipe(config.quality.original)
    check_settings(training.hpo.settings(), training.recipe)
    task = find_task(training.task)
    sizes = DataOptions(
        seed=config.seed, n_train=training.n_train, n_val=training.n_val, n_test=training.n_test
    )
    task.check_head(space, task.load(training.data, space.stem_input, sizes))
