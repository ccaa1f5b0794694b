"""Options that commands share, and the settings that they mean."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from hot.errors import InputError

F = TypeVar("F", bound=Callable[..., Any])


def options(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """Several options as one decorator, in the order they are listed by --help."""

    def decorate(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


shape_options = options(
    click.option("--width", type=float, default=1.0, show_default=True, help="Width multiplier."),
    click.option("--resolution", type=int, help="Input size in pixels; by default the space's."),
    click.option("--classes", type=int, help="Number of classes; by default the space's."),
    click.option("--channels", type=int, help="Input channels; by default the space's."),
    click.option(
        "--granularity", type=click.Choice(["slot", "layer"]),
        help="One choice for all repeated layers of a slot, or one each.",
    ),
)  # fmt: skip
model_options = options(
    click.option(
        "--model", help="Instead of --space: timm/NAME, torchvision/NAME or package.module:factory."
    ),
    click.option("--weights", help="Of the model: pretrained, none, or a file. [pretrained]"),
    click.option("--blocks", multiple=True, help="Class name of the model's own blocks; repeat."),
    click.option("--tie", is_flag=True, help="Equal consecutive blocks take one choice."),
)
space_options = options(
    click.option("--space", help="A search space by name, or a YAML file."),
    shape_options,
    model_options,
)
device_options = options(
    click.option("--device", default="cpu", show_default=True, help="See hot devices; or a YAML."),
    click.option("--threads", type=click.IntRange(1), help="Of the device; 1 where not given."),
    click.option(
        "--device-option", "device_options", multiple=True, metavar="KEY=VALUE",
        help="An option of the device; hot devices lists them. Repeat.",
    ),
)  # fmt: skip
lut_options = options(
    click.option("--precision", default="fp32", show_default=True, help="fp32, fp16, int16, int8."),
    click.option(
        "--method", help="in-context, isolated or fitted; by default what suits the device."
    ),
    click.option("--store", help="Database of LUTs: SQLite file or URL; else HOT_CACHE/luts.db."),
    click.option(
        "--check-networks", type=click.IntRange(0), default=12, show_default=True,
        help="Held-out networks that check a new LUT; 0 for no check.",
    ),
    click.option("--correct", is_flag=True, help="Fit the table to the networks that check it."),
)  # fmt: skip


quality_options = options(
    click.option(
        "--quality", default="macs", show_default=True,
        help="macs, params, synflow, naswot, zico, distill, or a CSV file.",
    ),
    click.option("--data", help="Images for naswot, zico and distill; see hot train. [digits]"),
    click.option("--n-train", type=click.IntRange(1), help="Use so many training images."),
    click.option(
        "--original-epochs", type=click.IntRange(1),
        help="Training of the original network that distill learns from; 20, or none where the "
        "model brings weights.",
    ),
    click.option("--steps", type=click.IntRange(1), help="Of distill, for every choice."),
    click.option("--measure", help="Of distill: distance, kl, loss or metric."),
    click.option(
        "--corrections", type=click.IntRange(0), default=0, show_default=True,
        help="Rounds in which picks are measured as whole networks to correct distill's table.",
    ),
)  # fmt: skip
sweep_options = options(
    click.option("--sweep", help="Also the whole front over latency, memory, energy or macs."),
    click.option("--sweep-from", help="Its lowest budget; else the least possible."),
    click.option("--sweep-to", help="Its highest; else that of the search, or the baseline's."),
    click.option("--sweep-step", help="Between its budgets; else every point of the front."),
)


def refuse_with_lut(has_space: bool) -> None:
    """Raise `click.UsageError` for an option that a finished LUT has decided already."""
    context = click.get_current_context()
    device = ("device", "threads", "device_options")
    decided = (*device, "precision", "method", "store", "check_networks", "correct")
    for name in (*decided, *(() if has_space else SHAPE)):
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            (option,) = (p.opts[0] for p in context.command.params if p.name == name)
            raise click.UsageError(f"{option} has no effect on a finished LUT; give it or --lut")


SHAPE = ("width", "resolution", "classes", "channels", "granularity")
MODEL = ("model", "weights", "blocks", "tie")


def space_spec(space: str | None, **given: Any) -> Any:
    """How the space of a command is loaded; None where neither a space nor a model is given."""
    from hot.space import ModelSpec, SpaceSpec

    settings = {key: given[key] for key in MODEL if given[key]}
    model = settings.pop("model", None)
    if space is not None and (model or settings):
        raise click.UsageError("--model and its options stand instead of --space, not beside it")
    if settings and model is None:
        raise click.UsageError(f"--{next(iter(settings))} needs --model")
    name = space or model
    if name is None:
        return None
    return SpaceSpec(
        name,
        given["width"],
        given["resolution"],
        given["classes"],
        given["channels"],
        given["granularity"],
        None if model is None else ModelSpec(**settings),
    )


def make_target(name: str, threads: int | None, given: Sequence[str] = ()) -> Any:
    """The device that a command names, with its options as `key=value`.

    Raises:
        InputError: an option without a value, given twice, or not known to the device.
        DeviceError: the device cannot be used here.
    """
    from hot.devices import make_device

    chosen: dict[str, str | int] = {} if threads is None else {"threads": threads}
    for pair in given:
        key, equals, value = pair.partition("=")
        key = key.strip().replace("-", "_")
        if not (key and equals and value):
            raise InputError(f"--device-option takes KEY=VALUE, not {pair!r}")
        if key in chosen:
            raise InputError(f"the option {key!r} of the device {name!r} is given twice")
        chosen[key] = value.strip()
    return make_device(name, **chosen)


def lut_section(
    precision: str, method: str | None, store: str | None, check_networks: int, correct: bool
) -> Any:
    """How a command's look-up table is built."""
    from hot.config import LutSection
    from hot.files import validate

    settings = {
        "store": store,
        "method": method,
        "precision": precision,
        "check_networks": check_networks,
        "correct": correct,
    }
    return validate(LutSection, settings, "the options of the LUT")


