"""Trials on this machine, some at a time."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from epochlab.environment import count_cpus
from epochlab.fleet.processes import Outcome, TrialProcess
from epochlab.fleet.trials import Trial

POLL_SECONDS = 0.1
# A script saves after its step; on a slow machine with large images that takes a while.
STOP_SECONDS = 60.0


class Engine(Protocol):
    """What carries trials out.

    Attributes:
        slots: How many it takes at a time.
    """

    slots: int

    def start(self, trial: Trial, folder: Path) -> None:
        """Begins a trial, or goes on with it, in its folder."""
        ...

    def wait(self, seconds: float) -> Sequence[Outcome]:
        """Returns what has ended, as soon as anything has, or after `seconds`."""
        ...

    def stop(self) -> Sequence[Outcome]:
        """Has all trials save and end, and returns how they ended. A second call is impatient."""
        ...

    def close(self) -> None:
        """Ends all that is still at work, at once."""
        ...


class LocalEngine:
    """Trials as processes of this machine.

    Args:
        script: The experiment's script.
        cpus_per_trial: CPUs that each trial takes.
        parallel: Trials at a time, or None for as many as there are CPUs for.
    """

    def __init__(self, script: Path, cpus_per_trial: int, parallel: int | None) -> None:
        self.slots = parallel or max(1, count_cpus() // cpus_per_trial)
        self._script = script
        self._processes: dict[str, TrialProcess] = {}
        self._waiting: dict[str, Path] = {}

    def start(self, trial: Trial, folder: Path) -> None:
        """Begins a trial, or goes on with it, in its folder."""
        self._waiting[trial.identity] = folder
        self._begin()

    def wait(self, seconds: float) -> Sequence[Outcome]:
        """Returns what has ended, as soon as anything has, or after `seconds`."""
        ends = time.monotonic() + seconds
        while True:
            self._begin()
            found = [process.poll() for process in self._processes.values()]
            outcomes = [outcome for outcome in found if outcome is not None]
            if outcomes or time.monotonic() >= ends:
                for outcome in outcomes:
                    del self._processes[outcome.identity]
                return outcomes
            time.sleep(POLL_SECONDS)

    def stop(self) -> Sequence[Outcome]:
        """Has all trials save and end, and returns how they ended."""
        self._waiting.clear()
        for process in self._processes.values():
            process.stop()
        ends, outcomes = time.monotonic() + STOP_SECONDS, []
        while self._processes and time.monotonic() < ends:
            outcomes += self.wait(POLL_SECONDS)
        return outcomes

    def close(self) -> None:
        """Ends all that is still at work, at once."""
        for process in self._processes.values():
            process.kill()
        self._processes.clear()

    def _begin(self) -> None:
        """Starts what waits, unless an earlier process of that trial has not ended yet."""
        for identity, folder in list(self._waiting.items()):
            try:
                self._processes[identity] = TrialProcess(identity, self._script, folder)
            except BlockingIOError:
                continue
            del self._waiting[identity]
