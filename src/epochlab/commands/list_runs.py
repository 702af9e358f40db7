"""`epochlab list`: the runs of a folder in a terminal."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer


def list_runs(
    outputs: Annotated[
        Path, typer.Argument(metavar="OUTPUTS", help="folder of runs", show_default=True)
    ] = Path("outputs"),
    experiment: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="only runs of this one; may be repeated"),
    ] = None,
    form: Annotated[
        Literal["table", "csv", "json"],
        typer.Option("--format", help="csv and json have all figures, and full keys"),
    ] = "table",
) -> None:
    """List runs, the newest first: state, seed, epochs, test accuracy, and what differs.

    Only settings that differ between the runs of an experiment are named. A star stands beside runs
    with damaged records; what is no run or cannot be read at all is named on stderr.
    """
    from epochlab.report.listing import (
        describe_left_out,
        draw_table,
        format_csv,
        format_json,
    )
    from epochlab.report.outputs import read_outputs

    found = read_outputs(outputs, experiment or ())
    text = {"table": draw_table, "csv": format_csv, "json": format_json}[form](found)
    print(text, end="")
    print(describe_left_out(found), end="", file=sys.stderr)
