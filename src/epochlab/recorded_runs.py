"""Runs as they lie in their folders: found by what a person types, read without TensorFlow."""

import contextlib
import difflib
import glob
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from epochlab.config.yaml_reader import read_yaml
from epochlab.errors import ConfigError, RunError
from epochlab.history import Epoch, find_best_epoch, read_whole_rows
from epochlab.run_lock import is_locked
from epochlab.runs import Run, load_run
from epochlab.session_records import read_sessions


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
        return f"{self.experiment}/{self.run.path.name}"

    @property
    def experiment(self) -> str:
        """Name of the experiment."""
        return str(self.config.get("experiment", self.run.path.parent.name))

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
    history: Sequence[Epoch] = []
    if (run.path / "history.csv").exists():
        history, problem = read_whole_rows(run.path / "history.csv")
        notes += [problem] if problem else []
    metrics = _read_metrics(run, notes) if run.is_finished else None
    return RecordedRun(run, config, history, metrics, _state(run, metrics, notes), notes)


def find_runs(given: Sequence[str], outputs: Path) -> list[RecordedRun]:
    """Returns the runs that a person means, each once, in the order given.

    Args:
        given: Each a run folder, a folder that has runs somewhere below it, a glob of those, or the
            name of an experiment, which means its newest finished run in `outputs`.
        outputs: Folder of all experiments' runs.

    Raises:
        RunError: If one of `given` means no run, or a run's config cannot be read.
    """
    found: dict[Path, RecordedRun] = {}
    for text in given:
        for path in _paths(text, outputs):
            found.setdefault(path.resolve(), read_run(path))
    return list(found.values())


def list_run_folders(folder: Path) -> list[Path]:
    """Returns the run folders at or below `folder`, in the order of their paths."""
    if (folder / "config.yaml").is_file():
        return [folder]
    return list(_walk(folder))


def _walk(folder: Path) -> Iterator[Path]:
    try:
        children = sorted(child for child in folder.iterdir() if child.is_dir())
    except OSError:
        return
    for child in children:
        # A hidden folder is a run that is just being made.
        if child.name.startswith(".") or child.is_symlink():
            continue
        if (child / "config.yaml").is_file():
            yield child
        else:
            yield from _walk(child)


def _paths(text: str, outputs: Path) -> list[Path]:
    path = Path(text)
    if path.is_dir():
        folders = list_run_folders(path)
        if not folders:
            raise RunError(
                f"{text}: neither a run folder nor a folder with runs in it: there is no "
                "config.yaml; give what a script printed after 'run:'"
            )
        return folders
    if glob.has_magic(text):
        matches = [Path(match) for match in sorted(glob.glob(text)) if Path(match).is_dir()]
        folders = [folder for match in matches for folder in list_run_folders(match)]
        if not folders:
            raise RunError(f"{text}: matches no run folder; quote it, or look with ls")
        return folders
    experiment = outputs / text
    if path.name == text and experiment.is_dir():
        finished = [folder for folder in list_run_folders(experiment) if Run(folder).is_finished]
        if not finished:
            raise RunError(
                f"{text}: no run in {experiment} is finished; go on with one: epochlab resume RUN"
            )
        return [max(finished, key=lambda folder: folder.name)]
    raise RunError(
        f"{text}: no such folder, and no experiment in {outputs}{_suggest(text, outputs)}"
    )


def _suggest(text: str, outputs: Path) -> str:
    names: list[str] = []
    with contextlib.suppress(OSError):
        names = sorted(child.name for child in outputs.iterdir() if child.is_dir())
    close = difflib.get_close_matches(text, names, n=1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; it has {', '.join(names)}" if names else "; give a folder, or train one first"


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
