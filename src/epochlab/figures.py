"""Figures that become PNG files with the same bytes on every machine of one Matplotlib version."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from epochlab.files import replace_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS_PER_INCH = 120

# Okabe and Ito, "Color Universal Design" (2008): told apart under every colour vision.
BLUE = "#0072B2"
VERMILION = "#D55E00"
GREY = "#666666"

# Titles and class names are plain text: a dollar sign in one must not start a formula.
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "text.parse_math": False,
    "axes.titlesize": 11.0,
    "figure.titlesize": 11.0,
    "axes.titlelocation": "left",
    "axes.edgecolor": GREY,
    "axes.axisbelow": True,
}


@contextlib.contextmanager
def figure_file(
    path: Path,
    size: tuple[float, float],
    provenance: Mapping[str, str],
    *,
    crop: bool = False,
) -> Iterator["Figure"]:
    """Gives an empty figure to draw on and writes it to `path` when the block ends.

    The user's `matplotlibrc` is ignored, pyplot is not loaded and no date or version is written, so
    the same drawing gives the same bytes. The file is whole or absent: an exception in the
    block leaves the old `path` as it was.

    Args:
        path: The PNG file to create or replace. Its folder must exist.
        size: Width and height of the figure in inches, at 120 dots per inch.
        provenance: Where the picture comes from: the PNG's text fields.
        crop: Whether to cut the picture to what was drawn (or grow it to hold all of it) instead of
            keeping `size` exactly.

    Yields:
        The figure. Its content is laid out to fit `size` unless `crop` is set.

    Raises:
        EnvironmentFault: If the disk is full or the folder cannot be written.
    """
    import matplotlib.style
    from matplotlib.figure import Figure

    with matplotlib.style.context(["default", STYLE]):
        figure = Figure(figsize=size, layout=None if crop else "constrained")
        yield figure
        with replace_file(path) as beside:
            figure.savefig(
                beside,
                format="png",
                dpi=DOTS_PER_INCH,
                bbox_inches="tight" if crop else None,
                pad_inches=0.15,
                metadata={"Software": None, **provenance},
            )
