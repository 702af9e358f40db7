"""The sheet to look at first: each image with every view of it, classes and feature maps."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from epochlab.contact_sheets import escape_letters, known_letters
from epochlab.explain.pictures import color_map, scale_map, to_rgb
from epochlab.explain.subjects import Subject
from epochlab.explain.views import TITLES, View, show_original
from epochlab.figures import BLUE, GREY, VERMILION, figure_file
from epochlab.lazy_import import lazy_import
from epochlab.prediction import Prediction

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
else:
    np = lazy_import("numpy")

# In inches.
_SIDE, _GAP, _HEAD, _LINE, _STRIP, _TITLE, _BARS, _BAR = 1.6, 0.15, 0.3, 0.36, 0.62, 0.4, 2.3, 0.3
TOP_CLASSES = 5
MOST_STRIP_TILES = 14


@dataclass(frozen=True, eq=False)
class Row:
    """One image of the sheet.

    Attributes:
        heading: Its name, what it is, and which class is explained.
        is_right: Whether the model is right; None where that is not known.
        original: uint8 `(height, width, 3)`.
        views: The pictures beside it.
        classes: The likeliest classes with their probabilities, 0..1.
        strip: Caption and colours, uint8 `(height, width, 3)`, of one feature map per layer.
    """

    heading: str
    is_right: bool | None
    original: "np.ndarray"
    views: Sequence[View]
    classes: Sequence[tuple[str, float]]
    strip: "Sequence[tuple[str, np.ndarray]]"


def make_row(
    subject: Subject,
    prediction: Prediction,
    class_name: str,
    views: Sequence[View],
    strip: "Sequence[tuple[str, np.ndarray]]",
) -> Row:
    """Returns the row of one image: what is explained, what the model says, every view."""
    classes = prediction.ranked()
    said, probability = classes[0]
    truth = f" is {subject.truth}," if subject.truth else ""
    explained = "" if class_name == said else f"; explained: {class_name}"
    return Row(
        f"{subject.name}:{truth} taken for {said} ({probability:.1%}){explained}",
        None if subject.truth is None else subject.truth == said,
        to_rgb(show_original(subject)),
        views,
        classes,
        strip,
    )


def choose_strip(maps: "Mapping[str, np.ndarray]") -> "list[tuple[str, np.ndarray]]":
    """Returns of some layers, evenly through the depth, the channel that answers most."""
    names = list(maps)
    if len(names) > MOST_STRIP_TILES:
        steps = np.linspace(0, len(names) - 1, MOST_STRIP_TILES).round().astype(int)
        names = [names[step] for step in steps]
    strip = []
    for name in names:
        values = maps[name][0]
        channel = int(values.mean(axis=(0, 1)).argmax())
        picture = color_map(scale_map(np.maximum(values[..., channel], 0)))
        strip.append((f"{name.rpartition('/')[2]}\nchannel {channel}", picture))
    return strip


def plot_overview(
    path: Path, rows: Sequence[Row], *, title: str, provenance: Mapping[str, str]
) -> None:
    """Draws a sheet with a row for each image.

    Args:
        path: The PNG file to create or replace.
        rows: At least one, all with the same views.
        title: The heading.
        provenance: Where the picture comes from: the PNG's text fields.

    Raises:
        EnvironmentFault: If the file cannot be written.
    """
    columns = 1 + len(rows[0].views)
    width = columns * (_SIDE + _GAP) + _BARS
    heights = [_LINE + _tallest(row) + (_STRIP + 0.25 if row.strip else 0) + 0.25 for row in rows]
    height = _TITLE + _HEAD + sum(heights)
    with figure_file(path, (width, height), provenance, crop=True) as figure:
        # Everything lies on one pair of axes, whose units are inches from the upper left corner.
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        letters = known_letters()
        axes.text(0, 0.05, escape_letters(title, letters), va="top", fontsize=12)
        names = ["image", *(TITLES[view.method] for view in rows[0].views)]
        for position, name in enumerate(names):
            left = position * (_SIDE + _GAP)
            axes.text(left, _TITLE + 0.1, name, va="top", fontsize=9, fontweight="bold")
        axes.text(
            columns * (_SIDE + _GAP) + 0.1, _TITLE + 0.1, "likeliest classes", va="top",
            fontsize=9, fontweight="bold",
        )  # fmt: skip
        if any(view.method == "integrated-gradients" for view in rows[0].views):
            axes.text(
                columns * (_SIDE + _GAP) + _BARS - 0.1, 0.1, "integrated gradients: orange speaks "
                "for the class, purple against", va="top", ha="right", fontsize=7, color=GREY,
            )  # fmt: skip
        top = _TITLE + _HEAD
        for row, tall in zip(rows, heights, strict=True):
            _draw_row(axes, row, top, width, letters)
            top += tall
        axes.set(xlim=(0, width), ylim=(height, 0))


def _draw_row(axes: "Axes", row: Row, top: float, width: float, letters: frozenset[int]) -> None:
    color = {None: "black", True: BLUE, False: VERMILION}[row.is_right]
    axes.plot([0, width], [top + 0.03] * 2, color="#DDDDDD", linewidth=0.8)
    heading = escape_letters(row.heading, letters)
    axes.text(0, top + 0.1, heading, va="top", fontsize=9, color=color)
    top += _LINE
    for position, pixels in enumerate([row.original, *(view.pixels for view in row.views)]):
        draw_tile(axes, pixels, position * (_SIDE + _GAP), top, _SIDE)
    left = (1 + len(row.views)) * (_SIDE + _GAP) + 0.1
    _draw_bars(axes, row.classes, left, top, letters)
    top += _tallest(row) + 0.1
    left = 0.0
    for caption, pixels in row.strip:
        draw_tile(axes, pixels, left, top, _STRIP)
        axes.text(left, top + _STRIP + 0.03, caption, va="top", fontsize=5.5, color=GREY)
        left += _STRIP + 0.08


def _tallest(row: Row) -> float:
    """Returns the height of a row without heading and strip: of the image, or of the bars."""
    height, width = row.original.shape[:2]
    return max(_SIDE * height / max(height, width), _BAR * min(len(row.classes), TOP_CLASSES))


def draw_tile(axes: "Axes", pixels: "np.ndarray", left: float, top: float, side: float) -> None:
    """Draws uint8 `(height, width, 3)` into a square of `side`, whole and in its proportions."""
    longest = max(pixels.shape[:2])
    height, width = (side * length / longest for length in pixels.shape[:2])
    axes.imshow(
        pixels,
        extent=(left, left + width, top + height, top),
        aspect="auto",
        interpolation="nearest" if longest <= 64 else "antialiased",
    )


def _draw_bars(
    axes: "Axes",
    classes: Sequence[tuple[str, float]],
    left: float,
    top: float,
    letters: frozenset[int],
) -> None:
    from matplotlib.patches import Rectangle

    full = _BARS - 0.2
    for position, (name, probability) in enumerate(classes[:TOP_CLASSES]):
        above = top + position * _BAR
        words = textwrap.shorten(escape_letters(name, letters), 22, placeholder="…")
        axes.text(left, above + 0.13, words, va="bottom", fontsize=7.5)
        axes.text(
            left + full, above + 0.13, f"{probability:.1%}", va="bottom", ha="right", fontsize=7.5
        )
        for share, color in ((1.0, "#E8E8E8"), (probability, GREY)):
            axes.add_patch(Rectangle((left, above + 0.15), full * share, 0.07, color=color, lw=0))
