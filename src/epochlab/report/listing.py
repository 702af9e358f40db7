"""The runs of a folder as text: a table for a person, CSV or JSON for a program."""

import io
import json
import math
from collections.abc import Sequence
from typing import Any

from epochlab.csv_text import format_records
from epochlab.data.sources import shown
from epochlab.labels import describe_settings, format_setting
from epochlab.report.outputs import ListedRun, Outputs


def draw_table(outputs: Outputs) -> str:
    """Returns a table per experiment, that of the newest run first, as wide as the terminal."""
    if not outputs.runs:
        return f"no run in {outputs.folder}\n"
    by_experiment: dict[str, list[ListedRun]] = {}
    for run in outputs.runs:
        by_experiment.setdefault(run.recorded.experiment, []).append(run)
    return "\n".join(_draw_experiment(name, runs) for name, runs in by_experiment.items())


def format_csv(outputs: Outputs) -> str:
    """Returns a row per run; settings have a column where they differ within an experiment."""
    settings = dict.fromkeys(key for run in outputs.runs for key in run.differing)
    rows = [
        _row(run) | {key: _cell(run.differing.get(key)) for key in settings} for run in outputs.runs
    ]
    return format_records([{key: _plain(value) for key, value in row.items()} for row in rows])


def format_json(outputs: Outputs) -> str:
    """Returns a JSON list of the runs, in ASCII."""
    rows = [
        _row(run) | {"differing": run.differing, "notes": list(run.recorded.notes)}
        for run in outputs.runs
    ]
    return json.dumps(_finite(rows), indent=2) + "\n"


def describe_left_out(outputs: Outputs) -> str:
    """Returns a line for each folder that is not listed, with the reason."""
    return "".join(f"not listed: {shown(f'{p}: {why}')}\n" for p, why in outputs.left_out)


def _draw_experiment(name: str, runs: Sequence[ListedRun]) -> str:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="")
    table.add_column("run", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for title in ("seed", "epochs", "test"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("differs in", overflow="fold", ratio=1)
    for run in runs:
        accuracy = run.figures["test.accuracy"]
        table.add_row(
            shown(run.place.rpartition("/")[2]) + ("*" if run.recorded.notes else ""),
            shown(run.recorded.state.partition(":")[0]),
            str(run.recorded.seed),
            str(run.figures["epochs"]),
            "-" if accuracy is None else f"{accuracy:.4f}",
            shown(describe_settings(run.differing)),
        )
    written = io.StringIO()
    # The width of a person's terminal, or 80 columns in a file.
    console = Console(file=written, width=Console().width, markup=False, highlight=False)
    console.print(table)
    lines = [shown(name), *(line.rstrip() for line in written.getvalue().splitlines())]
    return "".join(f"{line}\n" for line in lines)


def _row(run: ListedRun) -> dict[str, Any]:
    return {
        "experiment": run.recorded.experiment,
        "run": run.place,
        "started": run.started and run.started.isoformat(),
        "state": run.recorded.state,
        "seed": run.recorded.seed,
    } | dict(run.figures)


def _cell(value: Any) -> Any:
    return value if value is None or isinstance(value, int | float) else format_setting(value)


def _plain(value: Any) -> Any:
    return shown(value) if isinstance(value, str) else value


def _finite(value: Any) -> Any:
    """Returns a value that JSON can say: infinite and missing numbers by name."""
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
