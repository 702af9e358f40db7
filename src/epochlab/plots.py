"""Curves of one run: values per epoch -> PNG."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from epochlab.confusion import plot_confusion
from epochlab.figures import BLUE, GREY, VERMILION, figure_file
from epochlab.galleries import plot_augmentation, plot_mistakes
from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
else:
    np = lazy_import("numpy")

__all__ = ["plot_augmentation", "plot_confusion", "plot_curve", "plot_mistakes"]

Metric = Literal["accuracy", "loss"]

COLORS = {"training": BLUE, "validation": VERMILION}
LINE_STYLES = {"training": "--", "validation": "-"}

# Up to here each epoch shows as a point of its own; beyond, points would hide the line.
MOST_EPOCHS_WITH_POINTS = 12

# Where an accuracy's axis begins: few choices, so that the pictures of similar runs, laid side by
# side, have the same scale. A loss's axis ends just above a round number.
ACCURACY_FLOORS = (0.99, 0.98, 0.95, 0.9, 0.8, 0.5)

# The first epoch leaves the scale when it lies this many times the others' extent beyond them.
WILD_FACTOR = 4


def plot_curve(
    path: Path,
    metric: Metric,
    training: Sequence[float],
    validation: Sequence[float] | None,
    *,
    best_epoch: int | None,
    overfitting: int | None = None,
    phase_starts: Sequence[int] = (),
    title: str,
    provenance: Mapping[str, str],
) -> None:
    """Draws one metric over the epochs: training dashed, validation solid.

    The scale runs from 0 for a loss and to 1 for an accuracy; its other end takes one of few
    values, so that the pictures of similar runs have the same. Where the first epoch lies so far
    off that it would flatten all the others, the scale is made for the others: a triangle on the
    edge marks the first epoch and the legend says its value. Epochs that are not finite are gaps.

    Args:
        path: The PNG file to create or replace.
        metric: What the values are.
        training: One value per epoch, at least one.
        validation: As many values, or None if the run has no validation.
        best_epoch: The epoch to mark, from 1, or None. Its value is the validation's, or the
            training's if there is no validation.
        overfitting: The epoch from which on the picture says that the network overfits, or None.
        phase_starts: The first epoch of each phase, from 1. A line stands before each but epoch 1.
        title: The heading.
        provenance: Where the picture comes from: the PNG's text fields.

    Raises:
        ValueError: If there are no epochs, the numbers of values differ, or `best_epoch` is none
            of the epochs.
        EnvironmentFault: If the file cannot be written.
    """
    lines = _collect_lines(training, validation, best_epoch)
    limits = _value_limits(metric, np.stack(list(lines.values())))
    with figure_file(path, (7.2, 4.5), provenance) as figure:
        from matplotlib.ticker import MaxNLocator

        axes = figure.add_subplot()
        axes.set_xlim(0.5, len(training) + 0.5)
        axes.set_ylim(*limits)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
        axes.set_xlabel("epoch")
        axes.set_ylabel(metric)
        axes.grid(color="#E5E5E5", linewidth=0.7)
        axes.spines[["top", "right"]].set_visible(False)
        _draw_phase_borders(axes, metric, phase_starts)
        for name, values in lines.items():
            _draw_line(axes, metric, name, values, limits)
        if best_epoch is not None:
            name = "validation" if "validation" in lines else "training"
            _mark_best_epoch(axes, metric, name, best_epoch, float(lines[name][best_epoch - 1]))
        if overfitting is not None:
            label = f"overfitting from epoch {overfitting}"
            end = len(training) + 0.5
            axes.axvspan(overfitting - 0.5, end, color="#F1F1F1", zorder=0, label=label)
        _add_legend(axes)
        figure.suptitle(title, x=0.01, ha="left")


def _collect_lines(
    training: Sequence[float], validation: Sequence[float] | None, best_epoch: int | None
) -> dict[str, "np.ndarray"]:
    """Checks the values and returns them by name, float64 `(num_epochs,)`, NaN for a gap."""
    if len(training) == 0:
        raise ValueError("training has no epochs; give at least one value")
    if validation is not None and len(validation) != len(training):
        raise ValueError(
            f"validation has {len(validation)} epochs, training {len(training)}; "
            "give one value per epoch, NaN where there is none"
        )
    if best_epoch is not None and not 1 <= best_epoch <= len(training):
        raise ValueError(f"best_epoch is {best_epoch}; give one of 1..{len(training)}, or None")
    named = {"training": training, "validation": validation}
    arrays = {name: np.asarray(v, np.float64) for name, v in named.items() if v is not None}
    return {name: np.where(np.isfinite(v), v, np.nan) for name, v in arrays.items()}


def _value_limits(metric: Metric, values: "np.ndarray") -> tuple[float, float]:
    """Returns the ends of the value axis for `values`, float64 `(num_lines, num_epochs)`."""
    first = values[:, 0][np.isfinite(values[:, 0])]
    others = values[:, 1:][np.isfinite(values[:, 1:])]
    shown = np.concatenate([first, others])
    if not len(shown):
        return 0.0, 1.0
    if len(first) and np.isfinite(values[:, 1:]).any(axis=0).sum() >= 3:
        floor = others.min() if metric == "accuracy" else 0.0
        reach = WILD_FACTOR * max(others.max() - floor, 0.01 if metric == "accuracy" else 0.0)
        if first.max() > others.max() + reach or first.min() < others.min() - reach:
            shown = others
    low, high = float(shown.min()), float(shown.max())
    if metric == "loss":
        return min(0.0, 1.05 * low), 1.05 * _round_up(high) if high > 0 else 1.0
    # A little below and above, where a line along the edge would be cut.
    floor = next((floor for floor in ACCURACY_FLOORS if floor <= low), 0.0)
    margin = 0.02 * (1 - floor)
    return floor - margin, 1 + margin


def _round_up(value: float) -> float:
    """Returns the least round number that is not below `value`."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 1.5, 2, 3, 5, 7, 10) if step * power >= value)


