"""`epochlab predict`: image files or folders in, classes and probabilities out."""

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from epochlab.errors import ConfigError, DataError
from epochlab.files import check_writable, replace_file

if TYPE_CHECKING:
    from epochlab.data.image_search import FoundImages
    from epochlab.prediction import Prediction, Unreadable
    from epochlab.runs import Run

Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="open model.h5 with Keras itself, which may execute code in it: only for a file "
        "whose maker you know",
    ),
]


def predict(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="folder of a finished run", show_default=False)
    ],
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH",
            help="image files, and folders that are searched to any depth",
            show_default=False,
        ),
    ],
    top: Annotated[
        int | None,
        typer.Option(
            metavar="K",
            min=1,
            help="give the K likeliest classes (default: the likeliest in CSV, all in JSON)",
        ),
    ] = None,
    form: Annotated[
        Literal["csv", "json"] | None,
        typer.Option("--format", help="default: csv, or json where --out ends in .json"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="file to write, whole or not at all (default: print the results)"
        ),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(metavar="N", min=1, max=4096, help="images in memory at a time")
    ] = 32,
    trust: Trust = False,
) -> None:
    """Classify image files with a run's model.

    CSV has the columns file, class, probability, and with --top K also class_2, probability_2, and
    so on; JSON is a list of {file, class, probabilities}. In names, control characters, line breaks
    and bytes that are not UTF-8 are written as backslash escapes. In CSV, a class name that a
    spreadsheet would compute gets an apostrophe in front.

    Images come to size and colour as the run's own did. Where those came in one size, as MNIST did,
    images are stretched: by area where they shrink, bilinearly where they grow. A run on MNIST
    expects white digits on black.

    The model is built from the run's own config, and only numbers are read from model.h5. For a
    network that no family of Epochlab describes, --trust has Keras make what the file says.

    Files that cannot be decoded are named on stderr and left out; the exit code is then 3.
    """
    from epochlab.data.image_search import find_images
    from epochlab.input_format import read_input_format
    from epochlab.prediction import predict_found
    from epochlab.prediction_table import format_csv, format_json
    from epochlab.runs import load_run
    from epochlab.trained_model import load_trained_model

    opened = load_run(run)
    num_classes = len(read_input_format(opened).class_names)
    if top is not None and top > num_classes:
        raise ConfigError(f"--top {top}: this run has {num_classes} classes; give at most that")
    found = find_images(paths)
    if out is not None:
        _check_out(out, found, opened)
    results = predict_found(load_trained_model(opened, trust=trust), found, batch_size)
    counts = {"predicted": 0, "skipped": 0}
    predictions = _report_unreadable(_track(results, len(found.files), out), counts)
    if form == "json" or (form is None and out is not None and out.suffix.lower() == ".json"):
        pieces = format_json(predictions, top)
    else:
        pieces = format_csv(predictions, top or 1)
    if out is None:
        _print(pieces)
    else:
        with replace_file(out) as beside, beside.open("w", encoding="utf-8", newline="") as file:
            file.writelines(pieces)
    _print_counts(counts["predicted"], counts["skipped"], found.left_out)
    if counts["skipped"]:
        raise typer.Exit(DataError.exit_code)


def _check_out(out: Path, found: "FoundImages", run: "Run") -> None:
    """Finds out before any work whether `out` can be written, and destroys nothing of value."""
    from epochlab.data.sources import shown

    real = os.path.realpath(out)
    wrong = None
    if out.exists() and not out.is_file():
        wrong = "exists and is not a regular file"
    elif not out.absolute().parent.is_dir():
        wrong = "lies in a folder that does not exist"
    elif real in found.files:
        wrong = "is one of the images"
    elif Path(real).is_relative_to(os.path.realpath(run.path)):
        wrong = "lies in the run's folder, which stays as it is"
    if wrong is not None:
        raise ConfigError(
            f"--out {shown(str(out))}: {wrong}; give the name of a file to write, or leave --out "
            "away to print the results"
        )
    check_writable(out.absolute().parent)


def _track(
    results: "Iterator[Prediction | Unreadable]", total: int, out: Path | None
) -> "Iterable[Prediction | Unreadable]":
    """Draws a progress bar on a terminal, unless the results themselves are printed there."""
    if out is None or not sys.stdout.isatty() or not sys.stderr.isatty():
        return results
    from rich.console import Console
    from rich.progress import track

    return track(results, "predicting", total=total, console=Console(stderr=True), transient=True)


def _report_unreadable(
    results: "Iterable[Prediction | Unreadable]", counts: dict[str, int]
) -> "Iterator[Prediction]":
    """Yields the predictions, prints what there is none for, and counts both.

    Raises:
        DataError: At the end, if there was no prediction at all.
    """
    from epochlab.data.sources import shown
    from epochlab.prediction import Prediction

    for result in results:
        if isinstance(result, Prediction):
            counts["predicted"] += 1
            yield result
        else:
            counts["skipped"] += 1
            line = f"skipped: {shown(str(result.file))}: {result.reason}"
            print(line, file=sys.stderr, flush=True)
    if not counts["predicted"]:
        raise DataError(
            f"none of the {counts['skipped']:,} files named above can be read; expected JPEG, PNG, "
            "GIF, BMP or WebP images; convert them, or give others"
        )


def _print(pieces: Iterable[str]) -> None:
    """Prints as the pieces come. A reader that has seen enough, such as `head`, is no failure."""
    try:
        for piece in pieces:
            sys.stdout.write(piece)
        sys.stdout.flush()
    except OSError as error:
        # Python tries again on its way out, and would complain once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise typer.Exit(0) from error
        raise


def _print_counts(predicted: int, skipped: int, left_out: int) -> None:
    words = (
        f"predicted {predicted:,} {'image' if predicted == 1 else 'images'}; {skipped:,} skipped"
    )
    if left_out:
        words += f"; {left_out:,} left out that are no images"
    print(words, file=sys.stderr)
