"""How a space is loaded, as a record."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SpaceSpec:
    """What `load_space` takes; `load_spec` gives the space back.

    Attributes:
        name: a known space or a YAML file.
    """

    name: str
    width: float = 1.0
    resolution: int | None = None
    n_classes: int | None = None
    in_channels: int | None = None
    granularity: str | None = None
