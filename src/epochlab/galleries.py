"""Images in a grid: what a trained network got wrong, what augmentation does -> PNG."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from epochlab.figures import GREY, figure_file
from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
else:
    np = lazy_import("numpy")

MOST_MISTAKES = 25
MOST_COLUMNS = 5


def plot_mistakes(
    path: Path,
    images: "np.ndarray",
    captions: Sequence[str],
    *,
    title: str,
    provenance: Mapping[str, str],
) -> None:
    """Draws wrongly classified images in a grid, worst first, each with its caption below.

    Args:
        path: The PNG file to create or replace.
        images: Raw pixels, uint8 `(n, height, width, 1 | 3)`, 0..255, worst first. The first 25 are
            drawn; none gives a picture that says so.
        captions: One text per image, such as `7 as 1 (99.8 %)` and an index on the next line.
        title: The heading.
        provenance: Where the picture comes from: the PNG's text fields.

    Raises:
        ValueError: If `images` has another shape or type, or not one caption each.
        EnvironmentFault: If the file cannot be written.
    """
    _check_images(images, captions)
    shown = min(len(images), MOST_MISTAKES)
    columns = min(max(shown, 1), MOST_COLUMNS)
    rows = -(-shown // columns) or 1
    # In inches: a picture's side, and the room below and beside it.
    side, below, beside = 1.4, 0.6, 0.25
    size = (columns * side + (columns - 1) * beside, rows * side + (rows - 1) * below)
    if not shown:
        size = (4.0, 0.5)
    with figure_file(path, size, provenance, crop=True) as figure:
        figure.subplots_adjust(0, 0, 1, 1, wspace=beside / side, hspace=below / side)
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for axes, pixels, caption in zip(grid.flat, images[:shown], captions, strict=False):
            _draw_image(axes, pixels, caption)
        if not shown:
            grid[0, 0].text(0, 0.5, "no mistakes on the test set", fontsize=14, color=GREY)
        grid[0, 0].set_title(title, pad=12)


def plot_augmentation(
    path: Path,
    original: "np.ndarray",
    changed: "np.ndarray",
    *,
    title: str,
    provenance: Mapping[str, str],
) -> None:
    """Draws an image, and beside it in a grid what augmentation makes of it pass by pass.

    Args:
        path: The PNG file to create or replace.
        original: Raw pixels, uint8 `(height, width, 1 | 3)`, 0..255.
        changed: The same image augmented, uint8 `(n, height, width, 1 | 3)`, n at least 1.
        title: The heading.
        provenance: Where the picture comes from: the PNG's text fields.

    Raises:
        ValueError: If `original` or `changed` has another shape or type.
        EnvironmentFault: If the file cannot be written.
    """
    images = np.concatenate([original[None], changed])
    _check_images(images, [""] * len(images))
    columns = math.ceil(math.sqrt(len(changed)))
    rows = -(-len(changed) // columns)
    side = 1.4
    with figure_file(path, ((columns + 1.3) * side, rows * side), provenance, crop=True) as figure:
        share = 1 / (columns + 1.3)
        first = figure.add_axes((0, 1 - 1 / rows, 0.97 * share, 0.97 / rows))
        _draw_image(first, original, "original")
        for position, pixels in enumerate(changed):
            row, column = divmod(position, columns)
            left, bottom = (column + 1.3) * share, 1 - (row + 1) / rows
            axes = figure.add_axes((left, bottom, 0.97 * share, 0.97 / rows))
            _draw_image(axes, pixels, "")
        for axes in figure.axes:
            axes.set_axis_off()
        figure.suptitle(title, x=0, y=1 + 0.25 / (rows * side), ha="left")


def _check_images(images: "np.ndarray", captions: Sequence[str]) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(
            f"images are {images.dtype} {images.shape}; give uint8 (n, height, width, 1 | 3)"
        )
    if len(captions) != len(images):
        raise ValueError(f"{len(images)} images have {len(captions)} captions; give one each")


def _draw_image(axes: "Axes", pixels: "np.ndarray", caption: str) -> None:
    small = max(pixels.shape[:2]) <= 64
    axes.imshow(
        pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels,
        cmap="gray",
        vmin=0,
        vmax=255,
        interpolation="nearest" if small else "antialiased",
    )
    lines = [part for line in caption.splitlines() for part in textwrap.wrap(line, 22)]
    axes.text(
        0.5,
        -0.05,
        "\n".join(lines[:3]),
        transform=axes.transAxes,
        ha="center",
        va="top",
        fontsize=8,
    )
