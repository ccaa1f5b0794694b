"""The figures of a report that plot points and curves, one function a figure, one PNG each."""

import os
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.ticker import MaxNLocator

from hot.records import (
    RESOURCE_LABELS,
    Candidate,
    CheckResult,
    Deployment,
    Front,
    LayerNoise,
    TrainResult,
)
from hot.report.gather import BASELINE, Trial
from hot.report.style import (
    BASELINE_COLOUR,
    COLOURS,
    MARKERS,
    MUTED,
    colour_of,
    figure,
    label_points,
    legend_below,
    metric_axis,
    plain_log,
)

Path = str | os.PathLike[str]
_TOLERANCE = 0.05  # the band drawn around exact prediction


def pareto_figure(deployments: Sequence[Deployment], path: Path) -> None:
    """The metric of what was deployed over its latency; the front joins what nothing beats.

    Deployments without a latency are left out.
    """
    shown = [d for d in deployments if d.measured.latency_ms is not None]
    precisions = sorted({d.precision for d in shown})
    with figure(path) as (axes,):
        for precision in precisions:
            group = [d for d in shown if d.precision == precision]
            colour = COLOURS[precisions.index(precision)]
            points = [(d.measured.latency_ms or 0.0, d.metric_value) for d in group]
            front = pareto_front(points)
            if len(front) > 1:
                axes.step(*zip(*front, strict=True), where="post", color=colour, alpha=0.5, lw=1.6)
            for d, (x, y) in zip(group, points, strict=True):
                is_baseline = d.candidate == BASELINE
                axes.errorbar(x, y, xerr=x * d.measured.spread, color=colour, lw=1, capsize=2)
                axes.scatter(
                    x, y, s=150 if is_baseline else 55, marker="*" if is_baseline else "o",
                    color=BASELINE_COLOUR if is_baseline else colour,
                    edgecolor=colour if is_baseline else "white", linewidth=1.2, zorder=3,
                )  # fmt: skip
        for index, precision in enumerate(precisions):
            axes.scatter([], [], color=COLOURS[index], label=f"{precision}, with its front")
        axes.scatter([], [], marker="*", s=130, color=BASELINE_COLOUR, label="baseline")
        legend_below(axes)
        axes.margins(x=0.12, y=0.15)
        metric = shown[0].metric if shown else "metric"
        kind = shown[0].device.kind if shown else "measured"
        axes.set(xlabel=f"latency in ms, {kind}", ylabel=f"{metric} of the deployed model")
        axes.set_title("Up and to the left is better")
        metric_axis(axes.yaxis, metric)
        label_points(
            axes,
            [(d.measured.latency_ms or 0.0, d.metric_value) for d in shown],
            [d.candidate for d in shown],
        )


