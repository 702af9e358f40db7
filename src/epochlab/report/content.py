"""What the page says of the runs, as plain values for its JSON."""

import math
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from epochlab.compare import INCIDENTAL
from epochlab.config import list_settings
from epochlab.config.yaml_writer import format_value
from epochlab.errors import RunError
from epochlab.history import find_overfitting
from epochlab.labels import shorten_keys
from epochlab.recorded_runs import RecordedRun
from epochlab.report.outputs import ListedRun, Outputs

CURVES = ("accuracy", "loss", "val_accuracy", "val_loss")
# More say no more; data.json has them all.
MOST_SKIPPED = 200


def describe_outputs(outputs: Outputs) -> dict[str, Any]:
    """Returns all that the page shows but the pictures.

    What the runs of an experiment have in common is said once; a run has what is its own.
    """
    by_experiment: dict[str, list[ListedRun]] = {}
    for run in outputs.runs:
        by_experiment.setdefault(run.recorded.experiment, []).append(run)
    experiments: dict[str, Any] = {}
    described: dict[str, dict[str, Any]] = {}
    for name, runs in sorted(by_experiment.items()):
        common, own = _share([_plain_values(run.settings) for run in runs])
        environments = [_environment(run.recorded) for run in runs]
        common_environment, own_environments = _share([value for value, _ in environments])
        columns = list(dict.fromkeys(key for run in runs for key in run.differing))
        experiments[name] = {
            "columns": list(shorten_keys(columns).items()),
            "config": common,
            "environment": common_environment,
        }
        rows = zip(runs, own, own_environments, environments, strict=True)
        for run, settings, environment, (_, notes) in rows:
            described[run.place] = _describe_run(run, notes) | {
                "config": settings,
                "environment": environment,
            }
    return {
        "folder": outputs.folder.absolute().name,
        "made": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "experiments": experiments,
        "incidental": sorted(INCIDENTAL),
        "runs": [described[run.place] for run in outputs.runs],
        "leftOut": outputs.left_out,
    }


def _describe_run(run: ListedRun, notes: Sequence[str]) -> dict[str, Any]:
    recorded, found = run.recorded, [*run.recorded.notes, *notes]
    metrics = dict(recorded.metrics or {})
    data = _read_mapping(recorded, "data.json", found)
    return {
        "place": run.place,
        "experiment": recorded.experiment,
        "name": run.place.rpartition("/")[2],
        "started": f"{run.started:%Y-%m-%d %H:%M}" if run.started else None,
        "seed": _plain(recorded.seed),
        "state": recorded.state,
        "isFinished": recorded.is_finished,
        "figures": _plain_values(run.figures),
        "history": {
            curve: [_round(getattr(row, curve)) for row in recorded.history] for curve in CURVES
        },
        "overfitting": find_overfitting(recorded.history),
        "classes": _describe_classes(data, metrics.pop("class_accuracy", None)),
        "skipped": _describe_skipped(data),
        "data": _describe_data(data),
        "metrics": _plain_values(list_settings(metrics)),
        "sessions": _describe_sessions(recorded, found),
        "notes": found,
    }


def _share(
    mappings: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Returns the most common value of each key, and for each mapping what it has otherwise."""
    common: dict[str, Any] = {}
    for key in dict.fromkeys(key for mapping in mappings for key in mapping):
        counts = Counter(repr(mapping[key]) for mapping in mappings if key in mapping)
        ((most, _),) = counts.most_common(1)
        common[key] = next(m[key] for m in mappings if key in m and repr(m[key]) == most)
    own = [
        {
            "own": {k: v for k, v in mapping.items() if repr(v) != repr(common[k])},
            "lacks": [key for key in common if key not in mapping],
        }
        for mapping in mappings
    ]
    return common, own


def _environment(run: RecordedRun) -> tuple[dict[str, Any], list[str]]:
    notes: list[str] = []
    environment = dict(_read_mapping(run, "environment.json", notes))
    command = environment.get("command")
    if isinstance(command, list):
        environment["command"] = shlex.join(map(str, command))
    return _plain_values(list_settings(environment)), notes


def _describe_data(data: Mapping[str, Any]) -> dict[str, Any]:
    kept = {
        key: value
        for key, value in data.items()
        if key not in ("class_names", "images_per_class", "skipped")
    }
    return _plain_values(list_settings(kept))


def _describe_skipped(data: Mapping[str, Any]) -> dict[str, Any]:
    """Returns how many files were left out, and the first of them with the reason."""
    skipped = data.get("skipped")
    if not isinstance(skipped, Mapping):
        return {"count": 0, "first": []}
    first = [[str(name), str(reason)] for name, reason in list(skipped.items())[:MOST_SKIPPED]]
    return {"count": len(skipped), "first": first}


def _describe_classes(data: Mapping[str, Any], accuracy: Any) -> dict[str, Any]:
    """Returns a table: splits, and for each class its name, its images per split, its accuracy."""
    counted = data.get("images_per_class")
    splits = {
        str(name): counts
        for name, counts in (counted.items() if isinstance(counted, Mapping) else ())
        if isinstance(counts, Mapping)
    }
    accuracies = accuracy if isinstance(accuracy, Mapping) else {}
    names = dict.fromkeys(name for counts in (*splits.values(), accuracies) for name in counts)
    rows = [
        [name, *(_plain(counts.get(name)) for counts in splits.values()), accuracies.get(name)]
        for name in names
    ]
    return {"splits": list(splits), "rows": [[_plain(cell) for cell in row] for row in rows]}


def _describe_sessions(run: RecordedRun, notes: list[str]) -> list[list[Any]]:
    """Returns when each session began, from where, how it ended, and what had changed."""
    sessions = _read_mapping(run, "sessions.json", notes).get("sessions")
    return [
        [
            *(_plain(session.get(key)) for key in ("started", "from", "ended")),
            _plain(list(session.get("changes") or ())),
        ]
        for session in (sessions if isinstance(sessions, list) else ())
        if isinstance(session, Mapping)
    ]


def _read_mapping(run: RecordedRun, name: str, notes: list[str]) -> Mapping[str, Any]:
    """Returns what a JSON file of the run holds; where that is nothing, `notes` gets the reason."""
    try:
        value = run.run.read_json(name)
    except (RunError, RecursionError) as error:
        notes += [str(error)] if str(error) not in notes else []
        return {}
    if not isinstance(value, Mapping):
        notes.append(f"{run.run.path / name}: is another table than Epochlab writes")
        return {}
    return value


def _plain_values(values: Mapping[str, Any]) -> dict[str, Any]:
    return {str(key): _plain(value) for key, value in values.items()}


def _plain(value: Any) -> Any:
    """Returns a value that JSON can say: what is no single value, or not finite, as YAML text."""
    if isinstance(value, float) and not math.isfinite(value):
        return format_value(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return format_value(value)


def _round(value: float | None) -> float | str | None:
    """Returns six digits of a value, or the name of one that is not finite."""
    if value is None:
        return None
    return float(f"{value:.6g}") if math.isfinite(value) else str(value)
