"""Descriptions of devices that are estimated: YAML in which each constant cites its source."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from hot.errors import InputError, unknown_name
from hot.files import read_yaml, validate

_FOLDER = Path(__file__).resolve().parent / "descriptions"


class Constant(BaseModel):
    """A number above zero with the place it was taken from, or how it was worked out."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    value: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    source: Annotated[str, Field(min_length=10)]


class Description(BaseModel):
    """An estimated device.

    Attributes:
        macs_per_s: sustained multiply-accumulates a second, by precision.
        bytes_per_s: sustained bandwidth of weights and maps.
        node_overhead_us: constant cost of a node.
        power_mw: while it computes.
        weight_capacity_bytes, activation_capacity_bytes: memory for weights and for maps.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    schema_version: Annotated[Literal[1], Field(alias="schema")]
    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    description: str
    macs_per_s: Annotated[
        dict[Literal["fp32", "fp16", "int16", "int8"], Constant], Field(min_length=1)
    ]
    bytes_per_s: Constant
    node_overhead_us: Constant | None = None
    power_mw: Constant | None = None
    weight_capacity_bytes: Constant | None = None
    activation_capacity_bytes: Constant | None = None


def description_files() -> dict[str, Path]:
    """The descriptions that ship with hot, by name."""
    return {path.stem: path for path in sorted(_FOLDER.glob("*.yaml"))}


def load_description(name_or_path: str) -> Description:
    """The description called `name_or_path`, or in the file at that path.

    Raises:
        InputError: there is none, or it is not valid; names the file and the key.
    """
    known = description_files()
    path = known.get(name_or_path, Path(name_or_path))
    if name_or_path not in known and path.suffix not in (".yaml", ".yml"):
        raise InputError(
            unknown_name("device description", name_or_path, known) + "; or give a YAML file"
        )
    document = read_yaml(path, "device description")
    return validate(Description, document, f"device description {path}")
