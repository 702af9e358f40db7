"""Which images a run is explained on: those of its test set by name, or any file."""

import csv
import difflib
import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from epochlab.data.decoding import decode_image
from epochlab.data.image_search import read_image
from epochlab.data.sources import shown
from epochlab.errors import DataError, RunError
from epochlab.explain.run_pixels import open_test_pixels
from epochlab.explain.tables import read_table
from epochlab.input_format import InputFormat
from epochlab.runs import Run

if TYPE_CHECKING:
    import numpy as np

# Of each: the most confident mistakes, and the most confident right answers.
CHOSEN = 2
LISTED_NAMES = 5


@dataclass(frozen=True)
class Row:
    """A line of `predictions.csv`: what the run said about one test image."""

    name: str
    truth: str
    prediction: str
    probability: float


@dataclass(frozen=True, eq=False)
class Subject:
    """An image to explain a model on.

    Attributes:
        name: What a person calls it, as one printable line.
        slug: The name of its folder of pictures: letters, digits, `.`, `_` and `-`.
        original: The image at its own size, uint8 `(height, width, 1 | 3)`.
        pixels: What the model takes, uint8 `image_shape`.
        truth: Name of its class, if it is of the test set.
    """

    name: str
    slug: str
    original: "np.ndarray"
    pixels: "np.ndarray"
    truth: str | None


def read_rows(run: Run) -> list[Row]:
    """Reads `predictions.csv`.

    Raises:
        RunError: If it is missing or damaged.
    """
    path = run.path / "predictions.csv"
    try:
        return [
            Row(row["image"], row["truth"], row["prediction"], float(row["probability"]))
            for row in read_table(path)
        ]
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise RunError(
            f"{path}: cannot be read ({error}); the run folder is damaged; give another run, or "
            "images with --image FILE"
        ) from error


def choose_rows(rows: Sequence[Row]) -> list[Row]:
    """Returns the most telling test images: the worst mistakes and the surest right answers.

    Each is of another class, as far as there are enough.
    """
    ordered = sorted(rows, key=lambda row: -row.probability)
    chosen: list[Row] = []
    for is_right in (False, True):
        fitting = [row for row in ordered if (row.truth == row.prediction) == is_right]
        classes: set[str] = set()
        first = [row for row in fitting if not (row.truth in classes or classes.add(row.truth))]
        rest = [row for row in fitting if row not in first[:CHOSEN]]
        chosen += [*first, *rest][:CHOSEN]
    return chosen


def find_subjects(run: Run, form: InputFormat, asked: Sequence[str]) -> list[Subject]:
    """Returns the images that a person means.

    Args:
        run: A finished run.
        form: The images that its model takes.
        asked: Each the name of a test image as in `predictions.csv`, its last part, or a file;
            nothing means the run's most telling test images.

    Raises:
        DataError: If one of `asked` is neither, or an image cannot be had or decoded.
        RunError: If the run's records are damaged.
    """
    if not asked:
        return _open_rows(run, form, choose_rows(read_rows(run)))
    rows = read_rows(run) if (run.path / "predictions.csv").exists() else []
    found: list[Row | Path] = []
    for text in asked:
        what = _find(text, rows)
        if what not in found:
            found.append(what)
    opened = _open_rows(run, form, [what for what in found if isinstance(what, Row)])
    from_test = iter(opened)
    return [next(from_test) if isinstance(what, Row) else _open_file(what, form) for what in found]


def _find(text: str, rows: Sequence[Row]) -> Row | Path:
    """Returns the test image or the file that `text` means; the test set comes first."""
    recorded = shown(text)  # as predictions.csv has it
    named = [row for row in rows if row.name == recorded]
    named = named or [row for row in rows if row.name.rpartition("/")[2] == recorded]
    if len(named) == 1:
        return named[0]
    if named:
        names = ", ".join(row.name for row in named[:LISTED_NAMES])
        raise DataError(f"--image {recorded}: means several test images, {names}; give one")
    path = Path(text)
    if path.is_file():
        return path
    if path.is_dir():
        raise DataError(f"--image {recorded}: a folder; give one image at a time")
    names = {row.name.rpartition("/")[2]: row.name for row in rows}
    close = difflib.get_close_matches(recorded, names, n=1)
    hint = f"; did you mean {names[close[0]]}?" if close else ""
    if not hint and rows:
        hint = f"; the test set goes from {rows[0].name} to {rows[-1].name}"
    raise DataError(f"--image {recorded}: neither an image of the run's test set nor a file{hint}")


def _open_rows(run: Run, form: InputFormat, rows: Sequence[Row]) -> list[Subject]:
    if not rows:
        return []
    pixels_of = open_test_pixels(run, form)
    opened = []
    for row in rows:
        original, pixels = pixels_of(row.name)
        name = row.name.removeprefix("test/")
        slug = f"image-{name}" if name.isdigit() else safe_name(name)
        opened.append(Subject(row.name, slug, original, pixels, row.truth))
    return opened


def _open_file(path: Path, form: InputFormat) -> Subject:
    name = shown(str(path))
    try:
        content = read_image(os.path.realpath(path))
        pixels = form.decode(content)
        grey = form.image_shape[-1] == 1
        original = decode_image(content, "grayscale" if grey else "rgb")
    except DataError as error:
        raise DataError(f"--image {name}: {error}; convert it, or give another image") from error
    # Two files of one name in different folders are two images.
    slug = f"{safe_name(path.name)}-{hashlib.sha256(content).hexdigest()[:8]}"
    return Subject(name, slug, original, pixels, None)


def safe_name(name: str) -> str:
    """Returns a name for a file: letters, digits, `.`, `_`, `-`; for another name another one."""
    plain = name.replace("/", "-")
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", plain).lstrip(".-")[:80]
    if safe != plain:
        safe += f"-{hashlib.sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"
    return safe
