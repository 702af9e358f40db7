"""What a reader has to know of runs before comparing their figures."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from epochlab.errors import RunError
from epochlab.recorded_runs import RecordedRun

# What makes figures less comparable, by its name in environment.json, and how a note says it.
SAME = {
    "versions": "with the same versions",
    "cpu": "on the same CPU",
    "code_sha256": "by the same code",
}


def list_notes(runs: Sequence[RecordedRun]) -> list[str]:
    """Returns what is damaged in the runs' folders and what differs around them, for a person."""
    notes = [f"{run.name}: {note}" for run in runs for note in run.notes]
    tested = _names_by_value((run, identify_data(run)) for run in runs)
    if len(tested) > 1:
        notes.append(
            f"not all on the same data, so figures mean different things: {_sizes(tested)}"
        )
    told = [(run, environment) for run in runs if (environment := _read_environment(run))]
    for what, same in SAME.items():
        values = _names_by_value((run, environment.get(what)) for run, environment in told)
        if len(values) > 1 and not (what == "code_sha256" and _is_one_commit(told)):
            notes.append(f"not all {same}: {_sizes(values)}")
    return notes


def identify_data(run: RecordedRun) -> str:
    """Returns the beginning of the data's SHA-256."""
    try:
        return str(run.run.read_json("data.json")["sha256"])[:8]
    except (RunError, KeyError):
        return "unknown"


def _is_one_commit(told: Sequence[tuple[RecordedRun, Mapping[str, Any]]]) -> bool:
    """Whether the runs' code differs in nothing but the script that each experiment has."""
    states = {repr(environment.get("git")): environment.get("git") for _, environment in told}
    (state, *others) = states.values()
    if others or not isinstance(state, Mapping) or state.get("dirty") is not False:
        return False
    codes = {(run.experiment, environment.get("code_sha256")) for run, environment in told}
    return len(codes) == len({run.experiment for run, _ in told})


def _read_environment(run: RecordedRun) -> Mapping[str, Any]:
    try:
        return run.run.environment
    except RunError:
        return {}


def _names_by_value(found: Iterable[tuple[RecordedRun, Any]]) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for run, value in found:
        names.setdefault(repr(value), []).append(run.name)
    return names


def _sizes(values: Mapping[str, Sequence[str]]) -> str:
    return ", ".join(f"{len(names)} as {names[0]}" for names in values.values())
