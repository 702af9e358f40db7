"""What happens at the end of each epoch: record, save, report, perhaps stop.

This module loads Keras at once, so `training` imports it only when training starts.
"""

import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from epochlab.checkpoint import (
    KEPT,
    Checkpoint,
    adopt_best,
    drop_best,
    drop_old_checkpoints,
    keep_best,
    save_checkpoint,
)
from epochlab.checkpoint_file import Progress
from epochlab.devices import count_parts, parts
from epochlab.errors import DIVERGED_REMEDY, DivergedError
from epochlab.history import Epoch, find_best_epoch, should_stop
from epochlab.runs import Run
from epochlab.stop_request import StopRequest
from epochlab.trackers import Trackers
from epochlab.training_config import TrainingConfig
from epochlab.training_state import first_not_finite, read_state


class Stopped(KeyboardInterrupt):
    """Training was asked to stop, and has: everything so far is saved."""


class EpochRecorder(keras.callbacks.Callback):
    """Writes `history.csv` and a checkpoint at each epoch's end, and stops when it is time.

    Within an epoch it saves, too, if the epoch is long or the process is asked to stop.

    Args:
        run: The run that is recorded.
        config: The `training` section, or what it is for the phase.
        progress: How far the run has come; it is kept up to date.
        steps: Steps of an epoch.
        request: Whether the process has been asked to stop.
        trackers: Where each epoch is recorded, too.
        metrics: What gives an epoch's means, or None for the model's own metrics.

    Attributes:
        on_terminal: Whether standard output is a terminal, on which Keras draws its progress bar.
            Elsewhere this callback prints one plain line per epoch.
        save_seconds: A longer epoch is saved each time this many seconds have passed.
    """

    save_seconds = 600.0

    def __init__(
        self,
        run: Run,
        config: TrainingConfig,
        progress: Progress,
        steps: int,
        request: StopRequest,
        trackers: Trackers,
        metrics: Sequence[keras.Metric] | None = None,
    ) -> None:
        super().__init__()
        self.run = run
        self.training_config = config
        self.progress = progress
        self.steps = steps
        self.request = request
        self.trackers = trackers
        self.own_metrics = metrics
        self.on_terminal = sys.stdout.isatty()
        self.first_step = 0
        self.started = self.saved = 0.0

    @property
    def history(self) -> list[Epoch]:
        """All epochs so far."""
        return self.progress.history

    @property
    def phase_history(self) -> Sequence[Epoch]:
        """The epochs of this phase."""
        return self.history[self.progress.phase_starts[-1] - 1 :]

    @property
    def last_epoch(self) -> int:
        """The number of the phase's last epoch, if nothing stops it before."""
        return self.progress.phase_starts[-1] - 1 + self.training_config.epochs

    @property
    def is_complete(self) -> bool:
        """Whether all epochs are done or the patience of early stopping is at an end."""
        stopping = self.training_config.early_stopping
        return len(self.history) >= self.last_epoch or (
            stopping is not None
            and should_stop(self.phase_history, stopping.patience, stopping.min_delta)
        )

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Starts the clock; within an epoch it and the metrics go on from where they stood."""
        self.first_step = self.progress.step
        self.saved = time.perf_counter()
        self.started = self.saved - self.progress.seconds
        if self.first_step:
            if self.own_metrics is None and count_parts() == 1:  # else they are built
                _build_metrics(self.model)
            values = zip(self._metric_variables(), self.progress.metrics, strict=True)
            for variable, value in values:
                variable.assign(value)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Stops the run at the first loss that is not finite; saves when it is time."""
        loss = float((logs or {}).get("loss", 0.0))
        step = self.first_step + batch + 1
        if not math.isfinite(loss):
            bad = first_not_finite(self.model, read_state(self.model))
            raise DivergedError(
                f"{self.run.path}: the loss is {loss} in epoch {len(self.history) + 1}, by step "
                f"{step}, at learning rate {self._learning_rate():.3g}"
                f"{f', first of the weights {bad}' if bad else ''}; "
                f"{len(self.history)} whole epochs are kept; {DIVERGED_REMEDY}"
            )
        now = time.perf_counter()
        due = self.request.signal_name is not None or now - self.saved > self.save_seconds
        # The last step is saved with its epoch, after validation.
        if due and step < self.steps:
            self.progress.step = step
            self.progress.seconds = now - self.started
            self.progress.metrics = [
                keras.ops.convert_to_numpy(variable) for variable in self._metric_variables()
            ]
            save_checkpoint(self.run.checkpoints, self.model, self.progress)
            self.saved = now
            self._stop_if_asked()

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
        self.progress.step, self.progress.seconds, self.progress.metrics = 0, 0.0, []
        path = save_checkpoint(self.run.checkpoints, self.model, self.progress)
        self._keep_if_best(path)
        self.run.write_history(self.history)
        self.trackers.record(self.history)
        if not self.on_terminal:
            print(_plain_line(row, self.last_epoch), flush=True)
        if self.is_complete:
            self.model.stop_training = True
        else:
            self._stop_if_asked()

    def catch_up(self, checkpoint: Checkpoint) -> None:
        """Writes what follows from a checkpoint and may not have been written when it was made."""
        if checkpoint.path is None:
            return
        drop_old_checkpoints(self.run.checkpoints)
        if self.training_config.keep == "best":
            phase, best = len(self.progress.phase_starts), find_best_epoch(self.phase_history)
            adopt_best(self.run.checkpoints, phase, best)
        if self.progress.step == 0 and self.phase_history:
            self._keep_if_best(checkpoint.path)
        self.run.write_history(self.history)
        self.trackers.record(self.history)

    def _keep_if_best(self, path: Path) -> None:
        """Keeps the checkpoint of the last epoch as the best one if it is that."""
        if self.training_config.keep != "best":
            return
        phase = len(self.progress.phase_starts)
        if find_best_epoch(self.phase_history) == len(self.history):
            keep_best(path, phase)
        if len(self.phase_history) >= KEPT:  # so no checkpoint is of the phase before
            drop_best(path.parent, phase - 1)

    def _metric_variables(self) -> list[Any]:
        metrics = self.model.metrics if self.own_metrics is None else self.own_metrics
        variables = (variable for metric in metrics for variable in metric.variables)
        return [part for variable in variables for part in parts(variable)]

    def _stop_if_asked(self) -> None:
        if self.request.signal_name is not None:
            raise Stopped(f"{self.request.signal_name} at {self.progress.place}")

    def _learning_rate(self) -> float:
        """Returns the rate of the step that was done last."""
        optimizer = self.model.optimizer
        schedule = optimizer._learning_rate  # the property gives the next step's
        if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
            return float(keras.ops.convert_to_numpy(schedule(optimizer.iterations - 1)))
        return float(keras.ops.convert_to_numpy(optimizer.learning_rate))


def _build_metrics(model: keras.Model) -> None:
    """Gives the compiled metrics their variables, which Keras makes only in the first step."""
    outputs = np.full((1, model.output_shape[-1]), 0.5, np.float32)
    model.compute_metrics(None, np.zeros(1, np.int32), outputs)
    model.reset_metrics()


def _optional(logs: Mapping[str, Any], name: str) -> float | None:
    return float(logs[name]) if name in logs else None


def _plain_line(row: Epoch, epochs: int) -> str:
    figures = [f"loss {row.loss:.4f}", f"accuracy {row.accuracy:.4f}"]
    if row.val_loss is not None:
        figures += [f"val_loss {row.val_loss:.4f}", f"val_accuracy {row.val_accuracy:.4f}"]
    width = len(str(epochs))
    return f"epoch {row.epoch:{width}}/{epochs}  {'  '.join(figures)}  {row.seconds:.1f} s"