def _draw_line(
    axes: "Axes", metric: Metric, name: str, values: "np.ndarray", limits: tuple[float, float]
) -> None:
    label, first = name, float(values[0])
    if first < limits[0] or first > limits[1]:
        label = f"{name} (epoch 1 off scale: {_format_value(metric, first)})"
        _mark_off_scale(axes, name, above=first > limits[1])
        values = np.concatenate([[np.nan], values[1:]])
    present = np.pad(np.isfinite(values), 1)
    # An epoch between two gaps has no line to either side: without a point it would vanish.
    alone = present[1:-1] & ~present[:-2] & ~present[2:]
    points = alone | (len(values) <= MOST_EPOCHS_WITH_POINTS)
    axes.plot(
        np.arange(1, len(values) + 1),
        values,
        color=COLORS[name],
        linestyle=LINE_STYLES[name],
        linewidth=1.6,
        marker="o" if points.any() else None,
        markersize=4,
        markevery=points.tolist(),
        label=label,
    )


def _mark_off_scale(axes: "Axes", name: str, *, above: bool) -> None:
    axes.plot(
        [1],
        [0.975 if above else 0.025],
        transform=axes.get_xaxis_transform(),
        marker="^" if above else "v",
        # Two sizes, because both lines may have their triangle at the same place.
        markersize=11 if name == "training" else 6,
        color=COLORS[name],
    )


def _draw_phase_borders(axes: "Axes", metric: Metric, phase_starts: Sequence[int]) -> None:
    for number, start in enumerate(sorted({1, *phase_starts}), start=1):
        if not 1 < start < axes.get_xlim()[1]:
            continue
        axes.axvline(start - 0.5, color=GREY, linewidth=0.8)
        # At the end of the scale that the curves have left by then.
        high, alignment = (0.98, "top") if metric == "loss" else (0.02, "bottom")
        axes.annotate(
            f"phase {number}",
            (start - 0.5, high),
            xycoords=axes.get_xaxis_transform(),
            xytext=(3, 0),
            textcoords="offset points",
            rotation=90,
            va=alignment,
            fontsize=8,
            color=GREY,
        )


def _mark_best_epoch(axes: "Axes", metric: Metric, name: str, epoch: int, value: float) -> None:
    axes.plot(
        [epoch],
        [value],
        marker="o",
        markersize=8,
        linestyle="none",
        color=COLORS[name],
        markeredgecolor="black",
        zorder=5,
        # Whole on the edge of the scale, but never out in the margins beyond it.
        clip_on=not axes.get_ylim()[0] <= value <= axes.get_ylim()[1],
        label=f"best epoch {epoch}: {_format_value(metric, value)}",
    )


def _add_legend(axes: "Axes") -> None:
    """Writes the legend above the axes, where it can cover no data."""
    labels = axes.get_legend_handles_labels()[1]
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1.01),
        borderaxespad=0,
        borderpad=0.2,
        ncols=3 if len("".join(labels)) < 75 else 2,
        frameon=False,
        handlelength=2.6,
    )


def _format_value(metric: Metric, value: float) -> str:
    return f"{value:.4f}" if metric == "accuracy" else f"{value:.4g}"
