"""What a reader has to know of runs before comparing their figures."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from epochlab.errors import RunError
from epochlab.labels import format_setting
from epochlab.recorded_runs import RecordedRun
from epochlab.session_records import NUMERICS

# What makes figures less comparable, by its name in environment.json, and how a note says it.
SAME = {
    "versions": "with the same versions",
    "cpu": "on the same CPU",
    "code_sha256": "by the same code",
}


def list_notes(runs: Sequence[RecordedRun]) -> list[str]:
    """Returns what is damaged in the runs' folders and what differs around them, for a person."""
    notes = [f"{run.name}: {note}" for run in runs for note in run.notes]
    notes += [
        f"{run.name}: was changed on the way: {change}" for run in runs for change in run.accepted
    ]
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


def identify_weights(run: RecordedRun) -> str | None:
    """Returns the beginning of the SHA-256 of the weights that a transfer run began with.

    `none` where its base began untrained; the setting's text where the run has not got so far as
    to record them; None where the experiment has no such setting.
    """
    model = run.config.get("model")
    given = model.get("weights") if isinstance(model, Mapping) else None
    if given in (None, "none"):
        return given
    try:
        return str(run.run.read_json("backbone.json")["sha256"])[:8]
    except (RunError, KeyError):
        return str(given)


def list_changed_settings(run: RecordedRun) -> list[str]:
    """Returns what the config and the data were before a change that was accepted on the way."""
    return [
        f"{change.key} was {format_setting(change.was)}"
        for change in run.accepted
        if change.key.partition(".")[0] not in NUMERICS
    ]


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
