"""`epochlab check-data`: what is wrong with a folder of images, and which files to leave out."""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from epochlab.data.checking.report import check_folder
from epochlab.data.checking.skip_list import SKIP_NAME, format_skip_list
from epochlab.data.checking.suspects import choose_suspects
from epochlab.data.checking.table import format_report
from epochlab.data.sources import Source, SourceFile, shown
from epochlab.errors import ConfigError, DataError
from epochlab.files import check_writable, write_text
from epochlab.quiet import held_back_stderr

if TYPE_CHECKING:
    import numpy as np

    from epochlab.contact_sheets import Group
    from epochlab.data.checking.report import Report
    from epochlab.data.checking.suspects import Suspect

SHEET_NAME = "suspects.png"
DEFAULT_OUT = Path("outputs/check-data")
MOST_PICTURES = 40
# Pixels on the longer side of a picture on the contact sheet.
THUMBNAIL_SIDE = 200


FolderArgument = Annotated[
    Path,
    typer.Argument(
        metavar="DIR",
        help="a folder with train, validation and test, or with class folders alone",
        show_default=False,
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="where report.json, skip.json and suspects.png go "
        f"(default: {DEFAULT_OUT}/<name of DIR>)",
        show_default=False,
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="print the whole report as JSON instead of the table")
]
SkipNearOption = Annotated[
    bool,
    typer.Option(
        "--skip-near",
        help="put images that only look the same as another of their class on the skip list, too",
    ),
]


def check_data(
    folder: FolderArgument,
    out: OutOption = None,
    as_json: JsonOption = False,
    skip_near: SkipNearOption = False,
) -> None:
    """Check a folder of images: bad files, duplicates, leaks between splits, classes.

    Nothing in DIR is changed. The exit code is 3 if a training on DIR would be refused or spoilt
    (files on the skip list, splits or classes missing or empty), 0 if not; warnings and notes do
    not count.
    """
    place = out if out is not None else DEFAULT_OUT / Path(os.path.abspath(folder)).name
    _check_place(place, folder)
    # A check beside a training leaves the accelerator's memory alone.
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with _progress() as tell, held_back_stderr():
        report = check_folder(folder, skip_near=skip_near, tell=tell)
        has_suspects = _write_files(report, folder, place)
    if as_json:
        print(json.dumps(report.to_json(), indent=2))
    else:
        print(format_report(report), end="\n\n")
        _print_files(report, place, has_suspects)
    if report.is_harmful:
        raise typer.Exit(DataError.exit_code)


def _check_place(place: Path, folder: Path) -> None:
    if Path(os.path.realpath(place)).is_relative_to(os.path.realpath(folder)):
        raise ConfigError(
            f"{shown(str(place))}: lies in {shown(str(folder))}, which is to stay as "
            "it is; choose another folder with --out"
        )
    check_writable(place)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int, int], None] | None]:
    """Draws a bar on the terminal while the block runs, if stderr is one."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with os.fdopen(os.dup(sys.stderr.fileno()), "w") as terminal:
        console = Console(file=terminal, force_terminal=True)
        bar = Progress(
            console=console, transient=True, redirect_stdout=False, redirect_stderr=False
        )
        with bar:
            task = bar.add_task("decoding", total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)


def _write_files(report: "Report", folder: Path, place: Path) -> bool:
    """Writes the report, the skip list and, if there is anything to look at, the contact sheet."""
    from epochlab.contact_sheets import plot_contact_sheet

    place.mkdir(parents=True, exist_ok=True)
    write_text(place / "report.json", json.dumps(report.to_json(), indent=2) + "\n")
    write_text(place / SKIP_NAME, format_skip_list(str(folder), report.skip))
    suspects = choose_suspects(report.findings, MOST_PICTURES)
    if not suspects:
        (place / SHEET_NAME).unlink(missing_ok=True)
        return False
    name = shown(str(folder))
    plot_contact_sheet(
        place / SHEET_NAME,
        [_make_group(folder, suspect) for suspect in suspects],
        title=f"Suspects in {name}",
        provenance={"Source": name},
    )
    return True


def _make_group(folder: Path, suspect: "Suspect") -> "Group":
    from epochlab.contact_sheets import Group, Tile

    captions = [shown(path) for path in suspect.paths]
    captions[0] += f"\n{suspect.reason}"
    tiles = [
        Tile(_decode_small(folder, path) if suspect.decodable else None, caption)
        for path, caption in zip(suspect.paths, captions, strict=True)
    ]
    return Group(suspect.heading, tiles)


def _decode_small(folder: Path, path: str) -> "np.ndarray | None":
    """Returns the picture, or None if the file has been changed since it was checked."""
    from epochlab.data.decoding import decode_image, resize_image

    try:
        content = b"".join(Source(folder, (), ()).read(SourceFile(path, 0)))
        pixels = decode_image(content, "rgb")
    except DataError:
        return None
    height, width, _ = pixels.shape
    scale = min(1.0, THUMBNAIL_SIDE / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    return resize_image(pixels, size, "area", "stretch")


def _print_files(report: "Report", place: Path, has_suspects: bool) -> None:
    if has_suspects:
        print(f"suspects: {shown(str(place / SHEET_NAME))}")
    print(f"report: {shown(str(place / 'report.json'))}")
    skip_list = shown(str(place / SKIP_NAME))
    if not report.skip:
        print("nothing for the skip list")
    elif report.has_splits:
        print(f"to leave {len(report.skip):,} files out, write into the YAML:")
        print(f"  data.skip_list: {skip_list}")
    else:
        # The list's paths are of no use to a training: `prepare` puts the files elsewhere.
        print(f"to leave out: {len(report.skip):,} files, listed in {skip_list}")
        print("training reads splits: make them with `epochlab prepare`, then check again there")
