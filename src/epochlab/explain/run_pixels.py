"""The pixels of a run's test images, from where its data lies, if it is still the same."""

import contextlib
import csv
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from epochlab.config.yaml_reader import read_yaml
from epochlab.data.decoding import decode_image
from epochlab.data.image_search import read_image
from epochlab.data.mnist import MnistConfig, load_mnist
from epochlab.data.sources import shown
from epochlab.errors import DataError, RunError
from epochlab.explain.tables import read_table
from epochlab.input_format import InputFormat
from epochlab.runs import Run

if TYPE_CHECKING:
    import numpy as np

REMEDY = "bring it back, or give images with --image FILE"

# From a name in `predictions.csv` to the image at its own size and what the model takes of it.
PixelsOf = Callable[[str], "tuple[np.ndarray, np.ndarray]"]


def open_test_pixels(run: Run, form: InputFormat) -> PixelsOf:
    """Finds the run's test images where its config says that they are.

    A run folder has no pixels. The shipped MNIST is always there; an `.npz` file or a folder is
    used if it is where it was, seen from the current folder, and unchanged.

    Args:
        run: A finished run.
        form: The images that its model takes.

    Returns:
        A function that gives original, uint8 `(height, width, channels)`, and pixels, uint8
        `image_shape`, of a test image, and raises DataError if it is gone or has changed.

    Raises:
        DataError: If the data is gone or another.
        RunError: If the run's records are damaged.
    """
    section = read_yaml(run.config_path).values.get("data") or {}
    if "image_size" in section:
        return _from_files(run, form, Path(str(section["path"])))
    return _from_arrays(run, section)


def _from_arrays(run: Run, section: dict[str, Any]) -> PixelsOf:
    try:
        config = MnistConfig.model_validate(section)
    except ValidationError as error:
        raise RunError(
            f"{run.config_path}: data: is of another kind of experiment than those that ship; give "
            "images with --image FILE"
        ) from error
    try:
        data = load_mnist(config)
    except DataError as error:
        raise DataError(f"the run's test images: {error}; or give images with --image") from error
    if data.fingerprint != run.read_json("data.json").get("sha256"):
        raise DataError(f"{data.source}: is not the data that the run was trained on; {REMEDY}")
    positions = {name: position for position, name in enumerate(data.test.names)}

    def pixels_of(name: str) -> "tuple[np.ndarray, np.ndarray]":
        if name not in positions:
            raise DataError(f"{data.source}: has no test image {name}; {REMEDY}")
        pixels = data.test.images[positions[name] : positions[name] + 1][0]
        return pixels, pixels

    return pixels_of


def _from_files(run: Run, form: InputFormat, root: Path) -> PixelsOf:
    path = run.path / "files.csv"
    try:
        hashes = {row["file"]: row["sha256"] for row in read_table(path)}
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise RunError(
            f"{path}: cannot be read ({error}), and so it is not known which images the run had; "
            "give images with --image FILE"
        ) from error
    if not root.is_dir():
        raise DataError(
            f"{root}: the run's images were there, seen from the folder that it was trained in, "
            "but there is no such folder here; go there, or give images with --image FILE"
        )

    def pixels_of(name: str) -> "tuple[np.ndarray, np.ndarray]":
        file = _find_file(root, name)
        try:
            content = read_image(str(file))
            if hashlib.sha256(content).hexdigest() != hashes.get(name):
                raise DataError("is not the image that the run was tested on")
            color_mode = "rgb" if form.image_shape[-1] == 3 else "grayscale"
            return decode_image(content, color_mode), form.decode(content)
        except DataError as error:
            raise DataError(f"{shown(str(file))}: {error}; {REMEDY}") from error

    return pixels_of


def _find_file(root: Path, name: str) -> Path:
    """Returns the file below `root` that the run's records call `name`, whether it is there or not.

    They have names as `shown` writes them, which is not what the file system calls, for example,
    the screenshots of macOS: those have a narrow no-break space before AM and PM.
    """
    file = root
    for part in name.split("/"):
        file /= _find_entry(file, part)
    return file


def _find_entry(folder: Path, recorded: str) -> str:
    if not os.path.lexists(folder / recorded):
        with contextlib.suppress(OSError):
            entries = sorted(os.listdir(folder))
            return next((entry for entry in entries if shown(entry) == recorded), recorded)
    return recorded
