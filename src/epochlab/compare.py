"""Runs side by side: what differs between their configs, and their figures."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from epochlab.comparison_notes import (
    identify_data,
    identify_weights,
    list_changed_settings,
    list_notes,
)
from epochlab.config import list_settings
from epochlab.errors import ConfigError, RunError
from epochlab.labels import format_setting, shorten_keys
from epochlab.recorded_runs import RecordedRun
from epochlab.session_records import FREE

# What is no part of what was tried: where things lie, and what only changes the bits.
INCIDENTAL = FREE | {"experiment", "seed", "training.threads"}
# What is compared by content, or tells of a run that did not have its config from its first epoch.
DATA, WEIGHTS, CHANGED = "data", "weights", "changed"
HIGHER_IS_BETTER = {
    "test.accuracy": True,
    "val_accuracy": True,
    "test.loss": False,
    "val_loss": False,
}


@dataclass(frozen=True)
class Group:
    """Runs of one config that differ in their seeds, or a single unfinished run.

    Attributes:
        label: What sets the group off from the others: `learning_rate=0.001, dropout=0.5`.
        settings: The same by dotted key; None where the group's config has no such key.
        runs: The runs, each with another seed.
        is_finished: Whether the runs are finished.
    """

    label: str
    settings: Mapping[str, Any]
    runs: Sequence[RecordedRun]
    is_finished: bool

    def figures(self, metric: str) -> list[float]:
        """Returns one figure per run that has it and where it is finite."""
        found = (read_figures(run).get(metric) for run in self.runs if self.is_finished)
        return [value for value in found if value is not None and math.isfinite(value)]


@dataclass(frozen=True)
class Comparison:
    """Several groups of runs.

    Attributes:
        groups: The groups in the order of the runs given, the finished ones first.
        repeated: Runs that are another one's repetition, seed and all, so that they say nothing
            new, each with the run that counts.
        notes: What a reader has to know of the runs, for a person.
    """

    groups: Sequence[Group]
    repeated: Sequence[tuple[RecordedRun, RecordedRun]]
    notes: Sequence[str]


def compare_runs(runs: Sequence[RecordedRun]) -> Comparison:
    """Groups runs by config and finds what differs between the groups.

    Raises:
        RunError: If there is none.
    """
    if not runs:
        raise RunError("there are no runs to compare; give run folders, globs or experiments")
    settings = {run.run.path: _settings(run) for run in runs}
    counted: dict[tuple[Any, ...], RecordedRun] = {}
    repeated = []
    for run in runs:
        key = (*_identity(run, settings[run.run.path]), run.seed, run.is_finished)
        if not run.is_finished:
            key = (run.run.path,)
        if key in counted:
            repeated.append((run, counted[key]))
        else:
            counted[key] = run
    gathered: dict[tuple[Any, ...], list[RecordedRun]] = {}
    for key, run in counted.items():
        gathered.setdefault(key[:-2] if run.is_finished else key, []).append(run)
    members = sorted(gathered.values(), key=lambda group: not group[0].is_finished)
    labels = _label([(group[0], settings[group[0].run.path]) for group in members])
    groups = [
        Group(_name(label, group), differing, group, group[0].is_finished)
        for (label, differing), group in zip(labels, members, strict=True)
    ]
    return Comparison(groups, repeated, list_notes(runs))


def read_figures(run: RecordedRun) -> dict[str, float | None]:
    """Returns the final figures of a run: of the test set, and of the epoch that was kept."""
    test = run.metrics["test"] if run.metrics else {}
    row = run.history[kept - 1] if (kept := run.kept_epoch) else None
    return {
        "test.accuracy": test.get("accuracy"),
        "test.loss": test.get("loss"),
        "val_accuracy": row and row.val_accuracy,
        "val_loss": row and row.val_loss,
        "best_epoch": run.best_epoch,
        "epochs": len(run.history),
        "train_seconds": round(sum(epoch.seconds for epoch in run.history), 1),
    }


def check_metric(metric: str) -> None:
    """Refuses a metric that no run has.

    Raises:
        ConfigError: If it is none of the final figures.
    """
    if metric not in HIGHER_IS_BETTER:
        raise ConfigError(
            f"--metric {metric}: expected one of {', '.join(HIGHER_IS_BETTER)}, got {metric}"
        )


def describe_figures(values: Sequence[float]) -> str:
    """Returns mean and standard deviation for a person, or the value alone."""
    if not values:
        return "-"
    mean = f"{statistics.fmean(values):.4f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.4f}"


def _settings(run: RecordedRun) -> dict[str, Any]:
    """Returns what was tried: the settings by dotted key, which data and weights it was."""
    settings = list_settings(run.config)
    kept = {key: value for key, value in settings.items() if key not in INCIDENTAL}
    kept |= {DATA: identify_data(run)}
    if (weights := identify_weights(run)) is not None:
        kept[WEIGHTS] = weights
    if changed := list_changed_settings(run):
        kept[CHANGED] = f"{run.run.name}: {'; '.join(changed)}"  # each has its own course
    return kept


def _identity(run: RecordedRun, settings: Mapping[str, Any]) -> tuple[Any, ...]:
    return run.experiment, *sorted((key, repr(value)) for key, value in settings.items())


def _label(
    groups: Sequence[tuple[RecordedRun, Mapping[str, Any]]],
) -> list[tuple[str, dict[str, Any]]]:
    """Returns for each group its label and its settings that differ from another group's.

    Only groups of one experiment are compared key by key: between experiments the name says more.
    """
    experiments = {run.experiment for run, _ in groups}
    by_experiment = {
        name: _differing_keys([own for run, own in groups if run.experiment == name])
        for name in experiments
    }
    names = shorten_keys([key for found in by_experiment.values() for key in found])
    labels = []
    for run, own in groups:
        differing = {key: own.get(key) for key in by_experiment[run.experiment]}
        words = [
            f"{names[key]}={format_setting(value)}"
            for key, value in differing.items()
            if key in own
        ]
        if len(experiments) > 1 or not words:
            words.insert(0, run.experiment)
        labels.append((", ".join(words), differing))
    return labels


def _differing_keys(groups: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns the keys that differ, but not those that only follow from a section's `name`."""
    keys = list(dict.fromkeys(key for group in groups for key in group))
    differing = [key for key in keys if _is_varied(key, groups)]
    return [key for key in differing if not _follows_from_name(key, groups, differing)]


def _is_varied(key: str, groups: Iterable[Mapping[str, Any]]) -> bool:
    return len({repr(group.get(key)) for group in groups}) > 1


def _follows_from_name(
    key: str, groups: Sequence[Mapping[str, Any]], differing: Sequence[str]
) -> bool:
    name = f"{key.rpartition('.')[0]}.name"
    if key == name or name not in differing:
        return False
    values = {repr(group.get(name)) for group in groups}
    return not any(
        _is_varied(key, [group for group in groups if repr(group.get(name)) == value])
        for value in values
    )


def _name(label: str, runs: Sequence[RecordedRun]) -> str:
    if not runs[0].is_finished:
        return f"{label} (seed {runs[0].seed}, unfinished)"
    return f"{label} (n = {len(runs)})" if len(runs) > 1 else label
