"""`epochlab reproduce`: does a run's own config give the same again?"""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from epochlab.commands.resume import RunFolder, ScriptFile


def reproduce(
    run: RunFolder,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="folder for the new run (default: that which RUN lies in, or outputs)",
        ),
    ] = None,
    script: ScriptFile = None,
) -> None:
    """Train a finished run anew from its own config and compare the two bit for bit.

    Says "identical", or the first epoch and metric that differ and what changed in environment,
    data and code. The exit code is 0 if they are identical and 7 if not.
    """
    from epochlab.errors import NotReproducedError, RunError
    from epochlab.reproduction import explain_difference
    from epochlab.runs import load_run
    from epochlab.script_files import find_script

    first = load_run(run)
    if not first.is_finished:
        raise RunError(f"{run}: is not finished; go on with it first: epochlab resume {run}")
    command = [
        sys.executable,
        str(find_script(first, script)),
        *("--config", str(first.config_path), "--out", str(out or first.out)),
        *("--set", "training.trackers=[]"),  # which have had their record of it
    ]
    again = load_run(_train(command))
    difference = explain_difference(first, again)
    if difference is not None:
        raise NotReproducedError(difference)
    sha256 = first.read_json("metrics.json").get("weights_sha256")
    print(f"identical: every epoch, and weights_sha256 {sha256}")


def _train(command: list[str]) -> Path:
    """Runs a script, shows what it prints, and returns the folder of its run.

    A script that fails ends this process with its own exit code.
    """
    last = ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        # Ctrl-C reaches the script, too, which saves and ends; SIGTERM is handed on.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda number, _: process.send_signal(number))
        for line in process.stdout:
            print(line, end="", flush=True)
            last = line.strip() or last
    if process.returncode != 0:
        raise typer.Exit(abs(process.returncode))
    return Path(last.removeprefix("run: "))
