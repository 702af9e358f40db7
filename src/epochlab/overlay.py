"""Curves of several runs on one picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from epochlab.figures import GREY, figure_file
from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
else:
    np = lazy_import("numpy")

# Okabe and Ito, "Color Universal Design" (2008), without black and the yellow that paper swallows.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F3C8D")
# When the colours begin again, the lines get another mark.
MARKERS = (None, "o", "s", "^", "D", "v", "P", "X")
MARKS_PER_LINE = 8
# With losses this far apart, all but the largest would lie flat on the axis.
LOG_RATIO = 50
# With more lines than this, those of training step back.
CROWD = 6
FAINT = 0.4
LEGEND_WIDTH = 110


@dataclass(frozen=True)
class Line:
    """The curves of one group of runs.

    Attributes:
        label: What sets the group off.
        training: Values per epoch of each run.
        validation: The same of each run that has validation.
        best_epoch: The epoch to mark, from 1, or None.
    """

    label: str
    training: Sequence[Sequence[float]]
    validation: Sequence[Sequence[float]]
    best_epoch: int | None


def plot_overlay(
    path: Path,
    metric: str,
    lines: Sequence[Line],
    *,
    title: str,
    phase_starts: Sequence[int] = (),
    provenance: Mapping[str, str],
) -> None:
    """Draws one metric of several groups of runs: training dashed, validation solid.

    A group of several runs is drawn as its mean, as far as all its runs go, with a band of one
    standard deviation to either side of the validation's (the training's where there is none).
    Losses of different magnitudes get a logarithmic scale.

    Args:
        path: The PNG file to create or replace.
        metric: Name of the values: `accuracy`, `loss`.
        lines: The groups, at least one.
        title: The heading.
        phase_starts: First epoch of each phase, from 1, where all runs share them.
        provenance: Where the picture comes from: the PNG's text fields.

    Raises:
        EnvironmentFault: If the file cannot be written.
    """
    rows = -(-len(lines) // _count_columns(lines))
    with figure_file(path, (9.0, 4.8 + 0.2 * rows), provenance) as figure:
        from matplotlib.ticker import MaxNLocator

        axes = figure.add_subplot()
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
        axes.set_xlim(0.5, max(len(run) for line in lines for run in line.training) + 0.5)
        axes.set_xlabel("epoch")
        axes.set_ylabel(metric)
        axes.grid(color="#E5E5E5", linewidth=0.7)
        axes.spines[["top", "right"]].set_visible(False)
        if metric == "loss" and _spread(lines) > LOG_RATIO:
            axes.set_yscale("log")
        for start in phase_starts:
            if start > 1:
                axes.axvline(start - 0.5, color=GREY, linewidth=0.8)
        for position, line in enumerate(lines):
            _draw_line(axes, line, position, is_crowded=len(lines) > CROWD)
        _add_legend(figure, axes, lines)
        figure.suptitle(title, x=0.01, ha="left")


def _draw_line(axes: "Axes", line: Line, position: int, *, is_crowded: bool) -> None:
    color = COLORS[position % len(COLORS)]
    marker = MARKERS[position // len(COLORS) % len(MARKERS)]
    kinds = {"--": line.training, "-": line.validation}
    for style, runs in kinds.items():
        if not runs:
            continue
        mean, deviation = _summarize(runs)
        epochs = np.arange(1, len(mean) + 1)
        is_main = style == "-" or not line.validation
        axes.plot(
            epochs,
            mean,
            color=color,
            linestyle=style,
            linewidth=1.7 if style == "-" else 1.0,
            alpha=1.0 if is_main or not is_crowded else FAINT,
            # A single epoch has no line.
            marker=marker or ("o" if len(mean) == 1 else None),
            markersize=4,
            markevery=max(1, len(mean) // MARKS_PER_LINE),
            label=line.label if is_main else None,
            zorder=3 if style == "-" else 2,
        )
        if not is_main:
            continue
        if len(runs) > 1:
            axes.fill_between(
                epochs, mean - deviation, mean + deviation, color=color, alpha=0.18, lw=0
            )
        if line.best_epoch is not None and line.best_epoch <= len(mean):
            axes.plot(
                [line.best_epoch],
                [mean[line.best_epoch - 1]],
                marker="o",
                markersize=7,
                color=color,
                markeredgecolor="black",
                zorder=5,
            )


def _summarize(runs: Sequence[Sequence[float]]) -> "tuple[np.ndarray, np.ndarray]":
    """Returns mean and standard deviation per epoch, as far as all runs go; NaN for gaps."""
    shortest = min(len(run) for run in runs)
    values = np.asarray([run[:shortest] for run in runs], np.float64)
    values = np.where(np.isfinite(values), values, np.nan)
    deviation = values.std(axis=0, ddof=1) if len(runs) > 1 else np.zeros(shortest)
    return values.mean(axis=0), deviation


def _spread(lines: Sequence[Line]) -> float:
    """Returns the ratio of the largest to the smallest of the lines' typical values."""
    typical = [
        float(np.median(values[np.isfinite(values)]))
        for line in lines
        for runs in (line.training, line.validation)
        for values in (np.asarray(run, np.float64) for run in runs)
        if np.isfinite(values).any()
    ]
    positive = [value for value in typical if value > 0]
    return max(positive) / min(positive) if positive else 1.0


def _count_columns(lines: Sequence[Line]) -> int:
    longest = max(len(line.label) for line in lines) + 8
    return max(1, min(4, len(lines), LEGEND_WIDTH // longest))


def _add_legend(figure: "Figure", axes: "Axes", lines: Sequence[Line]) -> None:
    notes = ["dashed: training, solid: validation"]
    if any(line.best_epoch is not None for line in lines):
        notes.append("dot: best epoch")
    if any(len(line.training) > 1 for line in lines):
        notes.append("band: ± 1 standard deviation over the seeds")
    figure.legend(
        *axes.get_legend_handles_labels(),
        loc="outside lower left",
        ncols=_count_columns(lines),
        frameon=False,
        title="; ".join(notes),
        alignment="left",
        handlelength=2.2,
    )
