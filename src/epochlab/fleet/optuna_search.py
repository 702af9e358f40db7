"""Points chosen by Optuna, each by the results of those before."""

import json
import statistics
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from epochlab.config.yaml_writer import format_value
from epochlab.errors import EnvironmentFault
from epochlab.fleet.ledger import TrialRecord
from epochlab.fleet.points import Setting, round_within
from epochlab.fleet.sweep_config import SweepConfig, is_range
from epochlab.fleet.trials import Trial, TrialMaker

JOURNAL = "optuna.journal"
STUDY = "sweep"
DIRECTIONS: dict[str, Literal["maximize", "minimize"]] = {
    "val_accuracy": "maximize",
    "val_loss": "minimize",
}


@dataclass
class _Point:
    """A point that is being tried.

    Attributes:
        number: Its number in the study.
        waiting: Trials that have not ended.
        figures: The objective of those that have.
        failed: Whether one failed.
        unjudged: Whether one finished without the objective.
        diverged: Whether one diverged.
    """

    number: int
    waiting: set[str]
    figures: list[float] = field(default_factory=list)
    failed: bool = False
    unjudged: bool = False
    diverged: bool = False


class OptunaSearch:
    """Optuna's tree-structured Parzen estimator (Bergstra et al., NIPS 2011).

    A point's value is the mean of the objective over the seeds. The study lies in the sweep's
    folder, as Optuna's own journal, which its tools read too. Every point is drawn with a seed of
    its own, so that a sweep that is broken off goes on as it would have; with several trials at a
    time a point depends on which of the others have ended.

    Args:
        config: The sweep.
        maker: Makes the trials.
        folder: The sweep's folder.

    Attributes:
        total: How many trials there will be.

    Raises:
        EnvironmentFault: If Optuna is not installed.
    """

    is_guided = True

    def __init__(self, config: SweepConfig, maker: TrialMaker, folder: Path) -> None:
        try:
            import optuna
        except ImportError as error:
            raise EnvironmentFault(
                f"search: optuna: Optuna is not installed ({error}); pip install 'epochlab[optuna]'"
            ) from error
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna, self._config, self._maker = optuna, config, maker
        self._study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(folder / JOURNAL))),
            study_name=STUDY,
            direction=DIRECTIONS[config.objective],
            load_if_exists=True,
        )
        self._distributions = {
            key: _make_distribution(values, optuna.distributions)
            for key, values in config.space.items()
        }
        self._points = config.trials or 0
        self.total = self._points * len(config.seeds)
        self._ready: deque[Trial] = deque()
        self._open: dict[str, _Point] = {}
        # What an earlier call has asked for comes first: done trials count, others go on.
        self._asked = deque(trial.number for trial in self._study.get_trials(deepcopy=False))

    def next(self) -> Trial | None:
        """Returns the next trial: the point at hand with its next seed, or of a new point."""
        while not self._ready:
            if self._asked:
                self._add(self._asked.popleft())
            elif len(self._study.get_trials(deepcopy=False)) < self._points:
                self._add(self._ask())
            else:
                return None
        return self._ready.popleft()

    def tell(self, trial: Trial, record: TrialRecord, objective: float | None) -> None:
        """Takes note of a trial's end; with the last seed, Optuna learns the point's value."""
        point = self._open.get(trial.identity)
        if point is None or trial.identity not in point.waiting:
            return
        point.waiting.discard(trial.identity)
        point.diverged |= record.state == "diverged"
        point.failed |= record.state in ("failed", "interrupted")
        point.unjudged |= record.state == "finished" and objective is None
        if objective is not None:
            point.figures.append(objective)
        if not point.waiting:
            self._finish(point)

    def left(self) -> Sequence[Trial]:
        """Returns the trials of points that were drawn and not given yet, in earlier calls too."""
        while self._asked:
            self._add(self._asked.popleft())
        return list(self._ready)

    def _ask(self) -> int:
        number = len(self._study.get_trials(deepcopy=False))
        self._study.sampler = self._optuna.samplers.TPESampler(
            seed=self._config.search_seed * 1_000_003 + number, constant_liar=True
        )
        return self._study.ask(self._distributions).number

    def _add(self, number: int) -> None:
        frozen = self._study.get_trials(deepcopy=False)[number]
        if set(frozen.params) != set(self._distributions):
            return  # killed while it was drawn
        settings = [
            Setting(key, _read_value(frozen.params[key], values), f"optuna, point {number}")
            for key, values in self._config.space.items()
        ]
        trials = [self._maker.make(settings, seed) for seed in self._config.seeds]
        if trials[0].identity in self._open:
            # Where there are few points, one may come again: the runs would be the same.
            if not frozen.state.is_finished():
                self._study.tell(number, state=self._optuna.trial.TrialState.FAIL)
            self.total -= len(trials)
            return
        point = _Point(number, {trial.identity for trial in trials})
        self._open |= {trial.identity: point for trial in trials}
        self._ready.extend(trials)

    def _finish(self, point: _Point) -> None:
        states = self._optuna.trial.TrialState
        if self._study.get_trials(deepcopy=False)[point.number].state.is_finished():
            return
        if point.failed:
            return  # tried again by the next call
        if point.diverged:
            # To the sampler a pruned point is worse than all that have a value.
            self._study.tell(point.number, state=states.PRUNED)
        elif point.unjudged:
            # Nothing that could be run again would give it a value.
            self._study.tell(point.number, state=states.FAIL)
        else:
            self._study.tell(point.number, statistics.fmean(point.figures))


def _make_distribution(values: Any, distributions: Any) -> Any:
    if not is_range(values):
        return distributions.CategoricalDistribution([_write_value(value) for value in values])
    low, high, log = values["low"], values["high"], values.get("log", False)
    if isinstance(low, int) and isinstance(high, int):
        return distributions.IntDistribution(low, high, log=log)
    return distributions.FloatDistribution(float(low), float(high), log=log)


def _write_value(value: Any) -> Any:
    """Returns a value as Optuna can store it: sections and lists as text."""
    return format_value(value) if isinstance(value, Mapping | list) else value


def _read_value(stored: Any, values: Any) -> Any:
    if is_range(values):
        is_whole = isinstance(stored, int)
        return stored if is_whole else round_within(stored, values["low"], values["high"])
    for value in values:
        if json.dumps(_write_value(value)) == json.dumps(stored):
            return value
    raise AssertionError(f"{stored} is none of {values}")
