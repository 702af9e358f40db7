"""What a sweep gave: a table of all trials, and the comparison of the runs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from epochlab.compare import HIGHER_IS_BETTER, compare_runs, read_figures
from epochlab.comparison_files import write_comparison
from epochlab.comparison_text import describe_comparison
from epochlab.config.yaml_writer import format_value
from epochlab.csv_text import format_records
from epochlab.errors import RunError
from epochlab.files import write_text
from epochlab.fleet.ledger import Ledger, TrialRecord
from epochlab.labels import describe_settings
from epochlab.recorded_runs import RecordedRun, read_run

TABLE = "trials.csv"


def write_trials(ledger: Ledger) -> Path:
    """Writes `trials.csv`: a row per trial, whatever became of it.

    Returns:
        The file.

    Raises:
        EnvironmentFault: If it cannot be written.
    """
    records = ledger.records.values()
    keys = list(dict.fromkeys(key for record in records for key in record.settings))
    rows = [_row(number, record, keys, ledger) for number, record in enumerate(records, 1)]
    write_text(ledger.folder / TABLE, format_records(rows))
    return ledger.folder / TABLE


def read_runs(ledger: Ledger) -> list[RecordedRun]:
    """Returns the runs of all finished trials."""
    found = []
    for record in ledger.records.values():
        run = ledger.run_of(record.identity) if record.state == "finished" else None
        if run is not None:
            found.append(read_run(run.path))
    return found


def describe_outcome(ledger: Ledger, metric: str) -> str:
    """Returns the comparison of the finished runs and, below, what became of the other trials."""
    parts = []
    runs = read_runs(ledger)
    if runs:
        chosen = choose_metric(runs, metric)
        parts.append(describe_comparison(compare_runs(runs), chosen))
        if chosen != metric:
            parts.append(
                f"note: no run has {metric}, for want of validation images; {chosen} stands for "
                "it, a figure that tells what was reached and is not for choosing between settings"
            )
    records = ledger.records.values()
    counts = Counter(record.state for record in records if record.state != "waiting")
    words = ", ".join(f"{count} {state}" for state, count in counts.items())
    lines = _list_diverged(list(records))
    parts.append("\n".join([*lines, f"{len(records)} trials: {words or 'none started'}"]))
    return "\n\n".join(parts)


def _list_diverged(records: Sequence[TrialRecord]) -> list[str]:
    """Returns a line per point that does not converge: how many of its seeds, and how."""
    points: dict[str, list[TrialRecord]] = {}
    for record in records:
        points.setdefault(format_value(dict(record.settings)), []).append(record)
    lines = []
    for found in points.values():
        diverged = [record for record in found if record.state == "diverged"]
        if diverged:
            label = describe_settings(diverged[0].settings) or "this config"
            count = f"{len(diverged)} of {len(found)} seeds"
            lines.append(f"diverged with {count}: {label}: {diverged[0].reason}")
    return lines


def write_outcome(ledger: Ledger, metric: str) -> list[Path]:
    """Writes `trials.csv` and, in `comparison/`, pictures, runs and verdicts.

    Returns:
        The files.
    """
    paths = [write_trials(ledger)]
    runs = read_runs(ledger)
    if runs:
        folder, chosen = ledger.folder / "comparison", choose_metric(runs, metric)
        paths += write_comparison(folder, compare_runs(runs), chosen)
    return paths


def choose_metric(runs: Sequence[RecordedRun], metric: str) -> str:
    """Returns `metric`, or the test set's where the runs have no validation images."""
    if any(read_figures(run).get(metric) is not None for run in runs if run.is_finished):
        return metric
    test = metric.replace("val_", "test.")
    return test if test in HIGHER_IS_BETTER else metric


def _row(number: int, record: TrialRecord, keys: Sequence[str], ledger: Ledger) -> dict[str, Any]:
    figures: Mapping[str, Any] = {}
    run = ledger.run_of(record.identity)
    if run is not None:
        try:
            figures = read_figures(read_run(run.path))
        except RunError:
            figures = {}
    names = ("epochs", "best_epoch", "val_accuracy", "val_loss", "test.accuracy", "test.loss")
    return {
        "trial": number,
        **{
            key: format_value(record.settings[key]) if key in record.settings else ""
            for key in keys
        },
        "seed": record.seed,
        "state": record.state if record.state != "waiting" else "not started",
        "reason": record.reason,
        **{name: figures.get(name) for name in names},
        "seconds": record.seconds,
        "attempts": record.attempts,
        "node": record.node,
        "id": record.identity,
        "run": run.path if run else "",
    }
