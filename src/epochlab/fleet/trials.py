"""The trials of a sweep: every one's whole config, checked before anything starts."""

import copy
import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from epochlab.config import Section, dump_config
from epochlab.config.loading import check_source
from epochlab.config.source import Source
from epochlab.errors import ConfigError
from epochlab.fleet.experiments import Experiment
from epochlab.fleet.points import Setting
from epochlab.labels import describe_settings

SHOWN_ERRORS = 5


@dataclass(frozen=True)
class Trial:
    """One run to be made.

    Attributes:
        settings: What this trial varies, by dotted key.
        seed: Its seed.
        config: Its whole config.
    """

    settings: Mapping[str, Any]
    seed: int
    config: Section

    @property
    def identity(self) -> str:
        """Eight hexadecimal digits that stand for the whole config, seed included."""
        values = json.dumps(self.config.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(values.encode()).hexdigest()[:8]

    @property
    def label(self) -> str:
        """What the trial varies, for a person: `scaling=unit, activation=relu, seed 1`."""
        seed = f"seed {self.seed}"
        return f"{describe_settings(self.settings)}, {seed}" if self.settings else seed

    @property
    def epochs(self) -> int:
        """How many epochs its config asks for."""
        values = self.config.model_dump()
        phases = values.get("phases") or [values["training"]]
        return sum(phase["epochs"] for phase in phases)

    @property
    def config_text(self) -> str:
        """The config file that the script gets."""
        return dump_config(self.config)


class TrialMaker:
    """Makes trials of one experiment.

    Args:
        experiment: The experiment.
        path: The config file to begin from.
        fixed: Settings that all trials share.
        threads: Threads of TensorFlow in each trial.
    """

    def __init__(
        self, experiment: Experiment, path: Path, fixed: Sequence[Setting], threads: int
    ) -> None:
        self.experiment = experiment
        self._threads = threads
        self._source = Source(path)
        _override(self._source, fixed)
        self._source.override("training.threads", threads, "--set")
        self.base = self._check(self._source)

    def make(self, point: Sequence[Setting], seed: int) -> Trial:
        """Returns the trial with the settings of `point` and the seed.

        Raises:
            ConfigError: If the experiment has no such settings.
        """
        source = copy.deepcopy(self._source)
        _override(source, point)
        source.override("seed", seed, "--seed")
        settings = {setting.key: setting.value for setting in point}
        return Trial(settings, seed, self._check(source))

    def _check(self, source: Source) -> Section:
        config = check_source(self.experiment.schema, source).config
        name = source.values["experiment"]
        if name != self.experiment.name:
            raise ConfigError(
                f"{source.locate(('experiment',))}: expected {self.experiment.name}, got {name}; "
                "give the config of this experiment"
            )
        return config


def list_trials(
    maker: TrialMaker, points: Sequence[Sequence[Setting]], seeds: Sequence[int], place: str
) -> list[Trial]:
    """Returns a trial per point and seed: all points with the first seed, then with the next one.

    So a sweep that is cut short has tried every point as often as there was time for.

    Args:
        maker: Makes the trials.
        points: The settings of each point.
        seeds: The seeds.
        place: Where the points come from, for messages.

    Raises:
        ConfigError: If a setting is wrong, in any trial, or two trials are the same run.
    """
    errors: dict[str, None] = {}
    trials: list[Trial] = []
    for seed, point in itertools.product(seeds, points):
        try:
            trials.append(maker.make(point, seed))
        except ConfigError as error:
            errors[str(error)] = None
    if errors:
        more = [f"and {len(errors) - SHOWN_ERRORS} more"] if len(errors) > SHOWN_ERRORS else []
        raise ConfigError("\n".join([*list(errors)[:SHOWN_ERRORS], *more]))
    numbers: dict[str, int] = {}
    for number, trial in enumerate(trials, 1):
        earlier = numbers.setdefault(trial.identity, number)
        if earlier != number:
            raise ConfigError(
                f"{place}: trials {earlier} and {number} are the same run ({trial.label}); leave "
                "one of them out"
            )
    return trials


def _override(source: Source, settings: Sequence[Setting]) -> None:
    for setting in settings:
        source.override(setting.key, copy.deepcopy(setting.value), setting.origin)
