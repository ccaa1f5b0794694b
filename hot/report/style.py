"""The look that all figures share."""

import contextlib
import os
from collections.abc import Iterator, Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator, PercentFormatter
from matplotlib.transforms import Bbox

from hot.files import atomic_path

INK, MUTED, GRID = "#1b2430", "#5b6675", "#e3e7ed"
# Okabe and Ito's colours, which colour-blind readers tell apart (Wong, Nature Methods 8, 2011),
# with Tol's wine for their yellow, which is too pale on white.
COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#7F7F7F",
    "#882255",
    "#000000",
)
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")
BASELINE_COLOUR = "#000000"
FRACTIONS = ("accuracy",)  # metrics that are shown in percent
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


def label_points(axes: Axes, points: Sequence[tuple[float, float]], names: Sequence[str]) -> None:
    """Write a name beside every point, where it covers no other name and no other point."""
    made = axes.get_figure(root=True)
    if made is None:
        raise ValueError("the axes belong to no figure")
    made.draw_without_rendering()
    taken = [Bbox.from_bounds(x - 6, y - 6, 12, 12) for x, y in axes.transData.transform(points)]
    for point, name in zip(points, names, strict=True):
        text = axes.annotate(
            name, point, xytext=(0, 0), textcoords="offset points", fontsize=7.5, color=MUTED
        )
        boxes: list[tuple[int, int, Bbox]] = []
        for x, y, across, up in _PLACES:
            text.set(position=(x, y), ha=across, va=up)
            box = text.get_window_extent()
            boxes.append((sum(box.overlaps(other) for other in taken), len(boxes), box))
        _, best, box = min(boxes, key=lambda item: item[:2])
        x, y, across, up = _PLACES[best]
        text.set(position=(x, y), ha=across, va=up)
        taken.append(box)


# Offsets in points and alignments, in order of preference.
_PLACES = (
    (0, 7, "center", "bottom"),
    (0, -7, "center", "top"),
    (8, 0, "left", "center"),
    (-8, 0, "right", "center"),
    (7, 7, "left", "bottom"),
    (-7, 7, "right", "bottom"),
    (7, -7, "left", "top"),
    (-7, -7, "right", "top"),
    (0, 18, "center", "bottom"),
    (0, -18, "center", "top"),
)


def legend_below(axes: Axes) -> None:
    """The legend of `axes` under the whole figure, clear of the data."""
    handles, labels = axes.get_legend_handles_labels()
    made = axes.get_figure(root=True)
    if made is not None and handles:
        made.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 6))


def plain_log(axis: Axis) -> None:
    """Ticks of a logarithmic axis at 1, 2 and 5, written as plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def metric_axis(axis: Axis, metric: str) -> None:
    """Percent on the axis of a metric that is a fraction."""
    if metric in FRACTIONS:
        axis.set_major_formatter(PercentFormatter(1.0))


def colour_of(names: tuple[str, ...]) -> dict[str, str]:
    """A colour for every name; black for the baseline, in turn from the start when they run out."""
    others = [name for name in names if name != "baseline"]
    colours = {name: COLOURS[:-1][i % (len(COLOURS) - 1)] for i, name in enumerate(others)}
    return {name: colours.get(name, BASELINE_COLOUR) for name in names}
