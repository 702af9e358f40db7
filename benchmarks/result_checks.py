"""Was it seen? What the articles say of their curves, computed from the runs.

Each kind of check is a function of the same name, whose keyword arguments stand in
`docs/results/experiments.yaml`. It returns a sentence with the figures, and whether the runs show
it: True or False for each run, or one for all of them.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from result_entries import Results, list_accuracies

from epochlab.errors import ConfigError
from epochlab.history import Epoch, find_overfitting
from epochlab.recorded_runs import RecordedRun
from epochlab.significance import judge_pairs

# The mean of so many last epochs: single ones go up and down.
LAST = 5

Finding = tuple[str, Sequence[bool]]
Runs = Sequence[RecordedRun]


class NotComputable(Exception):
    """What a check needs is not there, as its message says."""


def describe_check(check: Mapping[str, Any], name: str, results: Results) -> str:
    """Returns what came of a check of the entry `name`, as one sentence with a verdict.

    Raises:
        ConfigError: If there is no check of that kind, or it takes other arguments.
    """
    options = dict(check)
    kind = options.pop("kind", None)
    if kind not in CHECKS:
        raise ConfigError(
            f"experiments.yaml: {name} has a check of the kind {kind}; expected one of "
            f"{', '.join(CHECKS)}"
        )
    try:
        if "than" in options:
            other = options.pop("than")
            options["other"] = other, _require(other, results)
        text, seen = CHECKS[kind](_require(name, results), **options)
    except NotComputable as reason:
        return f"{kind.replace('_', ' ')}: {reason}"
    except TypeError as error:
        raise ConfigError(f"experiments.yaml: check {kind} of {name}: {error}") from error
    return f"{text}: {_verdict(seen)}"


def overfitting(runs: Runs) -> Finding:
    """The validation loss rises from its minimum for good, while the training loss falls."""
    found = [find_overfitting(_watched(run)) for run in runs]
    return f"overfitting, {_loss_from_its_minimum(runs)}", [epoch is not None for epoch in found]


def no_overfitting(runs: Runs) -> Finding:
    """The contrary of `overfitting`."""
    text, seen = overfitting(runs)
    return f"no {text}", [not value for value in seen]


def best_epoch(runs: Runs, *, by: int) -> Finding:
    """The validation loss is lowest in epoch `by` or before."""
    epochs = [_lowest(run).epoch for run in runs]
    listed = ", ".join(map(str, epochs))
    text = f"the validation loss lowest by epoch {by} (it was in epoch {listed})"
    return text, [epoch <= by for epoch in epochs]


def gap(runs: Runs, *, least: float | None = None, most: float | None = None) -> Finding:
    """Training accuracy is above validation accuracy by `least` or more, by `most` or less."""
    gaps = [_gap(run) for run in runs]
    bound = f"at least {_points(least)}" if least is not None else f"at most {_points(most or 0)}"
    text = (
        f"training accuracy above validation accuracy by {bound} "
        f"(it was {', '.join(map(_points, gaps))}, mean of the last {LAST} epochs)"
    )
    return text, [
        (least is None or value >= least) and (most is None or value <= most) for value in gaps
    ]


def smaller_gap(runs: Runs, *, other: tuple[str, Runs]) -> Finding:
    """Training accuracy is less far above validation accuracy than in another entry."""
    ours = statistics.fmean(map(_gap, runs))
    theirs = statistics.fmean(map(_gap, other[1]))
    text = (
        f"training accuracy less far above validation accuracy than in `{other[0]}` "
        f"({_points(ours)} and {_points(theirs)} in the mean)"
    )
    return text, [ours < theirs]


def accuracy(runs: Runs, *, side: str, other: tuple[str, Runs]) -> Finding:
    """The mean test accuracy is `above` or `below` that of another entry."""
    ours, theirs = list_accuracies(runs), list_accuracies(other[1])
    (verdict,) = judge_pairs([ours, theirs])
    means = f"{statistics.fmean(ours):.2%} and {statistics.fmean(theirs):.2%}".replace("%", " %")
    if verdict.p_value is None:
        sure = "too few runs for a test"
    else:
        sure = f"p = {verdict.p_value:.2g} by Welch's t-test"
    text = f"test accuracy {side} that of `{other[0]}` ({means} in the mean; {sure})"
    return text, [(verdict.difference > 0) == (side == "above")]


def level(runs: Runs, *, epoch: int, within: float) -> Finding:
    """From `epoch` on validation accuracy never rises by more than `within` in all."""
    rises = [
        max(row.val_accuracy or 0.0 for row in history[epoch - 1 :])
        - (history[epoch - 1].val_accuracy or 0.0)
        for history in map(_watched, runs)
        if len(history) >= epoch
    ]
    if len(rises) < len(runs):
        raise NotComputable(f"a run has fewer than {epoch} epochs")
    text = (
        f"validation accuracy rises by at most {_points(within)} after epoch {epoch} "
        f"(it rose by {', '.join(map(_points, rises))})"
    )
    return text, [rise <= within for rise in rises]


def loss_falls(runs: Runs, *, epoch: int, to: float) -> Finding:
    """The training loss of `epoch` is at most `to` times that of the first."""
    shares = [
        run.history[epoch - 1].loss / run.history[0].loss
        for run in runs
        if len(run.history) >= epoch
    ]
    if len(shares) < len(runs):
        raise NotComputable(f"a run has fewer than {epoch} epochs")
    listed = ", ".join(f"{share:.2f}" for share in shares)
    text = f"the training loss of epoch {epoch} at most {to:g} times the first (it was {listed})"
    return text, [share <= to for share in shares]


CHECKS: dict[str, Callable[..., Finding]] = {
    check.__name__: check
    for check in (
        overfitting,
        no_overfitting,
        best_epoch,
        gap,
        smaller_gap,
        accuracy,
        level,
        loss_falls,
    )
}


def _require(name: str, results: Results) -> Runs:
    if not results.runs[name]:
        raise NotComputable(f"`{name}` was not run yet")
    return results.runs[name]


def _verdict(seen: Sequence[bool]) -> str:
    if len(seen) > 1 and 0 < sum(seen) < len(seen):
        return f"**seen in {sum(seen)} of {len(seen)} runs**"
    return "**seen**" if all(seen) else "**not seen**"


def _watched(run: RecordedRun) -> Sequence[Epoch]:
    """Returns the epochs of a run that had validation images."""
    if run.best_epoch is None:
        raise NotComputable("cannot be computed without validation images")
    return run.history


def _lowest(run: RecordedRun) -> Epoch:
    return _watched(run)[(run.best_epoch or 1) - 1]


def _gap(run: RecordedRun) -> float:
    rows = _watched(run)[-LAST:]
    return statistics.fmean(row.accuracy - (row.val_accuracy or 0.0) for row in rows)


def _loss_from_its_minimum(runs: Runs) -> str:
    """Returns how both losses went from the epoch with the lowest validation loss to the end."""
    parts = []
    for run in runs:
        low, last = _lowest(run), run.history[-1]
        parts.append(
            f"{low.val_loss:.3f} in epoch {low.epoch}, {last.val_loss:.3f} in epoch {last.epoch}, "
            f"training loss {low.loss:.3f} and {last.loss:.3f}"
        )
    return f"validation loss (seed by seed) {'; '.join(parts)}"


def _points(value: float) -> str:
    return f"{100 * value:.1f} points"
