"""The figures of a report that lay slots out: the LUT's heat map and the chosen operators."""

import os

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.patches import FancyBboxPatch, Rectangle

from hot.records import LatencyTable
from hot.report.style import BASELINE_COLOUR, COLOURS, INK, figure, plain_log
from hot.space import Architecture, Choice, Slot, Space
from hot.space.operators import known_operators

Path = str | os.PathLike[str]
FRAMES = (BASELINE_COLOUR, COLOURS[1], COLOURS[3])


def lut_figure(
    table: LatencyTable, space: Space, marked: dict[str, Architecture], path: Path
) -> None:
    """Latency of every choice at every slot on a logarithmic scale; frames mark `marked`."""
    keys = list(
        dict.fromkeys(c.key for slot in space.slots for c in sorted(slot.choices, key=_order))
    )
    keys.sort(key=lambda key: _order(_choice(space, key)))
    grid = np.full((len(space.slots), len(keys)), np.nan)
    for row, slot in enumerate(space.slots):
        for choice, value in zip(slot.choices, table.latency_ms[row], strict=True):
            grid[row, keys.index(choice.key)] = value
    scale, unit = (1e3, "µs") if np.nanmax(grid) < 0.5 else (1.0, "ms")
    grid = np.where(grid > 0, grid * scale, np.nan)
    low, high = float(np.nanmin(grid)), float(np.nanmax(grid))
    size = (max(8.0, 0.5 * len(keys) + 1.8), max(2.6, 0.45 * len(space.slots) + 1.9))
    with figure(path, size) as (axes,):
        norm = LogNorm(low, max(high, low * 1.01))
        axes.grid(False)
        axes.set_facecolor("#f1f3f6")
        image = axes.imshow(grid, cmap="cividis", norm=norm, aspect="auto")
        for (row, column), value in np.ndenumerate(grid):
            if np.isfinite(value):
                axes.text(
                    column, row, _short(value), ha="center", va="center", fontsize=8.5,
                    color=INK if norm(value) > 0.55 else "white",
                )  # fmt: skip
        _frame_choices(axes, marked, keys)
        axes.set_xticks(range(len(keys)), keys, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(space.slots)), [slot.name for slot in space.slots])
        axes.tick_params(length=0)
        bar = axes.figure.colorbar(image, ax=axes, pad=0.01)
        plain_log(bar.ax.yaxis)
        axes.set_title(f"Latency in {unit}, {table.precision}, {table.method}")
        axes.spines[:].set_visible(False)


def _short(value: float) -> str:
    """Two significant digits, without an exponent.

    >>> _short(0.01234), _short(8.16), _short(123.4)
    ('0.012', '8.2', '123')
    """
    return f"{value:.2g}" if value < 99.5 else f"{value:.0f}"


def _frame_choices(axes: Axes, marked: dict[str, Architecture], keys: list[str]) -> None:
    for index, (name, architecture) in enumerate(marked.items()):
        inset = 0.04 + 0.08 * index
        side, colour = 1 - 2 * inset, FRAMES[index % len(FRAMES)]
        for row, choice in enumerate(architecture.choices):
            corner = (keys.index(choice.key) - 0.5 + inset, row - 0.5 + inset)
            axes.add_patch(
                Rectangle(corner, side, side, fill=False, edgecolor=colour, linewidth=2.2)
            )
        axes.plot([], [], label=name, color=colour, lw=2.2)
    if marked:
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=len(marked))


def _choice(space: Space, key: str) -> Choice:
    return next(c for slot in space.slots for c in slot.choices if c.key == key)


def _order(choice: Choice) -> tuple[int, float, int]:
    return list(known_operators()).index(choice.operator), choice.expansion, choice.kernel


def slots_figure(space: Space, architectures: dict[str, Architecture], path: Path) -> None:
    """The operator that every network has at every slot, one row a network."""
    operators = list(known_operators())
    used = sorted(
        {c.operator for a in architectures.values() for c in a.choices}, key=operators.index
    )
    n_rows, n_slots = len(architectures), len(space.slots)
    size = (max(8.0, 1.15 * n_slots + 2.2), 0.55 * n_rows + 1.5)
    with figure(path, size) as (axes,):
        axes.grid(False)
        for row, architecture in enumerate(architectures.values()):
            for column, choice in enumerate(architecture.choices):
                _draw_choice(
                    axes,
                    row,
                    column,
                    choice,
                    COLOURS[operators.index(choice.operator) % len(COLOURS)],
                )
        axes.set(xlim=(-0.6, n_slots - 0.4), ylim=(n_rows - 0.4, -0.6))
        axes.set_yticks(range(n_rows), list(architectures))
        axes.set_xticks(range(n_slots), [_describe_slot(slot) for slot in space.slots], fontsize=8)
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        for name in used:
            colour = COLOURS[operators.index(name) % len(COLOURS)]
            axes.scatter([], [], marker="s", s=70, color=colour, label=name)
        axes.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=max(len(used), 1),
            handletextpad=0.2,
        )  # fmt: skip


def _draw_choice(axes: Axes, row: int, column: int, choice: Choice, colour: str) -> None:
    axes.add_patch(
        FancyBboxPatch(
            (column - 0.44, row - 0.34),
            0.88,
            0.68,
            boxstyle="round,pad=0,rounding_size=0.09",
            facecolor=colour,
            edgecolor="none",
        )
    )
    name, _, rest = choice.key.partition("-")
    axes.text(
        column, row, f"{rest.replace('-', ' ') or name}", ha="center", va="center",
        fontsize=8.5, color="white", fontweight="bold",
    )  # fmt: skip


def _describe_slot(slot: Slot) -> str:
    layers = slot.layers
    first = layers[0]
    times = f" x{len(layers)}" if len(layers) > 1 else ""
    return f"{slot.name}{times}\n{first.out_channels} ch, {first.input.height} px"
