"""A LUT as the page draws it: a row a slot, a column a choice, and what is missing."""

import math
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from hot.errors import HotError
from hot.records import HEAD, STEM, Lut, LutEntry
from hot.space import Choice, Slot, Space, known_operators, load_spec, parse_choice, space_files


class Cell(BaseModel):
    """What a choice costs at a slot, all repeated layers included; latency None: not there yet."""

    model_config = ConfigDict(frozen=True)

    latency_ms: float | None
    energy_mj: float | None = None
    spread: float = 0.0
    n_samples: int = 0


class GridRow(BaseModel):
    """A slot, or a layer's shape where the space is not known; a cell is None where not legal."""

    model_config = ConfigDict(frozen=True)

    name: str
    shape: str
    layers: int
    original: int | None
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class Grid:
    """The cells of a LUT.

    Attributes:
        n_present, n_wanted: entries that are there of those the space needs; `n_wanted` is None
            where the space cannot be loaded here, and rows are then the shapes of layers.
    """

    columns: tuple[str, ...]
    rows: tuple[GridRow, ...]
    n_present: int
    n_wanted: int | None


def lay_out(lut: Lut) -> Grid:
    """The grid of a LUT, by its space where that ships with hot, else by the entries alone."""
    space = shipped_space(lut)
    return _by_entries(lut) if space is None else _by_space(lut, space)


def shipped_space(lut: Lut) -> Space | None:
    """The LUT's space, where it ships with hot: a path or a module that a LUT names stays shut."""
    spec = lut.spec
    if spec is None or spec.model is not None or spec.name not in space_files():
        return None
    try:
        space = load_spec(spec)
    except HotError:
        return None
    return space if space.key == lut.space else None


def _by_space(lut: Lut, space: Space) -> Grid:
    choices = {choice.key: choice for slot in space.slots for choice in slot.choices}
    columns = tuple(sorted(choices, key=lambda key: _order(choices[key])))
    wanted = {c.work_key(a) for slot in space.slots for c in slot.choices for a in slot.layers}
    wanted |= {STEM, HEAD}
    corrected = _corrected(lut, space)
    rows = []
    for index, slot in enumerate(space.slots):
        cells: list[Cell | None] = [None] * len(columns)
        for place, choice in enumerate(slot.choices):
            cell = _sum([lut.entries.get(choice.work_key(layer)) for layer in slot.layers])
            if corrected is not None:
                cell = cell.model_copy(update={"latency_ms": corrected[index][place]})
            cells[columns.index(choice.key)] = cell
        original = columns.index(slot.original.key)
        shape, n_layers = describe_slot(slot), len(slot.layers)
        rows.append(
            GridRow(
                name=slot.name, shape=shape, layers=n_layers, original=original, cells=tuple(cells)
            )
        )
    return Grid(columns, tuple(rows), len(wanted & lut.entries.keys()), len(wanted))


def _corrected(lut: Lut, space: Space) -> tuple[tuple[float, ...], ...] | None:
    """The corrected latencies in ms, where the LUT has some that fit the space."""
    if lut.corrected is None:
        return None
    rows = lut.corrected.latency_ms
    fits = [len(row) for row in rows] == [len(slot.choices) for slot in space.slots]
    return rows if fits and all(math.isfinite(value) for row in rows for value in row) else None


def describe_slot(slot: Slot) -> str:
    """What comes into a slot and what leaves it."""
    first = slot.layers[0]
    stride = f", stride {first.stride}" if first.stride > 1 else ""
    return f"{first.input} to {first.out_channels} channels{stride}"


def _by_entries(lut: Lut) -> Grid:
    pairs = [(key, *key.partition("@")[::2]) for key in lut.entries if key not in (STEM, HEAD)]
    columns = tuple(sorted({choice for _, choice, _ in pairs}, key=_order_of_key))
    places: dict[str, list[Cell | None]] = {}
    for key, choice, place in pairs:
        cells = places.setdefault(place, [None] * len(columns))
        cells[columns.index(choice)] = _sum([lut.entries[key]])
    rows = [
        GridRow(name=f"layer {index}", shape=place, layers=1, original=None, cells=tuple(cells))
        for index, (place, cells) in enumerate(places.items(), start=1)
    ]
    return Grid(columns, tuple(rows), len(lut.entries), None)


def _sum(entries: list[LutEntry | None]) -> Cell:
    """The cell of a slot's layers; a missing entry is a missing latency, never a zero."""
    found = [entry for entry in entries if entry is not None]
    if len(found) < len(entries):
        return Cell(latency_ms=None)
    energies = [entry.energy_mj for entry in found if entry.energy_mj is not None]
    return Cell(
        latency_ms=sum(entry.latency_ms for entry in found),
        energy_mj=sum(energies) if len(energies) == len(found) else None,
        spread=max(entry.spread for entry in found),
        n_samples=min(entry.n_samples for entry in found),
    )


def _order(choice: Choice) -> tuple[int, float, int, int]:
    place = list(known_operators()).index(choice.operator)
    return place, choice.expansion, choice.kernel, choice.group


def _order_of_key(key: str) -> tuple[int, float, int, int, str]:
    """The same order for keys; operators that are not known here come last, by name."""
    try:
        return (*_order(parse_choice(key)), key)
    except HotError:
        return (len(known_operators()), 0.0, 0, 0, key)
