"""The same test images through several runs: images in rows, runs in columns."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from epochlab.compare import compare_runs
from epochlab.contact_sheets import escape_letters, known_letters
from epochlab.errors import DataError
from epochlab.explain.gradcam import compute_gradcam
from epochlab.explain.layers import list_places
from epochlab.explain.overview import draw_tile
from epochlab.explain.pictures import to_rgb
from epochlab.explain.plans import Request, make_plan
from epochlab.explain.subjects import (
    Subject,
    choose_rows,
    find_subjects,
    read_rows,
)
from epochlab.explain.views import draw_cam, show_original
from epochlab.figures import BLUE, GREY, VERMILION, figure_file
from epochlab.lazy_import import lazy_import
from epochlab.recorded_runs import RecordedRun
from epochlab.trained_model import load_trained_model

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
else:
    np = lazy_import("numpy")

# In inches.
_SIDE, _GAP, _BELOW, _TITLE, _HEAD_LINE = 1.8, 0.2, 0.42, 0.5, 0.16
LETTERS = 22


@dataclass(frozen=True, eq=False)
class Cell:
    """What one run says about one image.

    Attributes:
        pixels: The class-activation map over the image, uint8 `(height, width, 3)`.
        said: Name of the likeliest class.
        probability: Its probability, 0..1.
        is_right: Whether it is the image's class; None where that is not known.
    """

    pixels: "np.ndarray"
    said: str
    probability: float
    is_right: bool | None


@dataclass(frozen=True, eq=False)
class Column:
    """One run of the grid: its heading, and a cell for each image."""

    heading: str
    cells: Sequence[Cell]


def choose_shared_images(runs: Sequence[RecordedRun]) -> list[str]:
    """Returns the first run's most telling test images among those that all runs have.

    Raises:
        DataError: If there are none.
    """
    rows = [read_rows(run.run) for run in runs]
    shared = set.intersection(*({row.name for row in own} for own in rows))
    chosen = choose_rows([row for row in rows[0] if row.name in shared])
    if not chosen:
        raise DataError(
            "the runs have no test image in common; give runs on the same data, or images with "
            "--image FILE"
        )
    return [row.name for row in chosen]


def make_columns(
    runs: Sequence[RecordedRun],
    images: Sequence[str],
    request: Request,
    *,
    trust: bool = False,
) -> tuple[list[Subject], list[Column]]:
    """Explains the same images with each run.

    Args:
        runs: Finished runs.
        images: Names of test images, or files, as in `find_subjects`.
        request: The class, the layer and the target to explain.
        trust: As in `load_trained_model`.

    Returns:
        The images as the first run has them, and a column for each run.

    Raises:
        ConfigError: If a run's model has no convolutions.
        DataError: If an image is not among a run's test images, or cannot be had.
        RunError: If a run is not finished or its model cannot be used.
    """
    first: list[Subject] = []
    columns = []
    for run, heading in zip(runs, _headings(runs), strict=True):
        trained = load_trained_model(run.run, trust=trust)
        subjects = find_subjects(run.run, trained.input_format, images)
        first = first or subjects
        for ours, others in zip(subjects, first, strict=True):
            if (
                ours.original.shape != others.original.shape
                or (ours.original != others.original).any()
            ):
                raise DataError(
                    f"{ours.name}: is another image in {run.name} than in {runs[0].name}; give "
                    "runs on the same data, or images with --image FILE"
                )
        places = list_places(trained.keras_model, trained.input_format.image_shape)
        plan = make_plan(request, places, trained.input_format.class_names)
        pixels = np.stack([subject.pixels for subject in subjects])
        probabilities = trained.predict(pixels)
        said = probabilities.argmax(axis=1)
        explained = said if plan.class_index is None else np.full_like(said, plan.class_index)
        maps = compute_gradcam(
            trained.keras_model, pixels, explained, place=plan.cam_place, target=request.target
        )
        names = trained.input_format.class_names
        cells = [
            Cell(
                draw_cam(trained, subject, maps[position]),
                names[said[position]],
                float(probabilities[position].max()),
                None if subject.truth is None else names[said[position]] == subject.truth,
            )
            for position, subject in enumerate(subjects)
        ]
        columns.append(Column(heading, cells))
    return first, columns


def plot_grid(
    path: Path,
    subjects: Sequence[Subject],
    columns: Sequence[Column],
    *,
    title: str,
    provenance: Mapping[str, str],
) -> None:
    """Draws the grid.

    Args:
        path: The PNG file to create or replace.
        subjects: The images, one per row.
        columns: The runs.
        title: The heading.
        provenance: Where the picture comes from: the PNG's text fields.

    Raises:
        EnvironmentFault: If the file cannot be written.
    """
    width = (1 + len(columns)) * (_SIDE + _GAP)
    letters = known_letters()
    headings = [
        textwrap.wrap(escape_letters(heading, letters), LETTERS)[:4]
        for heading in ("image", *(column.heading for column in columns))
    ]
    head = _TITLE + _HEAD_LINE * max(map(len, headings))
    pictures = [show_original(subject) for subject in subjects]
    heights = [_SIDE * picture.shape[0] / max(picture.shape[:2]) for picture in pictures]
    height = head + sum(heights) + len(subjects) * _BELOW
    with figure_file(path, (width, height), provenance, crop=True) as figure:
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.text(0, 0.05, escape_letters(title, letters), va="top", fontsize=12)
        for position, lines in enumerate(headings):
            axes.text(
                position * (_SIDE + _GAP), head - 0.08, "\n".join(lines), va="bottom",
                fontsize=8.5, fontweight="bold",
            )  # fmt: skip
        top = head
        for row, (subject, picture) in enumerate(zip(subjects, pictures, strict=True)):
            draw_tile(axes, to_rgb(picture), 0, top, _SIDE)
            name = subject.name.rpartition("/")[2]
            truth = f"{name}\n{subject.truth}" if subject.truth else name
            below = top + heights[row] + 0.04
            _write(axes, escape_letters(truth, letters), 0, below, GREY)
            for position, column in enumerate(columns, 1):
                left, cell = position * (_SIDE + _GAP), column.cells[row]
                draw_tile(axes, cell.pixels, left, top, _SIDE)
                _write_answer(axes, cell, left, below, letters)
            top += heights[row] + _BELOW
        axes.set(xlim=(0, width), ylim=(height, 0))


def _write_answer(
    axes: "Axes", cell: Cell, left: float, top: float, letters: frozenset[int]
) -> None:
    # Colour and sign say the same, for who tells the colours apart and who does not.
    mark, color = {None: ("", "black"), True: ("✓ ", BLUE), False: ("✗ ", VERMILION)}[cell.is_right]
    words = f"{mark}{escape_letters(cell.said, letters)}, {cell.probability:.1%}"
    _write(axes, words, left, top, color)


def _write(axes: "Axes", text: str, left: float, top: float, color: str) -> None:
    axes.text(left, top, text, va="top", fontsize=8, color=color)


def _headings(runs: Sequence[RecordedRun]) -> list[str]:
    """Returns what sets each run off from the others."""
    labels = {
        run.name: f"{group.label}, seed {run.seed}" if len(group.runs) > 1 else group.label
        for group in compare_runs(runs).groups
        for run in group.runs
    }
    return [labels.get(run.name, run.name) for run in runs]
