"""What a sweep starts and what a search is told, with trials that take no process."""

import shutil
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from epochlab.fleet.driver import Driver, Progress
from epochlab.fleet.ledger import Ledger, TrialRecord
from epochlab.fleet.processes import Outcome
from epochlab.fleet.searches import PlannedTrials, Search
from epochlab.fleet.sweep_config import BudgetConfig, read_sweep
from epochlab.fleet.sweeps import Plan, plan_sweep
from epochlab.fleet.trials import Trial
from epochlab.history import Epoch
from epochlab.runs import Run, create_run

GRID = """\
experiment: quick
search: grid
space: {model.slope: [1, 2, 3, 4, 5]}
seeds: [1]
cpus_per_trial: 1
"""
OPTUNA = GRID.replace("search: grid", "search: optuna\ntrials: 3").replace(
    "[1, 2, 3, 4, 5]", "{low: 0.1, high: 1.0}"
)


class InstantEngine:
    """Ends every trial as soon as it is asked, as `ends` says of the order of their starts."""

    slots = 1

    def __init__(self, ends: Callable[[int], str] = lambda _: "finished", **figures: float) -> None:
        self.started: list[Trial] = []
        self._ends, self._figures = ends, figures
        self._at_work: deque[Trial] = deque()

    def start(self, trial: Trial, folder: Path) -> None:
        self.started.append(trial)
        self._at_work.append(trial)
        if self._ends(len(self.started)) == "finished":
            record_run(trial, folder, **self._figures)

    def wait(self, seconds: float) -> Sequence[Outcome]:
        trial = self._at_work.popleft()
        state: Any = self._ends(len(self.started))
        return [Outcome(trial.identity, state, "", 0, 3600.0, "here", 1)]

    def stop(self) -> Sequence[Outcome]:
        return []

    def close(self) -> None:
        pass


class Listener:
    """Keeps the notes for a person."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def known(self, trial: Trial, record: TrialRecord) -> None:
        pass

    def started(self, trial: Trial, record: TrialRecord) -> None:
        pass

    def ended(self, trial: Trial, record: TrialRecord, objective: float | None) -> None:
        pass

    def note(self, message: str) -> None:
        self.notes.append(message)

    def tick(self) -> None:
        pass


def record_run(trial: Trial, folder: Path, val_accuracy: float | None = None) -> Run:
    run = create_run(folder, "quick", trial.seed, {"config.yaml": trial.config_text})
    run.write_history([Epoch(1, 0.5, 0.5, None, val_accuracy, 0.1, 1.0)])
    run.write_json("metrics.json", {"test": {"accuracy": 0.5, "loss": 0.5}})
    return run


def plan(text: str) -> Plan:
    Path("try.yaml").write_text(text)
    return plan_sweep(read_sweep(Path("try.yaml")))


def guide(plan: Plan) -> Any:
    """Returns the search by Optuna in the folder `swept`, as a new call of the command has it."""
    from epochlab.fleet.optuna_search import OptunaSearch

    Path("swept").mkdir(exist_ok=True)
    return OptunaSearch(plan.config, plan.maker, Path("swept"))


def drive(
    search: Search, engine: InstantEngine, listener: Listener | None = None, **budget: Any
) -> Progress:
    """Drives a sweep in the folder `swept`, as a new call of the command does."""
    ledger = Ledger(Path("swept"))
    audience = listener or Listener()
    return Driver(search, ledger, engine, audience, BudgetConfig(**budget), "val_accuracy").run()


def list_states(search: Any) -> list[str]:
    return [point.state.name for point in search._study.get_trials()]


def fail_first(number: int) -> str:
    return "failed" if number == 1 else "finished"


def test_the_hours_of_trials_that_come_later_count_when_a_failed_one_is_tried_again(quick):
    trials = plan(GRID).trials
    drive(PlannedTrials(trials), InstantEngine(fail_first))
    engine = InstantEngine()
    progress = drive(PlannedTrials(trials), engine, trial_hours=3.0)
    assert engine.started == []
    assert progress.exhausted == "budget.trial_hours: 3"
    # With more than the five hours there is room for it.
    drive(PlannedTrials(trials), engine, trial_hours=5.5)
    assert engine.started == [trials[0]]


def test_trials_that_come_later_count_for_the_number_of_trials(quick):
    trials = plan(GRID).trials
    drive(PlannedTrials(trials), InstantEngine())
    shutil.rmtree(next(Path("swept/trials").glob("001-*")))
    engine = InstantEngine()
    progress = drive(PlannedTrials(trials), engine, trials=4)
    assert engine.started == []
    assert progress.exhausted == "budget.trials: 4"


def test_points_of_optuna_that_are_done_are_known_though_the_budget_is_used_up(quick):
    pytest.importorskip("optuna")
    planned = plan(OPTUNA)
    drive(guide(planned), InstantEngine(fail_first, val_accuracy=0.5))
    progress = drive(guide(planned), InstantEngine(), trial_hours=2.0)
    assert progress.exhausted == "budget.trial_hours: 2"
    assert len(progress.skipped) == progress.total == 3
    ledger = Ledger(Path("swept"))
    states = [ledger.add(trial).state for trial in progress.skipped]
    assert states == ["failed", "finished", "finished"]


def test_a_finished_trial_without_objective_is_told_optuna_as_failed_and_a_person_once(quick):
    pytest.importorskip("optuna")
    planned, listener = plan(OPTUNA), Listener()
    search = guide(planned)
    drive(search, InstantEngine(), listener)
    assert list_states(search) == ["FAIL"] * 3
    assert len(listener.notes) == 1
    assert "finished without val_accuracy" in listener.notes[0]
    again = guide(planned)
    engine, listener = InstantEngine(), Listener()
    drive(again, engine, listener)
    assert engine.started == []
    assert list_states(again) == ["FAIL"] * 3
    assert len(listener.notes) == 1


def test_a_finished_trial_with_objective_is_told_optuna_and_needs_no_word(quick):
    pytest.importorskip("optuna")
    search, listener = guide(plan(OPTUNA)), Listener()
    drive(search, InstantEngine(val_accuracy=0.5), listener)
    assert [(point.state.name, point.value) for point in search._study.get_trials()] == [
        ("COMPLETE", 0.5)
    ] * 3
    assert listener.notes == []


def test_a_failed_point_of_optuna_stays_open_for_the_next_call(quick):
    pytest.importorskip("optuna")
    planned = plan(OPTUNA)
    search = guide(planned)
    drive(search, InstantEngine(fail_first, val_accuracy=0.5))
    assert list_states(search) == ["RUNNING", "COMPLETE", "COMPLETE"]
    search = guide(planned)
    drive(search, InstantEngine(val_accuracy=0.5))
    assert list_states(search) == ["COMPLETE"] * 3


def test_a_search_that_does_not_go_by_results_says_nothing_of_a_missing_objective(quick):
    listener = Listener()
    drive(PlannedTrials(plan(GRID).trials), InstantEngine(), listener)
    assert listener.notes == []
