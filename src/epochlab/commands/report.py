"""`epochlab report`: all runs on one HTML page."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from epochlab.report.pictures import Picture


def report(
    outputs: Annotated[
        Path, typer.Argument(metavar="OUTPUTS", help="folder of runs", show_default=True)
    ] = Path("outputs"),
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="HTML file to write (default: report.html in OUTPUTS)",
            show_default=False,
        ),
    ] = None,
    experiment: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="only runs of this one; may be repeated"),
    ] = None,
    pictures: Annotated[
        Literal["auto", "embed", "link", "none"],
        typer.Option(
            help="embed: the page holds every picture as it is; link: it shows the files in the "
            "run folders; auto: embedded up to 48 MiB, beyond that in fewer colours, and what does "
            "not fit then is linked, of the oldest runs"
        ),
    ] = "auto",
) -> None:
    """Write all runs to one HTML page: table, curves to lay over each other, every picture.

    The page needs no server and no network: open it in a browser, or send it to somebody.
    """
    from epochlab.errors import RunError
    from epochlab.report.listing import describe_left_out
    from epochlab.report.outputs import read_outputs
    from epochlab.report.page import write_page

    path = out or outputs / "report.html"
    _check_page(path)
    found = read_outputs(outputs, experiment or ())
    if not found.runs and not found.left_out:
        raise RunError(f"{outputs}: has no run in it; train one first, or give another folder")
    written = write_page(path, found, pictures, track=_show_progress)
    print(describe_left_out(found), end="", file=sys.stderr)
    count = len(found.runs)
    size = path.stat().st_size / 1e6
    print(f"{count:,} run{'s' if count != 1 else ''}, {size:.1f} MB, {written}")
    print(path)


def _check_page(path: Path) -> None:
    """Refuses what cannot become an HTML file before the runs are read, which may take long.

    Raises:
        ConfigError: If a folder, a pipe or a device has that name.
    """
    from epochlab.errors import ConfigError

    if path.exists() and not path.is_file():
        is_folder = path.is_dir()
        raise ConfigError(
            f"{path}: is {'a folder' if is_folder else 'no regular file'}; expected the name of an "
            "HTML file to write; give it with --out, for example --out "
            f"{path / 'report.html' if is_folder else 'report.html'}"
        )


def _show_progress(
    runs: "Sequence[Sequence[Picture]]",
) -> "Iterable[Sequence[Picture]]":
    """Draws a progress bar on a terminal."""
    if not sys.stderr.isatty():
        return runs
    from rich.console import Console
    from rich.progress import track

    text = "taking colours from pictures"
    return track(runs, text, console=Console(stderr=True), transient=True)
