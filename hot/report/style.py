"""The look that all figures share."""

import contextlib
import os
from collections.abc import Iterator

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hot.files import atomic_path

INK, MUTED, GRID = "#1b2430", "#5b6675", "#e3e7ed"
# Okabe and Ito's colours, which colour-blind readers tell apart (Wong, Nature Methods 8, 2011).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#000000")
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")
BASELINE_COLOUR = "#000000"
SIZE = (8.0, 4.8)  # inches; at DPI 160 a page column
DPI = 160

_SETTINGS = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


@contextlib.contextmanager
def figure(
    path: str | os.PathLike[str],
    size: tuple[float, float] = SIZE,
    n_columns: int = 1,
    n_rows: int = 1,
) -> Iterator[list[Axes]]:
    """The axes, row by row, of a figure that is written to `path` as PNG when the block ends.

    No display, no state that other code shares.

    Raises:
        StorageError: the file cannot be written.
    """
    with matplotlib.rc_context(_SETTINGS):
        made = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(made)
        axes = made.subplots(n_rows, n_columns, squeeze=False)
        yield [cell for row in axes for cell in row]
        with atomic_path(path) as temporary:
            made.savefig(temporary, format="png", dpi=DPI)


def colour_of(names: tuple[str, ...]) -> dict[str, str]:
    """A colour for every name; black for the baseline, in turn from the start when they run out."""
    others = [name for name in names if name != "baseline"]
    colours = {name: COLOURS[:-1][i % (len(COLOURS) - 1)] for i, name in enumerate(others)}
    return {name: colours.get(name, BASELINE_COLOUR) for name in names}
