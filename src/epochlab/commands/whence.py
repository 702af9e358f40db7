"""`epochlab whence`: which run a picture comes from."""

from pathlib import Path
from typing import Annotated

import typer


def whence(
    pictures: Annotated[
        list[Path],
        typer.Argument(metavar="FILE.png...", help="pictures of runs", show_default=False),
    ],
    outputs: Annotated[
        Path, typer.Option(metavar="DIR", help="folder of all experiments' runs")
    ] = Path("outputs"),
) -> None:
    """Say which run a picture comes from: experiment, seed, config, commit, versions.

    It stands in the picture itself, so that it holds for a copy, too.
    """
    from epochlab.provenance import RunFolders, describe_provenance

    folders = RunFolders(outputs)
    for picture in pictures:
        print(describe_provenance(picture, folders))
