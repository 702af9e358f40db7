"""Which class a trained network took for which: the confusion matrix -> PNG."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from epochlab.figures import BLUE, figure_file
from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage
else:
    np = lazy_import("numpy")

# Beyond these the cells are too small for their counts, the margin for all the names.
MOST_CLASSES_WITH_COUNTS = 20
MOST_NAMES = 34
LONGEST_NAME = 16


def plot_confusion(
    path: Path,
    confusion: "np.ndarray",
    class_names: Sequence[str],
    *,
    title: str,
    provenance: Mapping[str, str],
) -> None:
    """Draws a confusion matrix, coloured by each cell's share of its true class.

    The colour follows the square root of the share, so that a mistake of 1 % can be seen. Up to 20
    classes have their counts in the cells. The bars at the right are the accuracy of each class.

    Args:
        path: The PNG file to create or replace.
        confusion: Counts, int64 `(num_classes, num_classes)`, 0 or more: rows are the true
            classes, columns the predicted ones.
        class_names: One name per class, in the order of `confusion`.
        title: The heading.
        provenance: Where the picture comes from: the PNG's text fields.

    Raises:
        ValueError: If `confusion` is not one row and one column per class name.
        EnvironmentFault: If the file cannot be written.
    """
    num_classes = len(class_names)
    if num_classes == 0 or confusion.shape != (num_classes, num_classes):
        raise ValueError(
            f"confusion has shape {confusion.shape}, class_names {num_classes} names; "
            "give one row and one column per class"
        )
    totals = confusion.sum(axis=1, keepdims=True)
    shares = confusion / np.maximum(totals, 1)
    side = float(np.clip(0.5 * num_classes, 3.0, 10.0))
    with figure_file(path, (1.6 * side, 1.3 * side), provenance, crop=True) as figure:
        # The axes take `side` inches; cropping adds the room that names of any length need.
        axes = figure.add_axes((0.15, 0.15, 1 / 1.6, 1 / 1.3))
        image = _draw_cells(axes, shares)
        if num_classes <= MOST_CLASSES_WITH_COUNTS:
            _write_counts(axes, confusion, shares)
        _name_classes(axes, class_names)
        _draw_class_accuracy(axes, shares.diagonal(), totals[:, 0], side)
        scale = axes.inset_axes((1 + 1.35 / side, 0, 0.12 / side, 1))
        figure.colorbar(image, cax=scale, format=_percent, ticks=[0, 0.01, 0.1, 0.25, 0.5, 1])
        scale.set_ylabel("share of the true class")
        axes.set_title(title, pad=12)


def _draw_cells(axes: "Axes", shares: "np.ndarray") -> "AxesImage":
    from matplotlib.colors import PowerNorm

    return axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1))


def _write_counts(axes: "Axes", confusion: "np.ndarray", shares: "np.ndarray") -> None:
    size = 11 if len(confusion) <= 5 else 8.5 if len(confusion) <= 12 else 7
    for (row, column), count in np.ndenumerate(confusion):
        dark = shares[row, column] > 0.3
        color = "white" if dark else "black" if count else "#AAAAAA"
        axes.text(column, row, str(count), ha="center", va="center", fontsize=size, color=color)


def _name_classes(axes: "Axes", class_names: Sequence[str]) -> None:
    step = -(-len(class_names) // MOST_NAMES)
    positions = range(0, len(class_names), step)
    names = [_shorten(class_names[index]) for index in positions]
    longest = max(map(len, names))
    axes.set_xticks(positions, names)
    axes.set_yticks(positions, names)
    if longest > 5 or step > 1:
        axes.tick_params(axis="x", labelrotation=90)
    axes.tick_params(length=0 if step == 1 else 2)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")


def _shorten(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def _draw_class_accuracy(
    axes: "Axes", accuracies: "np.ndarray", totals: "np.ndarray", side: float
) -> None:
    bars = axes.inset_axes((1 + 0.12 / side, 0, 0.9 / side, 1), sharey=axes)
    bars.barh(range(len(accuracies)), accuracies, color=BLUE, alpha=0.35, height=0.8)
    bars.set_xlim(0, 1)
    bars.xaxis.set_major_formatter(_percent)
    bars.set_xticks([0.5, 1])
    bars.set_xlabel("accuracy")
    bars.tick_params(axis="x", labelsize=8)
    bars.tick_params(axis="y", left=False, labelleft=False)
    bars.spines[["top", "right"]].set_visible(False)
    if len(accuracies) <= MOST_CLASSES_WITH_COUNTS:
        for row, (accuracy, total) in enumerate(zip(accuracies, totals, strict=True)):
            text = f"{100 * accuracy:.1f} %" if total else "no images"
            bars.text(0.05, row, text, va="center", fontsize=8)


def _percent(share: float, _position: float | None = None) -> str:
    return f"{100 * share:.0f} %"