def quality_section(settings: dict[str, Any]) -> tuple[Any, Any]:
    """How quality is scored, and on which data, taken out of the options of a command."""
    from hot.config import QualitySection, TrainingSection
    from hot.files import validate

    distill = {key: settings.pop(key) for key in ("steps", "measure")}
    epochs = settings.pop("original_epochs")
    quality = {
        "scorer": settings.pop("quality"),
        "distill": {key: value for key, value in distill.items() if value is not None},
        "original": None if epochs is None else {"epochs": epochs},
        "corrections": settings.pop("corrections"),
    }
    data = {key: settings.pop(key) for key in ("data", "n_train")}
    data = {key: value for key, value in data.items() if value is not None}
    where = "the options of the quality"
    return validate(QualitySection, quality, where), validate(TrainingSection, data, where)


def sweep_section(settings: dict[str, Any]) -> Any:
    """The sweep, if one is asked for, taken out of the options of a command."""
    from hot.config import SweepSection
    from hot.files import validate

    resource = settings.pop("sweep")
    ends = {
        key: settings.pop(f"sweep_{option}")
        for key, option in (("lowest", "from"), ("highest", "to"), ("step", "step"))
    }
    if resource is not None:
        return validate(SweepSection, {"resource": resource, **ends}, "the options of the sweep")
    if any(end is not None for end in ends.values()):
        raise click.UsageError("--sweep-from, --sweep-to and --sweep-step need --sweep RESOURCE")
    return None


def training_section(recipe: Path | None, settings: dict[str, Any]) -> Any:
    """How a command trains, from a file of recipe keys and its options."""
    from hot.config import TrainingSection
    from hot.files import read_yaml, validate

    keys = read_yaml(recipe, "recipe") or {} if recipe is not None else {}
    if not isinstance(keys, dict):
        raise InputError(f"the recipe {recipe} must hold 'key: value' lines, not {keys!r}")
    given = {key: settings.pop(key) for key in _OF_THE_RECIPE}
    keys |= {key: value for key, value in given.items() if value is not None and value is not False}
    lists = {
        name: settings.pop(option).split(",")
        for option, name in _SEARCHED.items()
        if settings[option] is not None or settings.pop(option)
    }
    top = {name: settings.pop(name) for name in ("task", "data", "n_train")}
    document = {**top, "recipe": keys, "hpo": {**settings, **lists}}
    return validate(TrainingSection, document, "the options of hot train")


_OF_THE_RECIPE = ("epochs", "inherit", "distill_logits", "distill_features")
_SEARCHED = {
    "learning_rates": "learning_rate",
    "weight_decays": "weight_decay",
    "gammas": "gamma",
    "optimizers": "optimizers",
}
