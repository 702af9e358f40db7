"""How a sweep goes, for a person: a table that lives in a terminal, or a line per event."""

import time
from collections import Counter

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from epochlab.fleet.ledger import Ledger, TrialRecord
from epochlab.fleet.trials import Trial
from epochlab.history import read_whole_rows

# Ended trials that the live table still shows; all of them are in trials.csv.
SHOWN_ENDED = 8
BAR_WIDTH = 12


class PlainDisplay:
    """One line per event, for a log file.

    Args:
        total: How many trials there will be.
        objective: Name of the figure that is shown.
    """

    def __init__(self, total: int, objective: str) -> None:
        self.total, self.objective = total, objective
        self._done = 0

    def known(self, trial: Trial, record: TrialRecord) -> None:
        """A trial was done in an earlier call."""
        self._done += 1
        self.note(f"[{self._done}/{self.total}] {record.label}: {record.state} before")

    def started(self, trial: Trial, record: TrialRecord) -> None:
        """A trial has begun, or goes on."""
        again = f" again (attempt {record.attempts})" if record.attempts > 1 else ""
        self.note(f"[{self._done}/{self.total}] {record.label}: started{again}")

    def ended(self, trial: Trial, record: TrialRecord, objective: float | None) -> None:
        """A trial has ended, well or not."""
        self._done += 1
        words = [f"{record.state} after {record.seconds:.1f} s"]
        if objective is not None:
            words.append(f"{self.objective} {objective:.4f}")
        if record.reason:
            words.append(record.reason)
        self.note(f"[{self._done}/{self.total}] {record.label}: {'; '.join(words)}")

    def note(self, message: str) -> None:
        """Something else a person has to know."""
        print(message, flush=True)

    def tick(self) -> None:
        """Nothing is shown between events."""


class LiveDisplay:
    """A table of what is at work and what has just ended, drawn anew as time passes.

    Args:
        console: The terminal.
        total: How many trials there will be.
        objective: Name of the figure that is shown.
        ledger: Tells where the trials' runs are.
        slots: Trials at a time, for the estimate of the time left.
    """

    def __init__(
        self, console: Console, total: int, objective: str, ledger: Ledger, slots: int
    ) -> None:
        self._total, self._objective, self._ledger, self._slots = total, objective, ledger, slots
        self._begun: dict[str, float] = {}
        self._trials: dict[str, Trial] = {}
        self._ended: list[tuple[TrialRecord, float | None]] = []
        self._taken: list[float] = []
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> "LiveDisplay":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def known(self, trial: Trial, record: TrialRecord) -> None:
        """A trial was done in an earlier call."""
        self._ended.append((record, None))

    def started(self, trial: Trial, record: TrialRecord) -> None:
        """A trial has begun, or goes on."""
        self._trials[trial.identity] = trial
        self._begun[trial.identity] = time.monotonic()
        self.tick()

    def ended(self, trial: Trial, record: TrialRecord, objective: float | None) -> None:
        """A trial has ended, well or not."""
        self._taken.append(time.monotonic() - self._begun.pop(trial.identity))
        self._ended.append((record, objective))
        if record.state == "failed":
            self.note(f"{record.label}: failed: {record.reason}")
        self.tick()

    def note(self, message: str) -> None:
        """Something else a person has to know."""
        self._live.console.print(message, markup=False, highlight=False)

    def tick(self) -> None:
        """Draws the table anew."""
        self._live.update(self._draw(), refresh=True)

    def _draw(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="", caption=self._summarize())
        table.caption_justify = "left"
        table.caption_style = ""
        table.add_column("trial", overflow="fold", ratio=1)
        table.add_column("epochs", no_wrap=True)
        table.add_column("", justify="right", no_wrap=True)
        table.add_column(self._objective, justify="right", no_wrap=True)
        table.add_column("seconds", justify="right", no_wrap=True)
        for record, figure in self._ended[-SHOWN_ENDED:]:
            shown = "" if figure is None else f"{figure:.4f}"
            table.add_row(record.label, record.state, "", shown, f"{record.seconds:.0f}")
        for identity, begun in self._begun.items():
            trial = self._trials[identity]
            done, figure = self._read_progress(identity)
            table.add_row(
                trial.label,
                ProgressBar(trial.epochs, done, width=BAR_WIDTH),
                f"{done}/{trial.epochs}",
                figure,
                f"{time.monotonic() - begun:.0f}",
            )
        return table

    def _read_progress(self, identity: str) -> tuple[int, str]:
        run = self._ledger.run_of(identity)
        if run is None or not (run.path / "history.csv").exists():
            return 0, ""
        history, _ = read_whole_rows(run.path / "history.csv")
        figure = getattr(history[-1], self._objective, None) if history else None
        return len(history), "" if figure is None else f"{figure:.4f}"

    def _summarize(self) -> str:
        states = Counter(record.state for record, _ in self._ended)
        words = [f"{len(self._ended)} of {self._total} trials"]
        words += [f"{count} {state}" for state, count in states.items()]
        left = self._total - len(self._ended)
        if self._taken and left:
            mean = sum(self._taken) / len(self._taken)
            words.append(f"about {describe_seconds(mean * left / self._slots)} left")
        return ", ".join(words)


def describe_seconds(seconds: float) -> str:
    """Returns a time for a person: `40 s`, `12 min`, `2.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
