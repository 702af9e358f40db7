"""Trials of a sweep that were not started, or did not come to their end."""

from epochlab.errors import ConfigError, DataError, EnvironmentFault, EpochlabError, RunError
from epochlab.fleet.driver import Progress
from epochlab.fleet.ledger import LOG, OUTCOMES, Ledger

SHOWN_FAILURES = 5


def describe_unstarted(ledger: Ledger, progress: Progress) -> str:
    """Returns what the budget has left out: trials that are new, and those to be tried again."""
    begun = sum(record.state != "waiting" for record in ledger.records.values())
    words = [f"not started: {progress.total - begun} trials"]
    states = [ledger.records[trial.identity].state for trial in progress.skipped]
    again = sum(state not in (*OUTCOMES, "waiting") for state in states)
    if again:
        words.append(f"not tried again: {again}")
    return ", ".join([*words, progress.exhausted])


def check_failures(ledger: Ledger, progress: Progress) -> None:
    """Raises the error of the first trial that failed, with what to do about all of them.

    Raises:
        EpochlabError: Then, with the exit code of that trial if it is one of the contract.
    """
    bad = [
        record
        for record in ledger.records.values()
        if record.state in ("failed", "interrupted", "running")
    ]
    if not bad:
        return
    lines = [
        f"{record.label}: {record.reason}; see {ledger.folder_of(record.identity) / LOG}"
        for record in bad[:SHOWN_FAILURES]
    ]
    if len(bad) > SHOWN_FAILURES:
        lines.append(f"and {len(bad) - SHOWN_FAILURES} more, in trials.csv")
    kinds: dict[int, type[EpochlabError]] = {
        kind.exit_code: kind for kind in (ConfigError, DataError, RunError, EnvironmentFault)
    }
    allowed = f" where {progress.exhausted} allows it" if progress.exhausted else ""
    raise kinds.get(bad[0].exit_code or 0, RunError)(
        "\n  ".join(
            [
                f"{len(bad)} of {len(ledger.records)} trials did not come to their end; the same "
                f"command tries them again{allowed}",
                *lines,
            ]
        )
    )
