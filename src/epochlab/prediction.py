"""Image files and folders in, predictions of a finished run's model out, batch by batch."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from epochlab.data.image_search import FoundImages, find_images, read_image
from epochlab.data.threads import THREADS
from epochlab.errors import DataError
from epochlab.lazy_import import lazy_import
from epochlab.quiet import held_back_stderr
from epochlab.runs import Run
from epochlab.trained_model import TrainedModel, load_trained_model

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy_import("numpy")


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the model says about one file.

    Attributes:
        file: The file, as it was asked for.
        class_names: One name per class index.
        probabilities: Of each class, float64 `(num_classes,)`, 0..1.
    """

    file: Path
    class_names: tuple[str, ...]
    probabilities: "np.ndarray"

    def ranked(self, count: int | None = None) -> list[tuple[str, float]]:
        """Returns the names and probabilities of the `count` likeliest classes, or all, in order.

        Of equally likely classes the one with the lower index comes first.
        """
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(self.class_names[index], float(self.probabilities[index])) for index in order]


@dataclass(frozen=True)
class Unreadable:
    """A file, or a folder, that there is no prediction for.

    Attributes:
        file: The file, as it was asked for.
        reason: Why it cannot be used, in words that follow its name.
    """

    file: Path
    reason: str


def predict_files(
    run: Run, paths: Sequence[Path], batch_size: int = 32, *, trust: bool = False
) -> Iterator[Prediction | Unreadable]:
    """Classifies image files with the model of a finished run.

    The images come to size and colour as the run's own did. No more than two batches of them are in
    memory at a time.

    Args:
        run: A finished run.
        paths: Files and folders, as in `find_images`.
        batch_size: Images per call of the model, at least 1.
        trust: As in `load_trained_model`.

    Returns:
        An iterator of one `Prediction` per file that can be decoded and one `Unreadable` per other
        one, in the order of `find_images`; folders that cannot be listed come first.

    Raises:
        DataError: If a path does not exist, or there is no image file.
        RunError: If the run is not finished, or its model cannot be used.
        ValueError: If `batch_size` is less than 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1. Received: batch_size={batch_size}")
    found = find_images(paths)
    return predict_found(load_trained_model(run, trust=trust), found, batch_size)


def predict_found(
    model: TrainedModel, found: FoundImages, batch_size: int
) -> Iterator[Prediction | Unreadable]:
    """Yields what `model` says about each of the files, in their order.

    Args:
        model: The opened model of a run.
        found: The files.
        batch_size: Images per call of the model, at least 1.

    Raises:
        RunError: If the model gives something that is not finite.
    """
    for folder, reason in found.unreadable.items():
        yield Unreadable(folder, reason)
    # Full batches whatever the number of bad files: each new batch size costs TensorFlow a trace.
    waiting: list[tuple[Path, np.ndarray | str]] = []
    images = 0
    with ThreadPoolExecutor(THREADS) as pool:
        remaining = iter(found.files.items())
        while batch := list(islice(remaining, batch_size)):
            with held_back_stderr():
                decoded = list(
                    pool.map(lambda place: _decode(model, place), [place for place, _ in batch])
                )
            for (_, file), outcome in zip(batch, decoded, strict=True):
                waiting.append((file, outcome))
                images += not isinstance(outcome, str)
                if images in (0, batch_size):
                    yield from _predict_batch(model, waiting)
                    waiting, images = [], 0
    yield from _predict_batch(model, waiting)


def _decode(model: TrainedModel, place: str) -> "np.ndarray | str":
    """Returns the pixels of the file at `place`, or why there are none."""
    try:
        return model.input_format.decode(read_image(place))
    except DataError as error:
        return str(error)


def _predict_batch(
    model: TrainedModel, waiting: Sequence[tuple[Path, "np.ndarray | str"]]
) -> Iterator[Prediction | Unreadable]:
    pixels = [outcome for _, outcome in waiting if not isinstance(outcome, str)]
    rows = iter(model.predict(np.stack(pixels)) if pixels else ())
    for file, outcome in waiting:
        if isinstance(outcome, str):
            yield Unreadable(file, outcome)
        else:
            yield Prediction(file, model.input_format.class_names, next(rows))
