"""Takes one trial after the other from a search to an engine, and keeps the ledger."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from epochlab.compare import read_figures
from epochlab.errors import RunError
from epochlab.fleet.ledger import OUTCOMES, Ledger, TrialRecord
from epochlab.fleet.local_engine import Engine
from epochlab.fleet.objective import explain_missing
from epochlab.fleet.processes import Outcome
from epochlab.fleet.searches import Search
from epochlab.fleet.sweep_config import BudgetConfig
from epochlab.fleet.trials import Trial
from epochlab.recorded_runs import read_run

TICK_SECONDS = 0.5


class Audience(Protocol):
    """Who is told how a sweep goes."""

    def known(self, trial: Trial, record: TrialRecord) -> None:
        """A trial was done in an earlier call."""
        ...

    def started(self, trial: Trial, record: TrialRecord) -> None:
        """A trial has begun, or goes on."""
        ...

    def ended(self, trial: Trial, record: TrialRecord, objective: float | None) -> None:
        """A trial has ended, well or not."""
        ...

    def note(self, message: str) -> None:
        """Something else a person has to know."""
        ...

    def tick(self) -> None:
        """Time has passed."""
        ...


@dataclass
class Progress:
    """How far a sweep has come.

    Attributes:
        total: How many trials the search has.
        skipped: Those that the budget has left no room for, as far as they are known.
        exhausted: What of the budget is used up, or nothing.
    """

    total: int
    skipped: list[Trial] = field(default_factory=list)
    exhausted: str = ""


class Driver:
    """Drives a sweep to its end.

    Args:
        search: Gives the trials.
        ledger: Takes note of where each stands.
        engine: Carries them out.
        audience: Is told.
        budget: When to start no further trial.
        objective: The figure that the search is told.
    """

    def __init__(
        self,
        search: Search,
        ledger: Ledger,
        engine: Engine,
        audience: Audience,
        budget: BudgetConfig | None,
        objective: str,
    ) -> None:
        self.search, self.ledger, self.engine, self.audience = search, ledger, engine, audience
        self.budget, self.objective = budget or BudgetConfig(), objective
        self.progress = Progress(search.total)
        self._at_work: dict[str, Trial] = {}
        self._begun: dict[str, float] = {}
        self._is_warned = False

    def run(self) -> Progress:
        """Starts what is missing and waits for all of it.

        Raises:
            KeyboardInterrupt: If the user or the system asks to stop, once all trials have saved.
        """
        try:
            while True:
                self._fill()
                if not self._at_work:
                    break
                self._take(self.engine.wait(TICK_SECONDS))
                self.audience.tick()
        except KeyboardInterrupt:
            self._stop()
            raise
        finally:
            self.engine.close()
        self.progress.skipped += self.search.left()
        self.progress.total = self.search.total
        return self.progress

    def _fill(self) -> None:
        """Starts trials until the engine is full, the budget used up, or none is left."""
        while len(self._at_work) < self.engine.slots and not self.progress.exhausted:
            trial = self.search.next()
            if trial is None:
                return
            record = self.ledger.add(trial)
            if record.state in OUTCOMES:
                self._tell(trial, record)
                self.audience.known(trial, record)
                continue
            self.progress.exhausted = self._exhausted(record)
            if self.progress.exhausted:
                self.progress.skipped.append(trial)
                return
            folder = self.ledger.prepare(trial)
            record = self.ledger.update(
                trial.identity, state="running", reason="", attempts=record.attempts + 1
            )
            self._at_work[trial.identity] = trial
            self._begun[trial.identity] = time.monotonic()
            self.engine.start(trial, folder)
            self.audience.started(trial, record)

    def _exhausted(self, record: TrialRecord) -> str:
        """Returns what of the budget is used up, for a trial that is not done yet."""
        most, hours = self.budget.trials, self.budget.trial_hours
        if most is None and hours is None:
            return ""
        # An earlier call may have got farther than this one has come yet.
        records = self.ledger.list_all()
        begun = sum(other.attempts > 0 or other.state in OUTCOMES for other in records)
        if most is not None and begun >= most and record.attempts == 0:
            return f"budget.trials: {most}"
        spent = sum(other.seconds for other in records)
        spent += sum(time.monotonic() - self._begun[identity] for identity in self._at_work)
        if hours is not None and spent >= 3600 * hours:
            return f"budget.trial_hours: {hours:g}"
        return ""

    def _take(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            trial = self._at_work.pop(outcome.identity)
            run = self.ledger.run_of(outcome.identity)
            before = self.ledger.records[outcome.identity].seconds
            record = self.ledger.update(
                outcome.identity,
                state=outcome.state,
                reason=outcome.reason,
                exit_code=outcome.exit_code,
                seconds=round(before + outcome.seconds, 2),
                node=outcome.node,
                attempts=outcome.attempts or self.ledger.records[outcome.identity].attempts,
                run=str(run.path.relative_to(self.ledger.folder)) if run else "",
            )
            figure = self._tell(trial, record)
            self.audience.ended(trial, record, figure)

    def _tell(self, trial: Trial, record: TrialRecord) -> float | None:
        """Tells the search of a trial's end, and once a person if it can learn nothing from it."""
        figure = self._figure(record)
        self.search.tell(trial, record, figure)
        is_blind = self.search.is_guided and record.state == "finished" and figure is None
        if is_blind and not self._is_warned:
            self._is_warned = True
            self.audience.note(explain_missing(record, self.objective))
        return figure

    def _figure(self, record: TrialRecord) -> float | None:
        run = self.ledger.run_of(record.identity)
        if run is None or record.state != "finished":
            return None
        try:
            return read_figures(read_run(run.path)).get(self.objective)
        except RunError:
            return None

    def _stop(self) -> None:
        if not self._at_work:
            return
        self.audience.note("stopping: each trial saves after its step; Ctrl-C again stops at once")
        try:
            self._take(self.engine.stop())
        except KeyboardInterrupt:
            self._take(self.engine.stop())
