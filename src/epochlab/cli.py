"""The `epochlab` command, for what spans runs."""

import io
import sys
from typing import NoReturn

import typer

from epochlab.commands import (
    cache,
    check_data,
    compare,
    explain,
    list_runs,
    predict,
    prepare,
    repeat,
    report,
    reproduce,
    resume,
    schema,
    sweep,
    whence,
)
from epochlab.commands.apps import make_app
from epochlab.exits import EXIT_INTERRUPTED, EXIT_USAGE, exit_codes, fail

app = make_app("What spans the runs of Epochlab's training scripts.")
app.add_typer(prepare.app, name="prepare")
app.add_typer(cache.app, name="cache")
app.command("check-data")(check_data.check_data)
app.command("predict")(predict.predict)
app.command("explain")(explain.explain)
app.command("resume")(resume.resume)
app.command("reproduce")(reproduce.reproduce)
app.command("repeat")(repeat.repeat)
app.command("sweep")(sweep.sweep)
app.command("compare")(compare.compare)
app.command("list")(list_runs.list_runs)
app.command("report")(report.report)
app.command("schema")(schema.schema)
app.command("whence")(whence.whence)


def main() -> NoReturn:
    """Runs the command and exits with the contract's code; an expected failure is one message."""
    # A file name may hold what the terminal's encoding cannot say.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    with exit_codes():
        try:
            sys.exit(app(prog_name="epochlab", standalone_mode=False))
        except typer.Abort:
            sys.exit(EXIT_INTERRUPTED)
        except Exception as error:
            # Click's usage errors: typer has them under a name that changes with its version.
            format_message = getattr(error, "format_message", None)
            if format_message is None:
                raise
            context = getattr(error, "ctx", None)
            command = context.command_path if context is not None else "epochlab"
            fail(f"{format_message().rstrip('.')}; see {command} --help", EXIT_USAGE)


if __name__ == "__main__":
    main()
