"""Runs as they lie in their folders, read without TensorFlow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from epochlab.config import list_settings
from epochlab.config.yaml_reader import read_yaml
from epochlab.errors import ConfigError, RunError
from epochlab.history import Epoch, find_best_epoch, read_whole_rows
from epochlab.run_lock import is_locked
from epochlab.runs import Run, load_run
from epochlab.session_records import Change, list_accepted, read_sessions


@dataclass(frozen=True)
class RecordedRun:
    """What a run folder says, finished or not. Nothing is written.

    Attributes:
        run: The folder.
        config: The whole resolved config as plain values.
        history: The whole epochs so far, up to the first row that cannot be read.
        metrics: `metrics.json` of a finished run, else None.
        state: `finished`, or how the training stands, for a person: `interrupted: ...`.
        notes: What is wrong with the folder's records, for a person.
    """

    run: Run
    config: Mapping[str, Any]
    history: Sequence[Epoch]
    metrics: Mapping[str, Any] | None
    state: str
    notes: Sequence[str]

    @property
    def name(self) -> str:
        """`EXPERIMENT/RUN`, as in the path of the folder."""
        return f"{self.experiment}/{self.run.name}"

    @property
    def experiment(self) -> str:
        """Name of the experiment."""
        return str(self.config.get("experiment", self.run.path.absolute().parent.name))

    @property
    def seed(self) -> int | None:
        """Seed of the run."""
        return self.config.get("seed")

    @property
    def training(self) -> Mapping[str, Any]:
        """The config's `training` section; empty where there is none."""
        section = self.config.get("training")
        return section if isinstance(section, Mapping) else {}

    @property
    def is_finished(self) -> bool:
        """Whether training, scoring and all records are complete and can be read."""
        return self.metrics is not None

    @cached_property
    def best_epoch(self) -> int | None:
        """The epoch with the lowest validation loss, if there is validation."""
        return find_best_epoch(self.history)

    @cached_property
    def accepted(self) -> Sequence[Change]:
        """What was changed on the way with --allow-changes; nothing if the record is damaged.

        Of changed data it is the hash, from which the rest follows.
        """
        try:
            changes = list_accepted(self.run)
        except RunError:
            return []
        known = {*list_settings(self.config), "data.sha256"}
        return [
            change
            for change in changes
            if not change.key.startswith("data.") or change.key in known
        ]

    @property
    def kept_epoch(self) -> int | None:
        """The epoch whose weights the model has, as far as that is known.

        The last one or, with `keep: best`, the best one of the last phase.
        """
        recorded = self.metrics.get("kept_epoch") if self.metrics else None
        if isinstance(recorded, int) and 1 <= recorded <= len(self.history):
            return recorded
        if not self.history or self.training.get("keep") != "best":
            return len(self.history) or None
        phases = self.config.get("phases")
        if isinstance(phases, list) and len(phases) > 1 and self.training.get("early_stopping"):
            return None  # older runs do not say where the last phase began
        begun = max(start for start in self.phase_starts if start <= len(self.history))
        return find_best_epoch(self.history[begun - 1 :])

    @property
    def phase_starts(self) -> Sequence[int]:
        """The first epoch of each phase, from 1; only the first where early stopping moves them."""
        phases = self.config.get("phases")
        starts = [1]
        if not isinstance(phases, list) or self.training.get("early_stopping") is not None:
            return starts
        for phase in phases[:-1]:
            epochs = phase.get("epochs") if isinstance(phase, Mapping) else None
            if not isinstance(epochs, int):
                break
            starts.append(starts[-1] + epochs)
        return starts


def read_run(path: Path) -> RecordedRun:
    """Reads the run folder at `path`, as much of it as is whole.

    Raises:
        RunError: If it is not the folder of a run, or its config cannot be read.
    """
    run = load_run(path)
    notes: list[str] = []
    try:
        config = read_yaml(run.config_path).values
    except ConfigError as error:
        raise RunError(f"{path}: its config cannot be read: {error}") from error
    if not isinstance(config, Mapping):
        raise RunError(f"{run.config_path}: holds no settings; the run folder is damaged")
    if not isinstance(config.get("seed"), int | None):
        raise RunError(f"{run.config_path}: seed: expected a whole number; it is damaged")
    history: Sequence[Epoch] = []
    if (run.path / "history.csv").exists():
        history, problem = read_whole_rows(run.path / "history.csv")
        notes += [problem] if problem else []
    metrics = _read_metrics(run, notes) if run.is_finished else None
    return RecordedRun(run, config, history, metrics, _state(run, metrics, notes), notes)


def _read_metrics(run: Run, notes: list[str]) -> Mapping[str, Any] | None:
    """Returns what `metrics.json` says, or None, noted, if that is not what a script wrote."""
    try:
        metrics = run.read_json("metrics.json")
    except RunError as error:
        notes.append(str(error))
        return None
    test = metrics.get("test") if isinstance(metrics, Mapping) else None
    figures = [test.get(name) for name in ("loss", "accuracy")] if isinstance(test, Mapping) else ()
    if figures and all(isinstance(value, int | float) for value in figures):
        return metrics
    notes.append(f"{run.path / 'metrics.json'}: has no test scores; it is damaged")
    return None


def _state(run: Run, metrics: Mapping[str, Any] | None, notes: list[str]) -> str:
    if metrics is not None:
        return "finished"
    try:
        ended = read_sessions(run)[-1].get("ended")
    except RunError as error:
        notes.append(str(error))
        return "not finished"
    if ended == "finished":  # which is noted just before metrics.json is written
        if not run.is_finished:
            notes.append(f"{run.path / 'metrics.json'}: is missing")
        return "not finished"
    if ended:
        return str(ended)
    return "at work" if is_locked(run.path) else "cut off"
