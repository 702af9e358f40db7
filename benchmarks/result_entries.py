"""What `docs/results/` holds: the entries of `experiments.yaml` and the runs of each."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from epochlab.compare import INCIDENTAL
from epochlab.config.loading import list_settings
from epochlab.config.yaml_reader import read_yaml
from epochlab.config.yaml_writer import format_value
from epochlab.errors import ConfigError, RunError
from epochlab.recorded_runs import RecordedRun, read_run

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "results"
# Of these only the name counts: the folder differs from machine to machine.
PLACES = {"data.path", "model.weights"}
IGNORED = INCIDENTAL - PLACES


@dataclass(frozen=True)
class Entry:
    """One row of the results: an experiment with one set of settings.

    Attributes:
        name: Name of the row, and of its folder in `docs/results/`.
        network: What is trained, in a few words.
        experiment: Name of the experiment, as runs record it.
        script: Stem of the script.
        config: The YAML file, relative to the repository.
        settings: What the runs have instead of the YAML's values, by dotted key.
        published: The article's number in words, "" for a recipe of our own.
        published_accuracy: The same as a number, 0..1, if there is one.
        published_on: `test` or `validation`: what it was measured on.
        look_for: What the curves are to show.
        checks: How that is computed; see `result_checks.py`.
        is_recipe: Whether it goes further than the articles.
    """

    name: str
    network: str
    experiment: str
    script: str
    config: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    published: str = ""
    published_accuracy: float | None = None
    published_on: str = "test"
    look_for: str = ""
    checks: Sequence[Mapping[str, Any]] = ()
    is_recipe: bool = False

    @property
    def command(self) -> str:
        """The command of a run, up to its seed."""
        words = ["python", f"scripts/{self.script}.py"]
        # The script finds a recipe of its own name by itself.
        own = (f"configs/{self.script}.yaml", f"configs/recipes/{self.script}.yaml")
        if self.config not in own:
            words += ["--config", self.config]
        for key, value in self.settings.items():
            words += ["--set", f"{key}={format_value(value)}"]
        return shlex.join(words)


@dataclass(frozen=True)
class Results:
    """All that the pages are made from.

    Attributes:
        entries: The rows, in order.
        added: Settings that runs of older versions lack, with the value that means the same.
        runs: The committed runs of each entry, by its name, in the order of their seeds.
        folder: Where they lie.
    """

    entries: Sequence[Entry]
    added: Mapping[str, Any]
    runs: Mapping[str, Sequence[RecordedRun]]
    folder: Path


def read_results(folder: Path = RESULTS) -> Results:
    """Reads the entries and the runs that have been collected.

    Raises:
        ConfigError: If `experiments.yaml` is not of its form, or a check names no entry.
        RunError: If a collected run cannot be read.
    """
    path = folder / "experiments.yaml"
    values = read_yaml(path).values
    entries = [
        _make_entry(name, value, path, is_recipe=section == "recipes")
        for section in ("experiments", "recipes")
        for name, value in values[section].items()
    ]
    names = {entry.name for entry in entries}
    for entry in entries:
        for check in entry.checks:
            if check.get("than", entry.name) not in names:
                raise ConfigError(
                    f"{path}: a check of {entry.name} compares with {check['than']}, which is no "
                    f"entry; name one of {', '.join(sorted(names))}"
                )
    runs = {entry.name: _read_collected(folder / entry.name) for entry in entries}
    return Results(entries, values["added"], runs, folder)


def find_entry(run: RecordedRun, results: Results) -> Entry:
    """Returns the entry whose settings `run` had.

    Raises:
        RunError: If there is none; the message names what differs from the nearest one.
    """
    candidates = [entry for entry in results.entries if entry.experiment == run.experiment]
    if not candidates:
        names = sorted({entry.experiment for entry in results.entries})
        raise RunError(
            f"{run.run.path}: {run.experiment} is no experiment of experiments.yaml, "
            f"which has {', '.join(names)}; add an entry"
        )
    shipped = [entry for entry in candidates if (ROOT / entry.config).is_file()]
    if not shipped:
        missing = ", ".join(entry.config for entry in candidates)
        raise RunError(f"{run.run.path}: cannot be compared, {missing} is missing; restore it")
    found = [(list_differences(run, entry, results.added), entry) for entry in shipped]
    differences, entry = min(found, key=lambda pair: len(pair[0]))
    if differences:
        raise RunError(
            f"{run.run.path}: its settings are not those of {entry.name}: "
            f"{'; '.join(differences)}; run {entry.command}, or add an entry with `settings` to "
            f"{results.folder / 'experiments.yaml'}"
        )
    return entry


def list_differences(run: RecordedRun, entry: Entry, added: Mapping[str, Any]) -> list[str]:
    """Returns where the settings of `run` are not those of `entry`, each for a person."""
    asked = list_settings(read_yaml(ROOT / entry.config).values) | dict(entry.settings)
    had = {key: value for key, value in added.items() if key in asked} | list_settings(run.config)
    return [
        f"{key} is {_show(had, key)}, not {_show(asked, key)}"
        for key in dict.fromkeys([*asked, *had])
        if key not in IGNORED and not _is_same(key, asked.get(key, ...), had.get(key, ...))
    ]


def is_machine_path(text: str) -> bool:
    """Tells whether `text` is a path that only one machine has; `/device:CPU:0` is none."""
    absolute = PurePosixPath(text).is_absolute() and text.count("/") > 1
    return absolute or PureWindowsPath(text).is_absolute() or text.startswith("~")


def _is_same(key: str, asked: Any, had: Any) -> bool:
    if key in PLACES and isinstance(asked, str) and isinstance(had, str):
        return PurePosixPath(asked).name == PurePosixPath(had).name
    # What `auto` became stands in the run's config, and why in its environment.json.
    return asked == had or (key.endswith(".precision") and asked == "auto")


def _show(settings: Mapping[str, Any], key: str) -> str:
    return format_value(settings[key]) if key in settings else "absent"


def _make_entry(name: str, value: Mapping[str, Any], path: Path, *, is_recipe: bool) -> Entry:
    # A recipe has a script of its own name, or it runs another experiment's.
    experiment = value.get("experiment", name)
    usual = {"experiment": experiment, "script": experiment, "config": f"configs/{name}.yaml"}
    try:
        return Entry(name=name, is_recipe=is_recipe, **(usual | dict(value)))
    except TypeError as error:
        raise ConfigError(f"{path}: {name} is not of the form of an entry ({error})") from error


def _read_collected(folder: Path) -> list[RecordedRun]:
    runs = [read_run(path.parent) for path in folder.glob("*/config.yaml")]
    for run in runs:
        if run.metrics is None or run.notes:
            raise RunError(f"{run.run.path}: not whole; remove it and collect it again")
    return sorted(runs, key=lambda run: (run.seed, run.run.path.name))


def list_accuracies(runs: Sequence[RecordedRun]) -> list[float]:
    """Returns the test accuracy of each run, 0..1."""
    return [run.metrics["test"]["accuracy"] for run in runs if run.metrics]


def read_record(path: Path) -> dict[str, Any]:
    """Returns what a JSON file of a collected run says, {} if it has none of that name."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
