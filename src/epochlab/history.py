"""What happened epoch by epoch, and what follows from it alone.

Early stopping and the best epoch are functions of the history. They keep no state of their own, so
a resumed run decides as an uninterrupted one would.
"""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

from epochlab.errors import RunError

# How far above its best the validation loss of an overfitting network lies at least, as a share.
LEAST_RISE = 0.01


@dataclass(frozen=True)
class Epoch:
    """One row of `history.csv`.

    Attributes:
        epoch: Number of the epoch, from 1.
        loss: Mean training loss over the epoch, while the weights change.
        accuracy: Training accuracy, 0..1, likewise.
        val_loss: Loss on the validation images after the epoch, or None without validation.
        val_accuracy: Accuracy on the validation images, 0..1, or None.
        learning_rate: Rate of the epoch's last step.
        seconds: Wall-clock time of the epoch, validation included.
    """

    epoch: int
    loss: float
    accuracy: float
    val_loss: float | None
    val_accuracy: float | None
    learning_rate: float
    seconds: float


COLUMNS = tuple(field.name for field in fields(Epoch))

History = Sequence[Epoch]


def format_place(epochs: int, step: int) -> str:
    """Returns where a training stands after whole epochs and steps of the next, for a person."""
    if step:
        return f"epoch {epochs + 1}, step {step}"
    return f"the end of epoch {epochs}" if epochs else "the beginning"


def format_history(history: History) -> str:
    """Returns the text of `history.csv`: a header, then a row per epoch, numbers at full length."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in history:
        values = [getattr(row, column) for column in COLUMNS]
        writer.writerow(["" if value is None else repr(value) for value in values])
    return written.getvalue()


def read_history(path: Path) -> list[Epoch]:
    """Reads what `format_history` has written to a file.

    Raises:
        RunError: If the file is missing, damaged or another table.
    """
    history, problem = read_whole_rows(path)
    if problem is not None:
        raise RunError(problem)
    return history


def read_whole_rows(path: Path) -> tuple[list[Epoch], str | None]:
    """Reads a history as far as it is whole.

    Returns:
        The epochs before the first damaged row, and what is wrong there, or None.
    """
    history: list[Epoch] = []
    try:
        with path.open(encoding="utf-8", newline="") as opened:
            lines = opened.read().splitlines(keepends=True)
        # Of a number that was cut short, nothing else tells.
        whole = [line for line in lines if line.endswith("\n")]
        rows = csv.reader(whole)
        header = tuple(next(rows, ()))
        if header != COLUMNS:
            raise ValueError(f"its columns are {', '.join(header)}, not {', '.join(COLUMNS)}")
        for row in rows:
            history.append(_parse_row(len(history) + 1, *row))
        if len(whole) < len(lines):
            raise ValueError("its last row has no end")
    except (OSError, ValueError, TypeError, csv.Error) as error:
        problem = f"{path}: cannot be read beyond epoch {len(history)} ({error}); it is damaged"
        return history, problem
    return history, None


def _parse_row(expected: int, epoch: str, *texts: str) -> Epoch:
    if epoch != str(expected):
        raise ValueError(f"epoch {epoch} stands where {expected} belongs")
    values: list[Any] = [float(text) if text else None for text in texts]
    row = Epoch(expected, *values)
    if None in (row.loss, row.accuracy, row.learning_rate, row.seconds):
        raise ValueError(f"epoch {epoch} lacks figures")
    return row


def find_best_epoch(history: History) -> int | None:
    """Returns the number of the epoch with the lowest validation loss, the first of equals.

    None without validation, or if no validation loss is finite.
    """
    losses = [
        (row.val_loss, row.epoch)
        for row in history
        if row.val_loss is not None and math.isfinite(row.val_loss)
    ]
    return min(losses)[1] if losses else None


def find_overfitting(history: History) -> int | None:
    """Returns the epoch from which the network only learns its training images by heart.

    That is the first epoch after the best one from which on, to the end and for at least three
    epochs, the validation loss stays above the best by more than it usually changes from one
    epoch to the next (the median) and by more than a hundredth, while the training loss ends below
    what it was in the best epoch. None if there is no such epoch.
    """
    best = find_best_epoch(history)
    if best is None or not history[-1].loss < history[best - 1].loss:
        return None
    losses = [row.val_loss if row.val_loss is not None else math.inf for row in history]
    changes = sorted(abs(after - before) for before, after in pairwise(losses))
    if not changes:
        return None
    lowest = losses[best - 1]
    limit = lowest + max(changes[len(changes) // 2], LEAST_RISE * lowest)
    start = len(history)
    while start > best and losses[start - 1] > limit:
        start -= 1
    return start + 1 if len(history) - start >= 3 else None


def should_stop(history: History, patience: int, min_delta: float) -> bool:
    """Tells whether `patience` epochs have passed without an improvement of the validation loss.

    Args:
        history: The epochs so far.
        patience: Epochs to wait, at least 1.
        min_delta: How much lower than the best so far a validation loss must be to count.
    """
    best, waited = math.inf, 0
    for row in history:
        if row.val_loss is not None and row.val_loss < best - min_delta:
            best, waited = row.val_loss, 0
        else:
            waited += 1
    return waited >= patience
