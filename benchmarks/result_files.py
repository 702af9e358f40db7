"""Takes the small files of finished runs over into `docs/results/`, without machine paths."""

import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from result_entries import Entry, Results, find_entry, is_machine_path

from epochlab.config.yaml_writer import dump_yaml
from epochlab.errors import RunError
from epochlab.files import format_json, make_folder, write_text
from epochlab.recorded_runs import RecordedRun, read_run
from epochlab.session_records import list_accepted, read_sessions

AS_THEY_ARE = ("metrics.json", "history.csv")
CLEANED = ("environment.json", "data.json", "backbone.json")
# Of one seed per entry, so that the repository stays small.
CURVES = ("accuracy.png", "loss.png")
CURVES_SEED = 1
# What a file's time may be off; a copy's is off by more.
CLOCK_SECONDS = 10.0


def collect_runs(paths: Sequence[Path], results: Results) -> list[Path]:
    """Copies what the results quote of each run to `docs/results/ENTRY/RUN/`.

    All runs are looked at before the first one is copied.

    Args:
        paths: Run folders.
        results: What is there already.

    Returns:
        The new folders.

    Raises:
        RunError: If a run is unfinished, of uncommitted code, changed on the way, of settings that
            no entry has, of other data than the entry's runs, or of a seed that is there already.
    """
    runs = {name: list(there) for name, there in results.runs.items()}
    chosen: list[tuple[RecordedRun, Entry]] = []
    for path in paths:
        run = read_run(path)
        check_quotable(run)
        entry = find_entry(run, results)
        others = [other for other in runs[entry.name] if other.run.path.name != path.resolve().name]
        _check_beside(run, entry, others)
        runs[entry.name] = [*others, run]
        chosen.append((run, entry))
    return [_copy(run, results.folder / entry.name) for run, entry in chosen]


def check_quotable(run: RecordedRun) -> None:
    """Refuses a run whose figures nobody could repeat from a commit and its config.

    Raises:
        RunError: If it is unfinished, damaged, of uncommitted code or changed on the way.
    """
    path = run.run.path
    if not run.is_finished:
        raise RunError(
            f"{path}: only finished runs can be quoted, and this one is {run.state}; go on with "
            f"it: epochlab resume {path}"
        )
    if run.notes:
        raise RunError(f"{path}: damaged: {'; '.join(run.notes)}; start a new run")
    git = run.run.environment.get("git")
    if not git or git["dirty"]:
        state = "with changes that are not committed" if git else "without a commit"
        raise RunError(f"{path}: ran {state}; commit, then run it again")
    changes = list_accepted(run.run)
    if changes:
        raise RunError(
            f"{path}: was changed on the way ({'; '.join(map(str, changes))}), so its config does "
            "not repeat it; start a new run"
        )


def without_machine_paths(value: Any, root: PurePosixPath) -> Any:
    """Returns `value` with each absolute path in its texts made short.

    Args:
        value: Plain values, as of a JSON file.
        root: The repository; paths in it become relative to it, others their last name.
    """
    if isinstance(value, dict):
        return {key: without_machine_paths(item, root) for key, item in value.items()}
    if isinstance(value, list):
        return [without_machine_paths(item, root) for item in value]
    if not isinstance(value, str):
        return value
    key, equals, rest = value.partition("=")
    if equals and not is_machine_path(value):
        return f"{key}={_shorten(rest, root)}"
    return _shorten(value, root)


def _shorten(text: str, root: PurePosixPath) -> str:
    if not is_machine_path(text):
        return text
    path = PurePosixPath(text.replace("\\", "/"))
    inside = len(root.parts) > 1 and path.is_relative_to(root)
    return str(path.relative_to(root)) if inside else path.name


def _check_beside(run: RecordedRun, entry: Entry, others: Sequence[RecordedRun]) -> None:
    data = run.run.read_json("data.json")["sha256"]
    for other in others:
        if other.seed == run.seed:
            raise RunError(
                f"{run.run.path}: seed {run.seed} of {entry.name} is there already, as "
                f"{other.run.path}; remove that one first, or run another seed"
            )
        if other.run.read_json("data.json")["sha256"] != data:
            raise RunError(
                f"{run.run.path}: trained on other data than {other.run.path}; give runs on the "
                "same data, or add an entry"
            )


def _copy(run: RecordedRun, parent: Path) -> Path:
    source, target = run.run.path, parent / run.run.path.resolve().name
    environment = run.run.environment
    script = PurePosixPath(environment["script"].replace("\\", "/"))
    root = script.parent.parent
    make_folder(target)
    for name in CLEANED:
        if (source / name).is_file():
            record = run.run.read_json(name)
            if name == "environment.json":
                record["command"][1] = record["script"]
            write_text(target / name, format_json(without_machine_paths(record, root)))
    config = without_machine_paths(dict(run.config), root)
    write_text(target / "config.yaml", dump_yaml(config))
    for name in (*AS_THEY_ARE, *(CURVES if run.seed == CURVES_SEED else ())):
        shutil.copyfile(source / name, target / name)
    write_text(target / "collected.json", format_json({"whole_seconds": _whole_seconds(run)}))
    return target


def _whole_seconds(run: RecordedRun) -> float | None:
    """Returns the time from the script's start to its last file; None if that cannot be told.

    Files tell when they were written. Those of a copied folder do not, nor does a run in parts.
    """
    started = datetime.fromisoformat(run.run.environment["started"]).timestamp()
    begun, ended = (
        (run.run.path / name).stat().st_mtime for name in ("environment.json", "metrics.json")
    )
    trained = sum(epoch.seconds for epoch in run.history)
    is_told = abs(begun - started) <= CLOCK_SECONDS and ended - started >= trained
    whole = len(read_sessions(run.run)) == 1 and is_told
    return round(ended - started, 1) if whole else None