def pareto_front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other beats in both, lower x and higher y, in order of x.

    >>> pareto_front([(2, 5), (1, 3), (3, 4), (2, 4)])
    [(1, 3), (2, 5)]
    """
    front: list[tuple[float, float]] = []
    for x, y in sorted(set(points), key=lambda point: (point[0], -point[1])):
        if not front or y > front[-1][1]:
            front.append((x, y))
    return front


def front_figure(front: Front, candidates: Sequence[Candidate], path: Path) -> None:
    """The best predicted quality within every budget of the swept resource; picks are marked."""
    scale, unit = _scale_of(front)
    xs = [point.amount / scale for point in front.points]
    ys = [point.value for point in front.points]
    with figure(path) as (axes,):
        said = (
            f"front, {len(xs)} points" if front.step is None else f"{len(xs)} points of the front"
        )
        axes.step(xs, ys, where="post", color=COLOURS[0], lw=1.6, alpha=0.6, label=said)
        axes.scatter(xs, ys, s=10 if len(xs) < 200 else 3, color=COLOURS[0], zorder=2)
        shown = []
        for candidate in candidates:
            x, y = getattr(candidate.predicted, front.resource), candidate.predicted.quality
            if x is None or y is None:
                continue
            is_baseline = candidate.name == BASELINE
            axes.scatter(
                x / scale, y, s=150 if is_baseline else 55, marker="*" if is_baseline else "D",
                color=BASELINE_COLOUR if is_baseline else COLOURS[1], edgecolor="white",
                linewidth=0.8, zorder=3,
            )  # fmt: skip
            shown.append((x / scale, y, candidate.name))
        axes.scatter([], [], marker="D", color=COLOURS[1], label="picks")
        axes.scatter([], [], marker="*", s=130, color=BASELINE_COLOUR, label="baseline")
        legend_below(axes)
        axes.margins(x=0.08, y=0.1)
        label = RESOURCE_LABELS[front.resource]
        axes.set(xlabel=f"predicted {label} in {unit}", ylabel=f"quality by {front.scorer}")
        axes.set_title("The most quality within every budget")
        label_points(axes, [(x, y) for x, y, _ in shown], [name for *_, name in shown])


def _scale_of(front: Front) -> tuple[float, str]:
    """What the amounts are divided by for the axis, and its unit."""
    most = max((point.amount for point in front.points), default=0.0)
    if front.resource.endswith("_bytes"):
        return (2.0**20, "MiB") if most >= 2**20 else (2.0**10, "KiB")
    if front.resource == "macs":
        return (1e6, "millions") if most >= 1e6 else (1.0, "units")
    return 1.0, "mJ" if front.resource == "energy_mj" else "ms"


def check_figure(check: CheckResult, path: Path) -> None:
    """Predicted against measured latency of the held-out networks of one check."""
    prediction_figure(check, (), path)


def prediction_figure(
    check: CheckResult | None, deployments: Sequence[Deployment], path: Path
) -> None:
    """Predicted against measured latency: the LUT's held-out networks, and what was deployed."""
    pairs = [
        (d.predicted_ms, d.measured.latency_ms, d)
        for d in deployments
        if d.predicted_ms is not None and d.measured.latency_ms is not None
    ]
    with figure(path, (5.6, 5.2)) as (axes,):
        every: list[float] = []
        if check:
            every += [*check.predicted_ms, *check.measured_ms]
            axes.scatter(
                check.predicted_ms, check.measured_ms, s=26, color=COLOURS[5], alpha=0.85,
                edgecolor="white", linewidth=0.6, label=f"{check.n_networks} held-out networks",
            )  # fmt: skip
            axes.text(
                0.98, 0.02,
                f"mean error {check.mean_error:.1%}\nworst {check.worst_error:.1%}\n"
                f"Spearman {check.spearman:.3f}",
                transform=axes.transAxes, ha="right", va="bottom", fontsize=8.5, color=MUTED,
            )  # fmt: skip
        for is_baseline in (False, True):
            group = [(x, y) for x, y, d in pairs if (d.candidate == BASELINE) is is_baseline]
            every += [value for pair in group for value in pair]
            if group:
                axes.scatter(
                    [x for x, _ in group],
                    [y for _, y in group],
                    s=150 if is_baseline else 48,
                    marker="*" if is_baseline else "D",
                    zorder=4 if is_baseline else 3,
                    color=BASELINE_COLOUR if is_baseline else COLOURS[1],
                    edgecolor="white",
                    linewidth=0.8,
                    label="baseline" if is_baseline else "deployed candidates",
                )
        _draw_diagonal(axes, every)
        axes.set(xlabel="predicted latency in ms", ylabel="measured latency in ms")
        axes.set_title("On the line, a prediction is exact")
        legend_below(axes)
        label_points(axes, [(x, y) for x, y, _ in pairs], [d.candidate for _, _, d in pairs])


def _draw_diagonal(axes: Axes, values: Sequence[float]) -> None:
    if not values:
        return
    low, high = 0.92 * min(values), 1.06 * max(values)
    line = np.array([low, high])
    axes.fill_between(
        line, line * (1 - _TOLERANCE), line * (1 + _TOLERANCE), color=COLOURS[2], alpha=0.13, lw=0,
        label=f"within {_TOLERANCE:.0%}",
    )  # fmt: skip
    axes.plot(line, line, color=COLOURS[2], lw=1.2)
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")


