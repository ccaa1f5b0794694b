"""How a space is loaded, as a record."""

from dataclasses import dataclass

from hot.space.menu import MenuRow


@dataclass(frozen=True)
class ModelSpec:
    """How blocks of a torch model become slots; what `hot.space_from_model` takes.

    Attributes:
        weights: `pretrained`, `none`, or a file of weights (.pt or .safetensors).
        blocks: class names of blocks, besides the known ones.
        predicate: `package.module:function` of (path, module), which decides alone.
        menu: operators; empty for the menu that hot has.
        tie: whether equal consecutive blocks take one choice.
        most_macs: choices with more multiply-accumulates than this many times those of the
            original block are left out.
    """

    weights: str = "pretrained"
    blocks: tuple[str, ...] = ()
    predicate: str | None = None
    menu: tuple[MenuRow, ...] = ()
    tie: bool = False
    most_macs: float = 4.0


@dataclass(frozen=True)
class SpaceSpec:
    """What `load_space` takes; `load_spec` gives the space back.

    Attributes:
        name: a known space or a YAML file; with `model`, what `hot.space_from_model` takes by name.
        model: how a model becomes a space; None for a space written down as YAML.
    """

    name: str
    width: float = 1.0
    resolution: int | None = None
    n_classes: int | None = None
    in_channels: int | None = None
    granularity: str | None = None
    model: ModelSpec | None = None
