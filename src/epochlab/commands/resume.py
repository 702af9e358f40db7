"""`epochlab resume`: go on with a run that was cut off, or with more epochs."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

RunFolder = Annotated[
    Path, typer.Argument(metavar="RUN", help="folder of the run", show_default=False)
]
ScriptFile = Annotated[
    Path | None,
    typer.Option("--script", metavar="FILE", help="the run's script (default: found by its name)"),
]


def resume(
    run: RunFolder,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="change a setting, as training.epochs=40; may be repeated",
        ),
    ] = None,
    allow_changes: Annotated[
        bool,
        typer.Option("--allow-changes", help="although settings, data or software have changed"),
    ] = False,
    script: ScriptFile = None,
) -> None:
    """Go on with a run where it was cut off, to the result of a run without the break.

    The same as running its script with --resume RUN. A finished run is extended with, for
    example, --set training.epochs=40, or phases.0.epochs where there are phases.
    """
    from epochlab.runs import load_run
    from epochlab.script_files import find_script

    opened = load_run(run)
    command = [sys.executable, str(find_script(opened, script)), "--resume", str(run)]
    for setting in settings or ():
        command += ["--set", setting]
    if allow_changes:
        command.append("--allow-changes")
    # The script takes this process's place, and with it Ctrl-C, the terminal and the exit code.
    sys.stdout.flush()
    os.execv(sys.executable, command)
