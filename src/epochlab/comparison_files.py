"""A comparison as files: a picture per metric, the table of runs, the verdicts."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from epochlab.compare import Comparison, Group, read_figures
from epochlab.csv_text import format_records
from epochlab.errors import RunError
from epochlab.files import make_folder, write_text
from epochlab.overlay import Line, plot_overlay
from epochlab.recorded_runs import RecordedRun
from epochlab.significance import judge_pairs

METRICS = ("accuracy", "loss")


def write_comparison(out: Path, comparison: Comparison, metric: str) -> list[Path]:
    """Writes `accuracy.png`, `loss.png`, `runs.csv` and `verdicts.csv`.

    Args:
        out: The folder, made if need be.
        comparison: The runs.
        metric: The figure that the verdicts are about.

    Returns:
        The files.

    Raises:
        EnvironmentFault: If they cannot be written.
    """
    make_folder(out)
    paths = []
    drawn = [group for group in comparison.groups if any(run.history for run in group.runs)]
    for name in METRICS if drawn else ():
        paths.append(out / f"{name}.png")
        plot_overlay(
            paths[-1],
            name,
            [_line(group, name) for group in drawn],
            title=_title(drawn),
            phase_starts=_shared_phases(drawn),
            provenance=_provenance(drawn),
        )
    for name, rows in (
        ("runs.csv", _list_runs(comparison.groups)),
        ("verdicts.csv", _list_verdicts(comparison.groups, metric)),
    ):
        paths.append(out / name)
        write_text(paths[-1], format_records(rows))
    return paths


def _line(group: Group, metric: str) -> Line:
    histories = [run.history for run in group.runs if run.history]
    training = [[getattr(row, metric) for row in history] for history in histories]
    validation = [
        [getattr(row, f"val_{metric}") for row in history]
        for history in histories
        if all(getattr(row, f"val_{metric}") is not None for row in history)
    ]
    best_epoch = group.runs[0].best_epoch if len(group.runs) == 1 else None
    return Line(group.label, training, validation, best_epoch)


def _title(groups: Sequence[Group]) -> str:
    experiments = dict.fromkeys(run.experiment for group in groups for run in group.runs)
    runs = sum(len(group.runs) for group in groups)
    return f"{', '.join(experiments)}: {runs} run{'s' if runs > 1 else ''}"


def _shared_phases(groups: Sequence[Group]) -> Sequence[int]:
    found = {tuple(run.phase_starts) for group in groups for run in group.runs}
    return found.pop() if len(found) == 1 else ()


def _provenance(groups: Sequence[Group]) -> dict[str, str]:
    """Returns what each run's own pictures say of it, by the label of its line."""
    legend: dict[str, list[dict[str, str]]] = {}
    for group in groups:
        # Unfinished runs of one config and seed have the same label.
        legend.setdefault(group.label, []).extend(_describe_run(run) for run in group.runs)
    return {"comparison": json.dumps(legend, ensure_ascii=True)}


def _describe_run(run: RecordedRun) -> dict[str, str]:
    try:
        return run.run.provenance(run.best_epoch)
    except (RunError, LookupError, TypeError, AttributeError):  # its records are damaged
        return {"experiment": run.experiment, "run": run.run.path.name, "seed": str(run.seed)}


def _list_runs(groups: Sequence[Group]) -> list[dict[str, Any]]:
    keys = list(dict.fromkeys(key for group in groups for key in group.settings))
    return [
        {"run": run.name, "config": position, "seed": run.seed, "state": run.state}
        | {key: group.settings.get(key) for key in keys}
        | read_figures(run)
        | {"folder": str(run.run.path)}
        for position, group in enumerate(groups, 1)
        for run in group.runs
    ]


def _list_verdicts(groups: Sequence[Group], metric: str) -> list[dict[str, Any]]:
    rows = []
    for verdict in judge_pairs([group.figures(metric) for group in groups]):
        low, high = verdict.interval or (None, None)
        rows.append(
            {
                "metric": metric,
                "config": groups[verdict.first].label,
                "other": groups[verdict.second].label,
                "difference": verdict.difference,
                "interval_low": low,
                "interval_high": high,
                "p_value": verdict.p_value,
                "n": verdict.counts[0],
                "n_other": verdict.counts[1],
                "is_real": verdict.is_real,
            }
        )
    return rows
