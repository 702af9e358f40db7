"""What happens at the end of each epoch: record, save, report, perhaps stop.

This module loads Keras at once, so `training` imports it only when training starts.
"""

import math
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from epochlab.checkpoint import keep_best, save_checkpoint
from epochlab.errors import DivergedError
from epochlab.history import Epoch, find_best_epoch, should_stop
from epochlab.runs import Run
from epochlab.training_config import TrainingConfig


class EpochRecorder(keras.callbacks.Callback):
    """Writes `history.csv` and a checkpoint at each epoch's end, and stops when it is time.

    Args:
        run: The run that is recorded.
        config: The `training` section, or what it is for the phase.
        history: The epochs done before; the new ones are appended to this list.
        phase_starts: The first epoch of each phase so far, from 1; the last one is recorded.

    Attributes:
        on_terminal: Whether standard output is a terminal, on which Keras draws its progress bar.
            Elsewhere this callback prints one plain line per epoch.
    """

    def __init__(
        self,
        run: Run,
        config: TrainingConfig,
        history: list[Epoch],
        phase_starts: Sequence[int] = (1,),
    ) -> None:
        super().__init__()
        self.phase_starts = phase_starts
        self.run = run
        self.training_config = config
        self.history = history
        self.on_terminal = sys.stdout.isatty()
        self.started = 0.0

    @property
    def phase_history(self) -> Sequence[Epoch]:
        """The epochs of this phase."""
        return self.history[self.phase_starts[-1] - 1 :]

    @property
    def last_epoch(self) -> int:
        """The number of the phase's last epoch, if nothing stops it before."""
        return self.phase_starts[-1] - 1 + self.training_config.epochs

    @property
    def is_complete(self) -> bool:
        """Whether all epochs are done or the patience of early stopping is at an end."""
        stopping = self.training_config.early_stopping
        return len(self.history) >= self.last_epoch or (
            stopping is not None
            and should_stop(self.phase_history, stopping.patience, stopping.min_delta)
        )

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Starts the clock."""
        self.started = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Stops the run at the first loss that is not finite."""
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            raise DivergedError(
                f"{self.run.path}: the loss is {loss} in epoch {len(self.history) + 1}, by step "
                f"{batch + 1}, at learning rate {self._learning_rate():.3g}; "
                f"{len(self.history)} whole epochs are kept; "
                "give a lower training.optimizer.learning_rate, or another model.scaling"
            )

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Records and saves the epoch; asks the model to stop if patience is at an end."""
        logs = logs or {}
        row = Epoch(
            epoch=epoch + 1,
            loss=float(logs["loss"]),
            accuracy=float(logs["accuracy"]),
            val_loss=_optional(logs, "val_loss"),
            val_accuracy=_optional(logs, "val_accuracy"),
            learning_rate=self._learning_rate(),
            seconds=round(time.perf_counter() - self.started, 3),
        )
        self.history.append(row)
        path = save_checkpoint(self.run.checkpoints, self.model, self.history, self.phase_starts)
        if self.training_config.keep == "best" and find_best_epoch(self.phase_history) == row.epoch:
            keep_best(path)
        self.run.write_history(self.history)
        if not self.on_terminal:
            print(_plain_line(row, self.last_epoch), flush=True)
        if self.is_complete:
            self.model.stop_training = True

    def _learning_rate(self) -> float:
        return float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))


def _optional(logs: Mapping[str, Any], name: str) -> float | None:
    return float(logs[name]) if name in logs else None


def _plain_line(row: Epoch, epochs: int) -> str:
    figures = [f"loss {row.loss:.4f}", f"accuracy {row.accuracy:.4f}"]
    if row.val_loss is not None:
        figures += [f"val_loss {row.val_loss:.4f}", f"val_accuracy {row.val_accuracy:.4f}"]
    width = len(str(epochs))
    return f"epoch {row.epoch:{width}}/{epochs}  {'  '.join(figures)}  {row.seconds:.1f} s"
