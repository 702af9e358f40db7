"""The run folder: made exclusively, filled file by file, finished by its `metrics.json`."""

import errno
import hashlib
import json
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from epochlab.config.yaml_reader import read_yaml
from epochlab.errors import RunError
from epochlab.files import format_json, make_folder, write_text
from epochlab.history import History, format_history

# Room for a line about each of a million files; what is larger is no record of ours.
MAXIMUM_RECORD_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Run:
    """One run's folder. Every file in it is written whole or not at all."""

    path: Path

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.absolute().name

    @cached_property
    def experiment(self) -> str:
        """Name of the experiment, wherever the folder lies now.

        Raises:
            ConfigError: If the config cannot be read.
        """
        named = read_yaml(self.config_path).values.get("experiment")
        return named if isinstance(named, str) else self.path.absolute().parent.name

    @property
    def out(self) -> Path:
        """The folder of all experiments' runs that it lies in; `outputs` if it lies in none."""
        parent = self.path.absolute().parent
        return parent.parent if parent.name == self.experiment else Path("outputs")

    @property
    def is_finished(self) -> bool:
        """Whether training, scoring and all records are complete."""
        return (self.path / "metrics.json").is_file()

    @property
    def config_path(self) -> Path:
        """The resolved config; the script started on it repeats the run."""
        return self.path / "config.yaml"

    @property
    def checkpoints(self) -> Path:
        """The folder of the exact training states."""
        return self.path / "checkpoints"

    @cached_property
    def environment(self) -> dict[str, Any]:
        """What `environment.json` says: versions, machine, code."""
        return self.read_json("environment.json")

    def read_json(self, name: str) -> dict[str, Any]:
        """Reads the file `name` in this folder.

        Raises:
            RunError: If the file is missing or damaged.
        """
        path = self.path / name
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                raise ValueError("it is no regular file")
            if status.st_size > MAXIMUM_RECORD_BYTES:
                raise ValueError(f"it has {status.st_size:,} bytes")
            value = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(value, dict):
                raise ValueError(f"it holds {json.dumps(value)[:40]}, not an object")
        # Of brackets by the thousand, json says RecursionError.
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(
                f"{path}: cannot be read ({error}); the run folder is damaged; start a new run"
            ) from error
        return value

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Writes `value` to the file `name` in this folder, readable by people too."""
        write_text(self.path / name, format_json(value))

    def write_history(self, history: History) -> None:
        """Writes `history.csv` anew."""
        write_text(self.path / "history.csv", format_history(history))

    def provenance(self, best_epoch: int | None) -> dict[str, str]:
        """Returns what goes into the text fields of every picture of this run."""
        config_bytes = self.config_path.read_bytes()
        git = self.environment["git"] or {}
        versions = self.environment["versions"]
        return {
            "experiment": self.experiment,
            "run": self.name,
            "seed": str(read_yaml(self.config_path).values["seed"]),
            "config_sha256": hashlib.sha256(config_bytes).hexdigest(),
            "commit": f"{git.get('commit', 'none')}{' (dirty)' if git.get('dirty') else ''}",
            "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
            "best_epoch": str(best_epoch or "none"),
        }


def create_run(out: Path, experiment: str, seed: int, records: Mapping[str, str]) -> Run:
    """Makes a new run folder `OUT/EXPERIMENT/<UTC time>-seed<N>` with its first records.

    The folder appears with all of them or not at all. Two runs that start in the same second get
    two folders: the later one counts up.

    Args:
        out: Folder of all experiments' runs.
        experiment: Name of the experiment.
        seed: Seed of the run.
        records: Text of each first file, by its name; `config.yaml` among them.

    Raises:
        EnvironmentFault: If the folder cannot be made.
    """
    parent = out / experiment
    make_folder(parent)
    started = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-seed{seed}"
    # One with rights of its own, and in it the folder with the usual ones.
    with tempfile.TemporaryDirectory(prefix=f".{started}", dir=parent) as making:
        folder = Path(making) / "run"
        make_folder(folder)
        for name, text in records.items():
            write_text(folder / name, text)
        return Run(_give_name(folder, parent, started))


def load_run(path: Path) -> Run:
    """Opens the run folder at `path`.

    The run has the path as it is given, unless that has no name to call the run by, as `.`.

    Raises:
        RunError: If there is no such folder or it is not one of a run.
    """
    if not path.is_dir():
        raise RunError(f"{path}: no such folder; give the folder of a run, as OUT/EXPERIMENT/TIME")
    run = Run(path.resolve() if path.name in ("", "..") else path)
    if not run.config_path.is_file():
        raise RunError(
            f"{path}: no run folder, it lacks config.yaml; give a folder that a script printed "
            "after 'run:'"
        )
    return run


def _give_name(folder: Path, parent: Path, name: str) -> Path:
    """Moves `folder` to `parent/name`, or to the first free of `name-2`, `name-3`, ..."""
    path, count = parent / name, 1
    while True:
        try:
            # Onto a folder that is not empty, as every run folder is, nothing can be renamed.
            return folder.rename(path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            count += 1
            path = parent / f"{name}-{count}"
