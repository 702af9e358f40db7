"""All runs below a folder with what sets each one off, and what there is no run or cannot be read.

One damaged run never keeps the others from being listed.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from epochlab.compare import compare_runs, read_figures
from epochlab.config import list_settings
from epochlab.errors import RunError
from epochlab.recorded_runs import RecordedRun, read_run
from epochlab.report.record_files import check_records
from epochlab.run_search import list_run_folders

# What commands write beside the runs: `compare`, `sweep` and `repeat`, `explain --grid`,
# `check-data`.
WRITTEN = ("comparisons", "comparison", "explanations", "check-data")
# A trial's folder has it even where the run lies elsewhere, or was never made.
TRIAL = "trial.json"


@dataclass(frozen=True)
class ListedRun:
    """One run among those of a folder.

    Attributes:
        recorded: What its folder says.
        place: Its path below the folder of all runs, with forward slashes.
        started: When it began, as far as that is known.
        settings: Its config by dotted key.
        figures: Its final figures, as `epochlab.compare.read_figures` names them.
        differing: Those settings that differ between the runs of its experiment.
    """

    recorded: RecordedRun
    place: str
    started: datetime | None
    settings: Mapping[str, Any]
    figures: Mapping[str, float | None]
    differing: Mapping[str, Any]


@dataclass(frozen=True)
class Outputs:
    """What lies in a folder of runs.

    Attributes:
        folder: The folder.
        runs: The runs that can be read, the newest first.
        left_out: Path below the folder of everything else, and why it is no run or cannot be read.
    """

    folder: Path
    runs: Sequence[ListedRun]
    left_out: Sequence[tuple[str, str]]


def read_outputs(folder: Path, experiments: Sequence[str] = ()) -> Outputs:
    """Reads all runs at or below `folder`. Nothing outside of it is read and nothing written.

    Args:
        folder: The folder of all experiments' runs, or a part of it.
        experiments: Only runs of these; all if there are none.

    Raises:
        RunError: If there is no such folder, or none of `experiments` has a run in it.
    """
    if not folder.is_dir():
        raise RunError(
            f"{folder}: no such folder; give the folder of the runs, by default outputs, "
            "or train one first"
        )
    runs, left_out = [], []
    folders = list_run_folders(folder)
    for path in folders:
        try:
            runs.append(_read(path, folder))
        except RunError as error:
            left_out.append((_place(path, folder), str(error)))
    left_out += _list_others(folder, set(folders))
    found = sorted({run.recorded.experiment for run in runs})
    if unknown := [name for name in experiments if name not in found]:
        raise RunError(
            f"{folder}: has no run of {', '.join(unknown)}; it has {', '.join(found) or 'none'}"
        )
    if experiments:
        runs = [run for run in runs if run.recorded.experiment in experiments]
    runs.sort(key=lambda run: (run.started or datetime.min.replace(tzinfo=UTC), run.place))
    return Outputs(folder, _find_differing(runs)[::-1], left_out)


def _read(path: Path, folder: Path) -> ListedRun:
    """Reads one run, whatever its files hold.

    Raises:
        RunError: If that is not possible.
    """
    check_records(path, folder)
    run = read_run(path)
    place, settings = _place(path, folder), list_settings(run.config)
    return ListedRun(run, place, _find_start(run), settings, read_figures(run), {})


def _find_start(run: RecordedRun) -> datetime | None:
    """Returns the time in the run's name, or in its records where it was renamed."""
    with contextlib.suppress(ValueError):
        named = datetime.strptime(run.run.path.name[:16], "%Y%m%dT%H%M%SZ")
        return named.replace(tzinfo=UTC)
    with contextlib.suppress(RunError, AttributeError, TypeError, ValueError):
        return datetime.fromisoformat(run.run.environment["started"]).astimezone(UTC)
    return None


def _find_differing(runs: Sequence[ListedRun]) -> list[ListedRun]:
    """Returns the runs with those settings that differ within their experiment."""
    by_experiment: dict[str, list[RecordedRun]] = {}
    for run in runs:
        by_experiment.setdefault(run.recorded.experiment, []).append(run.recorded)
    differing: dict[Path, Mapping[str, Any]] = {}
    for recorded in by_experiment.values():
        comparison = compare_runs(recorded)
        for group in comparison.groups:
            differing |= {run.run.path: group.settings for run in group.runs}
        for repetition, kept in comparison.repeated:
            differing[repetition.run.path] = differing[kept.run.path]
    return [replace(run, differing=differing[run.recorded.run.path]) for run in runs]


def _list_others(folder: Path, runs: set[Path]) -> Iterator[tuple[str, str]]:
    """Gives the folders that neither are runs nor have any below them."""
    if folder in runs:
        return
    above = {parent for path in runs for parent in path.parents}
    for root, names, _ in os.walk(folder):
        names[:] = sorted(name for name in names if not name.startswith("."))
        for name in list(names):
            path = Path(root, name)
            if path.is_symlink():
                yield _place(path, folder), "a link; links are not followed"
            elif path not in runs and path not in above and not _is_written(path):
                yield _place(path, folder), "no run: it has no config.yaml"
            if path not in above:
                names.remove(name)


def _is_written(path: Path) -> bool:
    return path.name in WRITTEN or (path / TRIAL).is_file()


def _place(path: Path, folder: Path) -> str:
    """Returns the path below `folder`; of `folder` itself, its name."""
    return path.relative_to(folder).as_posix() if path != folder else path.absolute().name
