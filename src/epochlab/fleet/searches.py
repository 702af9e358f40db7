"""Which trial comes next."""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol

from epochlab.fleet.ledger import TrialRecord
from epochlab.fleet.trials import Trial


class Search(Protocol):
    """Gives one trial after the other.

    Attributes:
        total: How many there will be.
        is_guided: Whether it goes by the results, so that a trial without one is wasted.
    """

    total: int
    is_guided: bool

    def next(self) -> Trial | None:
        """Returns the next trial, or None where there is none, or none before another has ended."""
        ...

    def tell(self, trial: Trial, record: TrialRecord, objective: float | None) -> None:
        """Takes note of a trial's end."""
        ...

    def left(self) -> Sequence[Trial]:
        """Returns the trials that are known and were not given yet."""
        ...


class PlannedTrials:
    """Trials that are all known beforehand, in their order.

    Args:
        trials: The trials.
    """

    is_guided = False

    def __init__(self, trials: Iterable[Trial]) -> None:
        self._left = deque(trials)
        self.total = len(self._left)

    def next(self) -> Trial | None:
        """Returns the next trial, or None after the last one."""
        return self._left.popleft() if self._left else None

    def tell(self, trial: Trial, record: TrialRecord, objective: float | None) -> None:
        """Does nothing: what comes is settled."""

    def left(self) -> Sequence[Trial]:
        """Returns the trials that were not given yet."""
        return list(self._left)
