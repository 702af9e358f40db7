"""The folder of a sweep: what was asked for, and a folder and a record per trial.

Each record is a file of its own, written whole or not at all, so that the folder tells where every
trial stands whenever the driver ends.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from epochlab.config import Section, dump_config, list_settings
from epochlab.config.yaml_reader import read_yaml
from epochlab.errors import ConfigError, RunError
from epochlab.files import format_json, make_folder, write_text
from epochlab.fleet.trials import Trial
from epochlab.recorded_runs import read_run
from epochlab.run_search import list_run_folders
from epochlab.runs import Run
from epochlab.session_records import Change

State = Literal["waiting", "running", "finished", "diverged", "failed", "interrupted"]
# A trial that diverged is a result: it says that this config does not converge.
OUTCOMES = ("finished", "diverged")

SWEEP, BASE, RECORD, SETTINGS, LOG = (
    "sweep.yaml",
    "base.yaml",
    "trial.json",
    "settings.yaml",
    "output.log",
)
# What may change in a sweep that goes on: it decides which trials run, and when, but no result.
FREE = {"parallel", "budget", "budget.trials", "budget.trial_hours"}


@dataclass(frozen=True)
class TrialRecord:
    """Where a trial stands.

    Attributes:
        identity: The trial's.
        label: The same for a person.
        settings: What it varies, by dotted key.
        seed: Its seed.
        state: Where it stands; `running` in the folder of a sweep that nobody drives: cut off.
        reason: Why it failed, diverged or was interrupted, in one line.
        exit_code: What its script ended with, or minus the signal.
        seconds: How long its processes took, all attempts together.
        attempts: How often a process was started for it.
        node: The machine of the last attempt.
        run: Its run folder, below the trial's own folder or elsewhere.
    """

    identity: str
    label: str
    settings: Mapping[str, Any]
    seed: int
    state: State = "waiting"
    reason: str = ""
    exit_code: int | None = None
    seconds: float = 0.0
    attempts: int = 0
    node: str = ""
    run: str = ""


@dataclass
class Ledger:
    """The records of a sweep's trials, in memory and on disk.

    Attributes:
        folder: The sweep's folder.
        records: By the trials' identities, in the order in which they were added.
    """

    folder: Path
    records: dict[str, TrialRecord] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Finds the folders of trials that an earlier call has made."""
        found = (self.folder / "trials").glob("*-*")
        self._folders = {path.name.rpartition("-")[2]: path for path in sorted(found)}

    def add(self, trial: Trial) -> TrialRecord:
        """Returns the record of `trial`, as an earlier call has left it or new."""
        identity = trial.identity
        if identity not in self.records:
            new = TrialRecord(identity, trial.label, dict(trial.settings), trial.seed)
            self.folder_of(identity)
            self.records[identity] = self._read(new)
            if self.records[identity].state == "finished":
                run = self.run_of(identity)
                if run is None or not run.is_finished:  # its folder was deleted
                    was = self.records[identity]
                    new = replace(new, seconds=was.seconds, attempts=was.attempts)
                    self.records[identity] = new
        return self.records[identity]

    def list_all(self) -> list[TrialRecord]:
        """Returns all records, those too that an earlier call has left and none has added yet."""
        left = (identity for identity in self._folders if identity not in self.records)
        found = [self._read(TrialRecord(identity, "", {}, 0)) for identity in left]
        return [*self.records.values(), *found]

    def folder_of(self, identity: str) -> Path:
        """Returns the folder of a trial, `NUMBER-IDENTITY`, which may not be there yet."""
        if identity not in self._folders:
            name = f"{len(self.records) + 1:03d}-{identity}"
            self._folders[identity] = self.folder / "trials" / name
        return self._folders[identity]

    def prepare(self, trial: Trial) -> Path:
        """Makes the folder of a trial with the config that its script gets."""
        folder = self.folder_of(trial.identity)
        make_folder(folder)
        if not (folder / SETTINGS).exists():
            write_text(folder / SETTINGS, trial.config_text)
        return folder

    def update(self, identity: str, **changes: Any) -> TrialRecord:
        """Changes a record, in memory and on disk."""
        record = replace(self.records[identity], **changes)
        self.records[identity] = record
        make_folder(self.folder_of(identity))
        write_text(self.folder_of(identity) / RECORD, format_json(asdict(record)))
        return record

    def run_of(self, identity: str) -> Run | None:
        """Returns the run folder of a trial, if there is one."""
        recorded = self.records[identity].run
        if recorded and Path(recorded).is_absolute():
            return Run(Path(recorded))
        return find_run(self.folder_of(identity))

    def _read(self, new: TrialRecord) -> TrialRecord:
        path = self.folder_of(new.identity) / RECORD
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            kept = {name: stored[name] for name in asdict(new) if name in stored}
            return replace(new, **kept)
        except FileNotFoundError:
            return new
        except (OSError, ValueError, TypeError) as error:
            raise RunError(
                f"{path}: cannot be read ({error}); delete {path.parent} to run this trial anew"
            ) from error


def find_run(folder: Path) -> Run | None:
    """Returns the run in a trial's folder: a finished one, or else the one that got farthest."""
    runs = [Run(path) for path in list_run_folders(folder)] if folder.is_dir() else []
    if len(runs) < 2:
        return runs[0] if runs else None
    return max(runs, key=lambda run: (run.is_finished, len(read_run(run.path).history)))


def open_ledger(
    folder: Path, sweep: Section, base: Section, *, free: Collection[str] | None = FREE
) -> Ledger:
    """Begins a sweep in `folder`, or goes on with the one that lies there.

    Args:
        folder: The sweep's folder, locked by this process.
        sweep: The sweep's config.
        base: The experiment's config that all trials begin from.
        free: Dotted keys of `sweep` that may have changed since; None: all.

    Raises:
        ConfigError: If the sweep there is another one; every difference is named.
    """
    changes = [
        *(_find_changes(folder / SWEEP, sweep, "", free) if free is not None else ()),
        *_find_changes(folder / BASE, base, "config: ", {"seed"}),
    ]
    if changes:
        raise ConfigError(
            "\n  ".join(
                [
                    f"{folder}: this sweep was begun with other settings, and trials of both "
                    "would not belong together",
                    *map(str, changes),
                    "put it back, or begin another sweep with --name NAME",
                ]
            )
        )
    write_text(folder / SWEEP, dump_config(sweep))
    write_text(folder / BASE, dump_config(base))
    return Ledger(folder)


def _find_changes(path: Path, now: Section, prefix: str, free: Collection[str]) -> list[Change]:
    if not path.exists():
        return []
    settings = [list_settings(read_yaml(path).values), list_settings(now.model_dump(mode="json"))]
    was, is_now = ({k: v for k, v in values.items() if k not in free} for values in settings)
    return [
        Change(f"{prefix}{key}", was.get(key), is_now.get(key))
        for key in dict.fromkeys([*was, *is_now])
        if was.get(key) != is_now.get(key)
    ]
