"""One config with several seeds, and the runs that have that already."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from epochlab.compare import INCIDENTAL
from epochlab.comparison_notes import list_changed_settings
from epochlab.config import list_settings
from epochlab.config.yaml_reader import parse_value
from epochlab.errors import ConfigError, EpochlabError, RunError
from epochlab.fleet.experiments import find_experiment, fingerprint_data
from epochlab.fleet.ledger import OUTCOMES, Ledger
from epochlab.fleet.points import Setting
from epochlab.fleet.sweep_config import RESERVED, SweepConfig, check_seeds
from epochlab.fleet.sweeps import Plan
from epochlab.fleet.trials import TrialMaker, list_trials
from epochlab.recorded_runs import RecordedRun, read_run
from epochlab.run_search import list_run_folders

MOST_SEEDS = 10_000


def parse_seeds(text: str) -> tuple[int, ...]:
    """Returns the seeds that `--seeds` means: `5` is 1 to 5, `3,7` those two, `7,` the one.

    Raises:
        ConfigError: If it is neither, or a seed stands there twice.
    """
    expected = f"--seeds {text}: expected how many, as in 5, or a list of seeds, as in 1,2,7"
    try:
        numbers = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise ConfigError(expected) from None
    if "," not in text and len(numbers) == 1:
        if not 1 <= numbers[0] <= MOST_SEEDS:
            raise ConfigError(f"{expected}; from 1 to {MOST_SEEDS:,}")
        return tuple(range(1, numbers[0] + 1))
    if not numbers or not all(0 <= number < 2**31 for number in numbers):
        raise ConfigError(f"{expected}; a seed is a whole number from 0 to {2**31 - 1}")
    try:
        check_seeds(numbers)
    except ValueError as error:
        raise ConfigError(f"--seeds {text}: {error}") from None
    return tuple(numbers)


def plan_repeats(
    name: str,
    path: Path | None,
    overrides: Sequence[str],
    seeds: Sequence[int],
    cpus_per_trial: int,
) -> Plan:
    """Resolves and checks one config for several seeds. Nothing is written.

    Args:
        name: The experiment.
        path: Its config, or None for the one that ships with it.
        overrides: Texts `KEY=VALUE`.
        seeds: The seeds.
        cpus_per_trial: CPUs and TensorFlow's threads of each run.

    Raises:
        ConfigError: If anything is wrong.
    """
    experiment = find_experiment(name)
    fixed = [_parse_override(text) for text in overrides]
    config = SweepConfig(
        experiment=name,
        config=None if path is None else str(path),
        set={setting.key: setting.value for setting in fixed},
        search="list",
        space=[{}],
        seeds=tuple(seeds),
        cpus_per_trial=cpus_per_trial,
    )
    maker = TrialMaker(experiment, path or experiment.config_path, fixed, cpus_per_trial)
    return Plan(config, experiment, maker, list_trials(maker, [[]], seeds, "--seeds"))


def name_repeats(plan: Plan) -> str:
    """Returns the name of the folder for this config: the experiment's and the config's hash."""
    values = {
        key: value
        for key, value in list_settings(plan.maker.base.model_dump(mode="json")).items()
        if key != "seed"
    }
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]
    return f"{plan.experiment.name}-{digest}"


def reuse_runs(plan: Plan, ledger: Ledger, outputs: Path) -> list[Path]:
    """Enters finished runs of the same config, seed and data into the ledger.

    The number of threads need not be the same: it changes how sums are rounded, and no more.

    Args:
        plan: The config and the seeds.
        ledger: The ledger.
        outputs: Folder of all experiments' runs.

    Returns:
        The runs that were entered.
    """
    missing = {
        trial.seed: trial for trial in plan.trials if ledger.add(trial).state not in OUTCOMES
    }
    wanted = _settings(plan.maker.base.model_dump(mode="json"))
    found: dict[int, RecordedRun] = {}
    for run in _read_finished(outputs, missing, plan.experiment.name):
        if run.seed is not None and _settings(run.config) == wanted:
            found.setdefault(run.seed, run)
    if not found:
        return []
    try:
        fingerprint = fingerprint_data(plan.maker.base)
    except EpochlabError:  # the runs themselves will tell
        return []
    reused = []
    for seed, run in found.items():
        if run.run.read_json("data.json").get("sha256") == fingerprint:
            path = run.run.path.absolute()
            ledger.update(missing[seed].identity, state="finished", run=str(path))
            reused.append(run.run.path)
    return reused


def _parse_override(text: str) -> Setting:
    key, equals, value = text.partition("=")
    if not equals or not all(key.split(".")):
        raise ConfigError(f"--set {text}: expected KEY=VALUE, as in training.epochs=1")
    if key in RESERVED:
        flags = {"seed": "--seeds", "training.threads": "--cpus"}
        raise ConfigError(f"--set {text}: {key} is set by {flags.get(key, 'EXPERIMENT')}")
    return Setting(key, parse_value(value, f"--set {key}"), "--set")


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    settings = list_settings(json.loads(json.dumps(dict(config))))
    # What weights hold is not known before they are loaded, so here they go by their name.
    return {key: settings[key] for key in settings if key not in INCIDENTAL - {"model.weights"}}


def _read_finished(outputs: Path, missing: Mapping[int, Any], name: str) -> list[RecordedRun]:
    """Returns the finished runs of an experiment that have one of the seeds."""
    found = []
    for path in list_run_folders(outputs) if outputs.is_dir() else []:
        if path.parent.name != name or not (path / "metrics.json").is_file():
            continue
        try:
            run = read_run(path)
        except RunError:
            continue
        # One that was changed on the way is no run of this config from its first epoch on.
        if run.is_finished and run.seed in missing and not list_changed_settings(run):
            found.append(run)
    return found