def training_figure(results: Sequence[TrainResult], path: Path) -> None:
    """Training loss and validation metric by epoch, one line a candidate (its best trial)."""
    colours = colour_of(tuple(r.candidate for r in results))
    with figure(path, (9.5, 3.9), n_columns=2) as (left, right):
        for result in results:
            epochs = [row.epoch for row in result.history]
            colour = colours[result.candidate]
            metrics = [row.val_metric for row in result.history]
            left.plot(epochs, [row.train_loss for row in result.history], color=colour, lw=1.7)
            right.plot(epochs, metrics, label=result.candidate, color=colour, lw=1.7)
            right.scatter([result.best_epoch], [result.val_metric], s=26, zorder=3, color=colour)
        metric = results[0].metric if results else "metric"
        left.set(xlabel="epoch", ylabel="mean training loss")
        left.set_title("Training loss")
        right.set(xlabel="epoch", ylabel=f"validation {metric}")
        right.set_title(f"Validation {metric}; the dot is the epoch kept")
        metric_axis(right.yaxis, metric)
        left.xaxis.set_major_locator(MaxNLocator(integer=True))
        right.xaxis.set_major_locator(MaxNLocator(integer=True))
        legend_below(right)


def hpo_figure(trials: Sequence[Trial], metric: str, path: Path) -> None:
    """The value of every trial in order, and the best so far, one colour a candidate."""
    names = tuple(dict.fromkeys(trial.candidate for trial in trials))
    colours = colour_of(names)
    with figure(path, (9.5, 3.9), n_columns=2) as (left, right):
        for index, name in enumerate(names):
            group = [trial for trial in trials if trial.candidate == name]
            colour, marker = colours[name], MARKERS[index % len(MARKERS)]
            numbers, values = [t.number for t in group], [t.value for t in group]
            shades = [to_rgba(colour, 0.3 if t.state == "pruned" else 0.9) for t in group]
            rates = [t.recipe.learning_rate for t in group]
            left.scatter(numbers, values, s=34, c=shades, marker=marker)
            left.plot([], [], color=colour, marker=marker, label=name)
            left.step(numbers, np.maximum.accumulate(values), where="post", color=colour, lw=1.2)
            right.scatter(rates, values, s=34, c=shades, marker=marker)
        left.set(xlabel="trial", ylabel=f"best validation {metric}")
        left.set_title("Trials and the best so far; pale ones were pruned")
        left.xaxis.set_major_locator(MaxNLocator(integer=True))
        right.set(xlabel="learning rate", ylabel=f"best validation {metric}", xscale="log")
        right.set_title("The same over the learning rate")
        plain_log(right.xaxis)
        metric_axis(left.yaxis, metric)
        metric_axis(right.yaxis, metric)
        legend_below(left)


def noise_figure(deployments: Sequence[Deployment], path: Path) -> None:
    """Signal-to-noise ratio of every layer of every quantised deployment; rings: the weakest."""
    shown = [d for d in deployments if d.layers]
    names = tuple(dict.fromkeys(d.candidate for d in shown))
    precisions = sorted({d.precision for d in shown})
    colours = colour_of(names)
    with figure(path, (9.5, 3.9)) as (axes,):
        for d in shown:
            style = ("-", "--", ":", "-.")[precisions.index(d.precision) % 4]
            values = [layer.snr_db for layer in d.layers]
            axes.plot(
                range(1, len(values) + 1), values, style, color=colours[d.candidate], lw=1.5,
                label=f"{d.candidate}, {d.precision}",
            )  # fmt: skip
            at = _index_of(d.weakest_layer, d.layers)
            if at is not None:
                axes.scatter(
                    [at + 1], [values[at]], s=70, facecolor="none", edgecolor=colours[d.candidate],
                    linewidth=1.8, zorder=3,
                )  # fmt: skip
        axes.set(xlabel="layer, in graph order", ylabel="signal-to-noise ratio in dB")
        axes.set_title("The ring is the layer where the ratio falls most")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        legend_below(axes)


def _index_of(name: str | None, layers: Sequence[LayerNoise]) -> int | None:
    return next((i for i, layer in enumerate(layers) if layer.layer == name), None)
