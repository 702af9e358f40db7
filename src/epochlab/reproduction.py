"""Two runs of one config, compared bit for bit."""

from collections.abc import Mapping
from dataclasses import fields

from epochlab.history import Epoch, History, read_history
from epochlab.runs import Run
from epochlab.session_records import find_changes, list_accepted, read_sessions

# Of an epoch, what is not compared: time, and the rate, which follows from the settings; older
# versions recorded that of the next step.
UNCOMPARED = ("seconds", "learning_rate")


def explain_difference(first: Run, again: Run) -> str | None:
    """Returns in what `again` differs from `first` and what may be the reason, or None.

    Args:
        first: A finished run.
        again: A finished run of the same config.

    Raises:
        RunError: If a record of either is missing or damaged.
    """
    difference = _find_difference(first, again)
    if difference is None:
        return None
    lines = [f"not reproduced: {difference}", *_reasons(first, again)]
    return "\n  ".join(lines)


def _find_difference(first: Run, again: Run) -> str | None:
    """Returns the first thing that differs: an epoch's figure, the weights, the test scores."""
    metrics = [run.read_json("metrics.json") for run in (first, again)]
    found = _first_differing_epoch(
        *(read_history(run.path / "history.csv") for run in (first, again))
    )
    if found is not None:
        return found
    for key in ("weights_sha256", "test"):
        was, now = (values.get(key) for values in metrics)
        if was != now:
            return f"every epoch is equal, but {key} was {was}, now {now}"
    return None


def _first_differing_epoch(first: History, again: History) -> str | None:
    names = [field.name for field in fields(Epoch) if field.name not in UNCOMPARED]
    for was, now in zip(first, again, strict=False):
        for name in names:
            values = getattr(was, name), getattr(now, name)
            if values[0] != values[1]:
                return f"in epoch {was.epoch}, {name} was {values[0]!r}, now {values[1]!r}"
    if len(first) != len(again):
        return f"there were {len(first)} epochs, now {len(again)}"
    return None


def _reasons(first: Run, again: Run) -> list[str]:
    changes = find_changes(read_sessions(first)[-1], read_sessions(again)[-1])
    accepted = list_accepted(first)
    lines = [f"changed: {change}" for change in changes]
    lines += [f"changed in the course of {first.path.name}: {change}" for change in accepted]
    if not lines:
        lines.append("nothing that is recorded has changed: neither settings, data nor software")
    training = read_sessions(first)[-1]["config"].get("training")
    if isinstance(training, Mapping) and training.get("deterministic") is False:
        lines.append("training.deterministic is false: the same bits are not to be expected")
    return lines
