"""Sheets of feature maps and filters, and the curve of how they thin out with depth."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from epochlab.explain.activations import Sparsity, arrange
from epochlab.figures import BLUE, VERMILION, figure_file
from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy_import("numpy")

FILTERS_PER_ROW = 8
FILTERS_PER_SHEET = 64
# A sheet of small maps is enlarged by a whole factor to about this width.
SHEET_WIDTH = 960


def enlarge_sheet(sheet: "np.ndarray") -> "np.ndarray":
    """Returns a small sheet with each pixel as a square, a large one as it is."""
    factor = max(1, SHEET_WIDTH // sheet.shape[1])
    return sheet.repeat(factor, axis=0).repeat(factor, axis=1)


def draw_filters(patterns: "np.ndarray") -> "list[np.ndarray]":
    """Puts filters' images into sheets of eight rows of eight.

    Args:
        patterns: uint8 `(n, height, width, 1 | 3)`.

    Returns:
        uint8 `(height, width, 3)` or `(height, width)` for each sheet.
    """
    tiles = patterns[..., 0] if patterns.shape[-1] == 1 else patterns
    return [
        enlarge_sheet(
            arrange(
                tiles[first : first + FILTERS_PER_SHEET],
                min(FILTERS_PER_ROW, len(tiles)),
                max(2, tiles.shape[1] // 16),
            )
        )
        for first in range(0, len(tiles), FILTERS_PER_SHEET)
    ]


def plot_sparsity(
    path: Path,
    layers: Mapping[str, Sparsity],
    *,
    title: str,
    provenance: Mapping[str, str],
) -> None:
    """Draws, layer by layer, how many channels are dead and how many values are zero.

    Args:
        path: The PNG file to create or replace.
        layers: The layers in the model's order, by name.
        title: The heading.
        provenance: Where the picture comes from: the PNG's text fields.

    Raises:
        EnvironmentFault: If the file cannot be written.
    """
    dead = [100 * layer.dead / layer.channels for layer in layers.values()]
    zeros = [100 * layer.zeros for layer in layers.values()]
    width = max(4.5, 1.5 + 0.3 * len(layers))
    with figure_file(path, (width, 3.4), provenance) as figure:
        axes = figure.add_subplot()
        positions = range(len(layers))
        axes.bar(positions, dead, color=BLUE, label="dead channels")
        axes.plot(positions, zeros, color=VERMILION, marker="o", label="values that are zero")
        for position, layer in enumerate(layers.values()):
            if layer.dead:
                axes.annotate(
                    str(layer.dead), (position, dead[position]), ha="center", va="bottom",
                    fontsize=7, color=BLUE,
                )  # fmt: skip
        axes.set_xticks(positions, _short(list(layers)), rotation=60, ha="right", fontsize=7)
        axes.set_ylim(0, 100)
        axes.set_ylabel("%")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, frameon=False, fontsize=8)
        figure.suptitle(title, x=0.01, ha="left", fontsize=9)


def _short(names: Sequence[str]) -> list[str]:
    """Returns the layers' own names, unless two are the same."""
    own = [name.rpartition("/")[2] for name in names]
    return own if len(set(own)) == len(own) else list(names)
