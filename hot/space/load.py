"""Search spaces from YAML: found by name or path, validated with the file and key at fault."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from hot.errors import InputError, SpaceError, unknown_name
from hot.files import read_text, read_yaml, validate, write_text
from hot.space.menu import MenuRow, OddKernel, expand_menu
from hot.space.operators import Choice, Layer, Rules, parse_choice
from hot.space.shapes import Block, Conv, Shape, make_divisible
from hot.space.space import Head, Slot, Space
from hot.space.spec import SpaceSpec

_KEPT = "space.yaml"
_PACKAGE = Path(__file__).resolve().parent.parent
_FOLDERS = (_PACKAGE / "search_spaces", _PACKAGE.parent / "search_spaces")

Positive = Annotated[int, Field(gt=0)]
Stride = Literal[1, 2, 4]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Stem(_Model):
    channels: Positive
    kernel: OddKernel = 3
    stride: Stride = 2
    pool_stride: Stride = 1


class _HeadModel(_Model):
    channels: Positive | None = None


class _SlotModel(_Model):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")]
    channels: Positive
    repeats: Positive = 1
    stride: Stride = 1
    choices: str
    original: str


class _SpaceModel(_Model):
    schema_version: Annotated[Literal[1], Field(alias="schema")]
    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    description: str
    in_channels: Positive = 3
    resolution: Positive
    n_classes: Annotated[int, Field(ge=2)]
    widths: Annotated[list[Annotated[float, Field(gt=0, le=16)]], Field(min_length=1)] = [1.0]
    activation: Literal["relu", "relu6", "hardswish", "silu", "gelu"] = "relu6"
    round_to: Positive = 8
    granularity: Literal["slot", "layer"] = "slot"
    stem: _Stem
    head: _HeadModel
    menus: dict[str, Annotated[list[MenuRow], Field(min_length=1)]]
    slots: Annotated[list[_SlotModel], Field(min_length=1)]


def space_files() -> dict[str, Path]:
    """The spaces that ship with hot, by name."""
    return {p.stem: p for folder in _FOLDERS for p in sorted(folder.glob("*.yaml"))}


def find_space(name_or_path: str) -> Path:
    """The YAML file of a space given by name or by path.

    Raises:
        SpaceError: neither a known name nor a file.
    """
    known = space_files()
    if name_or_path in known:
        return known[name_or_path]
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml") or path.exists():
        return path
    raise SpaceError(unknown_name("space", name_or_path, known) + "; or give a YAML file")


def _read(path: Path) -> _SpaceModel:
    document = read_yaml(path, "search space")
    return validate(_SpaceModel, document, f"search space {path}", SpaceError)


def describe_space(name_or_path: str) -> tuple[str, list[float]]:
    """The description and the width multipliers that the file of a space states."""
    model = _read(find_space(name_or_path))
    return model.description, list(model.widths)


def load_spec(spec: SpaceSpec) -> Space:
    """The space of a specification; raises what `load_space` or `space_from_model` raises."""
    if spec.model is not None:
        made: Space = _model_room().load_model_space(spec)
        return made
    return load_space(
        spec.name,
        width=spec.width,
        resolution=spec.resolution,
        n_classes=spec.n_classes,
        in_channels=spec.in_channels,
        granularity=spec.granularity,
    )


def keep_spec(spec: SpaceSpec | None, folder: Path) -> SpaceSpec:
    """Copy to `folder` what the space is loaded from; the specification that `load_kept` takes.

    Raises:
        InputError: the space has no specification, as one of a model that was given as an object.
        StorageError: the folder cannot be written.
    """
    if spec is None:
        raise InputError(
            "the space was made of an object of this process, so no folder can keep it: give the "
            "model by name, as 'timm/NAME', 'torchvision/NAME' or 'package.module:factory'"
        )
    if spec.model is not None:
        kept: SpaceSpec = _model_room().keep_model_space(spec, folder)
        return kept
    write_text(folder / _KEPT, read_text(find_space(spec.name), "search space"))
    return spec


def load_kept(spec: SpaceSpec, folder: Path) -> Space:
    """The space that `keep_spec` put into `folder`, which may have moved since."""
    if spec.model is not None:
        made: Space = _model_room().load_model_space(spec, folder)
        return made
    return load_spec(replace(spec, name=str(folder / _KEPT)))


def _model_room() -> Any:
    """The room of torch, which makes spaces of models: loaded when a space asks for it."""
    return import_module("hot.nn")


def load_space(
    name_or_path: str,
    *,
    width: float = 1.0,
    resolution: int | None = None,
    n_classes: int | None = None,
    in_channels: int | None = None,
    granularity: str | None = None,
) -> Space:
    """The space called `name_or_path`, at a width, resolution (pixels) and class count.

    What is not given is taken from the file. `granularity` is `slot` (repeated layers take one
    choice) or `layer` (one choice each).

    Raises:
        SpaceError: no such space, or not valid; names file, key and what is allowed.

    >>> space = load_space("mobilenetv2")
    >>> len(space.slots), space.size
    (7, 204073344)
    """
    path = find_space(name_or_path)
    model = _read(path)
    _check_argument("width", width, 0 < width <= 16, "a number in (0, 16]")
    if granularity not in (None, "slot", "layer"):
        raise SpaceError(unknown_name("granularity", granularity, ["slot", "layer"]))
    side = resolution if resolution is not None else model.resolution
    _check_argument("resolution", side, 8 <= side <= 4096, "between 8 and 4096 pixels")
    classes = n_classes if n_classes is not None else model.n_classes
    _check_argument("n_classes", classes, classes >= 2, "at least 2")
    colours = in_channels if in_channels is not None else model.in_channels
    _check_argument("in_channels", colours, colours >= 1, "at least 1")
    image = Shape(colours, side, side)
    space = _make_space(model, path, width, image, classes, granularity or model.granularity)
    spec = SpaceSpec(name_or_path, width, resolution, n_classes, in_channels, granularity)
    return replace(space, spec=spec)


def _check_argument(name: str, value: float, is_valid: bool, allowed: str) -> None:
    if not is_valid:
        raise SpaceError(f"{name} must be {allowed}, not {value!r}")


def _make_space(
    model: _SpaceModel, path: Path, width: float, image: Shape, n_classes: int, granularity: str
) -> Space:
    rules = Rules(model.activation, model.round_to)
    stem_channels = make_divisible(model.stem.channels * width, model.round_to)
    stem = Block(
        (Conv(image.channels, stem_channels, model.stem.kernel, model.stem.stride),),
        pool_stride=model.stem.pool_stride,
    )
    menus = {
        name: expand_menu(f"search space {path}: menus.{name}", rows)
        for name, rows in model.menus.items()
    }
    shape, slots = stem.output(image), []
    for index, row in enumerate(model.slots):
        where = f"search space {path}: slots.{index}"
        if row.choices not in menus:
            raise SpaceError(f"{where}.choices: {unknown_name('menu', row.choices, menus)}")
        channels = make_divisible(row.channels * width, model.round_to)
        layers, shape = _make_layers(shape, channels, row.stride, row.repeats)
        for name, part in _split(row, layers, granularity):
            slots.append(_make_slot(where, name, row, part, menus[row.choices]))
    names = [slot.name for slot in slots]
    if len(set(names)) < len(names):
        raise SpaceError(f"search space {path}: slots have equal names: {', '.join(names)}")
    head = _make_head(model, width, shape, n_classes)
    space = Space(model.name, width, granularity, rules, image, stem, tuple(slots), head)
    if space.size < 2:
        raise SpaceError(
            f"search space {path}: it holds one architecture only, so there is nothing to choose; "
            "give at least one slot two legal choices under 'menus'"
        )
    return space


def _make_head(model: _SpaceModel, width: float, shape: Shape, n_classes: int) -> Head:
    if model.head.channels is None:
        return Head(shape, None, n_classes)
    channels = make_divisible(model.head.channels * max(1.0, width), model.round_to)
    return Head(shape, Conv(shape.channels, channels), n_classes)


def _make_layers(
    shape: Shape, channels: int, stride: int, repeats: int
) -> tuple[tuple[Layer, ...], Shape]:
    first = Layer(shape, channels, stride)
    out = Shape(channels, -(-shape.height // stride), -(-shape.width // stride))
    return (first, *[Layer(out, channels)] * (repeats - 1)), out


def _make_slot(
    where: str, name: str, row: _SlotModel, layers: tuple[Layer, ...], menu: tuple[Choice, ...]
) -> Slot:
    legal = tuple(c for c in menu if all(c.is_legal(layer) for layer in layers))
    try:
        original = parse_choice(row.original)
    except SpaceError as error:
        raise SpaceError(f"{where}.original: {error}") from error
    if original not in legal:
        keys = ", ".join(choice.key for choice in legal) or "none"
        raise SpaceError(
            f"{where}.original: {row.original!r} is no legal choice of the slot; these are {keys}"
        )
    return Slot(name, layers, legal, original)


def _split(
    row: _SlotModel, layers: tuple[Layer, ...], granularity: str
) -> list[tuple[str, tuple[Layer, ...]]]:
    """The row as one slot, or as one for every layer."""
    if granularity == "slot" or len(layers) == 1:
        return [(row.name, layers)]
    return [(f"{row.name}_{index}", (layer,)) for index, layer in enumerate(layers, start=1)]
