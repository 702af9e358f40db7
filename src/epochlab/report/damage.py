"""What may be wrong with the records of one run, so that the others can still be listed."""

import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from epochlab.errors import RunError
from epochlab.recorded_runs import RecordedRun

# What a run is read from.
RECORDS = (
    "config.yaml",
    "history.csv",
    "metrics.json",
    "sessions.json",
    "environment.json",
    "data.json",
    "run.lock",
)
# What comes of JSON that can be read but is another table, or is nested without end.
WRONG_SHAPE = (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError)


def check_records(path: Path, folder: Path) -> None:
    """Refuses what would hang when it is opened, and what lies outside `folder`.

    Raises:
        RunError: If a record is no regular file, or a link to somewhere else.
    """
    inside = folder.resolve()
    for name in RECORDS:
        record = path / name
        try:
            is_inside = record.resolve().is_relative_to(inside)
            is_regular = stat.S_ISREG(record.stat().st_mode)
        except FileNotFoundError:
            continue
        except (OSError, RuntimeError) as error:  # the latter for a link to itself, in Python 3.11
            raise RunError(f"{record}: cannot be read ({error})") from error
        if not is_inside:
            raise RunError(f"{record}: is a link to a place outside {folder}; not read")
        if not is_regular:
            raise RunError(f"{record}: is no regular file; not read")


def admit_damage(run: RecordedRun) -> RecordedRun:
    """Returns a run without a table of figures as one that is not finished."""
    path = run.run.path / "metrics.json"
    if run.run.is_finished and not isinstance(run.metrics, Mapping):
        told = any("metrics.json" in note for note in run.notes)
        notes = run.notes if told else [*run.notes, f"{path}: holds no figures; it is damaged"]
        return replace(run, metrics=None, state="not finished", notes=notes)
    if not run.run.is_finished and run.state == "finished":
        return replace(run, state="not finished", notes=[*run.notes, f"{path}: is missing"])
    return run


def check_figures(figures: Mapping[str, Any]) -> dict[str, float | None]:
    """Returns the figures if they are numbers.

    Raises:
        TypeError: If one is not.
    """
    for name, value in figures.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise TypeError(f"{name} is {value!r}, not a number")
    return dict(figures)
