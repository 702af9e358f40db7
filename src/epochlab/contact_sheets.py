"""Small pictures on one sheet, each with a caption -> PNG."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from epochlab.figures import GREY, figure_file

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

COLUMNS = 6
LETTERS = 27
MOST_LINES = 4

# In inches: a picture's side, the room around it, and those above and below for text.
_SIDE, _GAP, _ABOVE, _BELOW, _TITLE = 1.4, 0.2, 0.35, 0.6, 0.4


@dataclass(frozen=True, eq=False)
class Tile:
    """One picture of a sheet.

    Attributes:
        pixels: uint8 `(height, width, 3)`, 0..255, or None for a picture that cannot be shown.
        caption: The text below it.
    """

    pixels: "np.ndarray | None"
    caption: str


@dataclass(frozen=True, eq=False)
class Group:
    """Pictures that belong together, in one frame.

    Attributes:
        heading: The text above them.
        tiles: One or two.
    """

    heading: str
    tiles: Sequence[Tile]


def plot_contact_sheet(
    path: Path, groups: Sequence[Group], *, title: str, provenance: Mapping[str, str]
) -> None:
    """Draws groups of pictures in rows of six, each whole in its proportions.

    Letters that the font lacks are written as escapes.

    Args:
        path: The PNG file to create or replace.
        groups: At least one, in order; none is broken over two rows.
        title: The heading of the sheet.
        provenance: Where the picture comes from: the PNG's text fields.

    Raises:
        EnvironmentFault: If the file cannot be written.
    """
    places = list(_place(groups))
    ends = (column + len(group.tiles) for (_, column), group in zip(places, groups, strict=True))
    width = max(ends) * (_SIDE + _GAP)
    height = _TITLE + (places[-1][0] + 1) * (_ABOVE + _SIDE + _BELOW)
    with figure_file(path, (width, height), provenance, crop=True) as figure:
        # Everything lies on one pair of axes, whose units are inches from the upper left corner.
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        letters = known_letters()
        axes.text(_GAP / 2, 0.1, escape_letters(title, letters), va="top", fontsize=11)
        for (row, column), group in zip(places, groups, strict=True):
            top = _TITLE + row * (_ABOVE + _SIDE + _BELOW)
            _draw_group(axes, group, column * (_SIDE + _GAP), top, letters)
        axes.set(xlim=(0, width), ylim=(height, 0))


def _place(groups: Sequence[Group]) -> Iterator[tuple[int, int]]:
    """Yields row and column of the first picture of each group."""
    row = column = 0
    for group in groups:
        if column + len(group.tiles) > COLUMNS:
            row, column = row + 1, 0
        yield row, column
        column += len(group.tiles)


def _draw_group(
    axes: "Axes", group: Group, left: float, top: float, letters: frozenset[int]
) -> None:
    width, height = len(group.tiles) * (_SIDE + _GAP), _ABOVE + _SIDE + _BELOW
    _draw_box(axes, left + 0.04, top + 0.04, width - 0.08, height - 0.08, fill="none")
    heading = escape_letters(group.heading, letters)
    left, bottom = left + _GAP / 2, top + _ABOVE + _SIDE
    axes.text(left, top + 0.1, heading, va="top", fontsize=7.5, fontweight="bold")
    for tile in group.tiles:
        _draw_picture(axes, tile, left, bottom)
        caption = _wrap_caption(escape_letters(tile.caption, letters))
        axes.text(left, bottom + 0.05, caption, va="top", fontsize=6.5)
        left += _SIDE + _GAP


def _draw_picture(axes: "Axes", tile: Tile, left: float, bottom: float) -> None:
    if tile.pixels is None:
        _draw_box(axes, left, bottom - _SIDE, _SIDE, _SIDE, fill="#EEEEEE")
        middle = left + _SIDE / 2, bottom - _SIDE / 2
        axes.text(*middle, "no picture", ha="center", va="center", color=GREY)
        return
    height, width = (_SIDE * side / max(tile.pixels.shape) for side in tile.pixels.shape[:2])
    axes.imshow(
        tile.pixels,
        extent=(left, left + width, bottom, bottom - height),
        aspect="auto",
        interpolation="nearest" if max(tile.pixels.shape) <= 64 else "antialiased",
    )


def _draw_box(
    axes: "Axes", left: float, top: float, width: float, height: float, *, fill: str
) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((left, top), width, height, facecolor=fill, edgecolor="#CCCCCC"))


def _wrap_caption(caption: str) -> str:
    lines = [part for line in caption.splitlines() for part in textwrap.wrap(line, LETTERS)]
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES - 1], f"{lines[MOST_LINES - 1][: LETTERS - 1]}…"]
    return "\n".join(lines)


def known_letters() -> frozenset[int]:
    """Returns the code points that the figures' font has."""
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont("DejaVu Sans")).get_charmap())


def escape_letters(text: str, letters: frozenset[int]) -> str:
    """Returns `text` with letters that are none of `letters` written as escapes."""
    return "".join(
        letter
        if letter == "\n" or ord(letter) in letters
        else letter.encode("unicode_escape").decode("ascii")
        for letter in text
    )
