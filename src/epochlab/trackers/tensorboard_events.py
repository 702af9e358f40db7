"""TensorBoard: event files in `RUN/tensorboard`, for `tensorboard --logdir outputs`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epochlab.config.yaml_reader import read_yaml
from epochlab.config.yaml_writer import format_value
from epochlab.history import History
from epochlab.lazy_import import lazy_import
from epochlab.runs import Run
from epochlab.trackers import flatten

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_import("tensorflow")

FOLDER = "tensorboard"
# Which figures go where, under which name: those of Keras's own callback, so that TensorBoard draws
# training and validation into one chart.
SERIES = {
    "loss": ("train", "epoch_loss"),
    "accuracy": ("train", "epoch_accuracy"),
    "learning_rate": ("train", "epoch_learning_rate"),
    "val_loss": ("validation", "epoch_loss"),
    "val_accuracy": ("validation", "epoch_accuracy"),
}


class TensorBoardEvents:
    """The event files of one run. A new process adds new files.

    Args:
        run: The run.
    """

    def __init__(self, run: Run) -> None:
        self.folder = run.path / FOLDER
        self.written = read_steps(self.folder)
        self.writers: dict[str, tf.summary.SummaryWriter] = {}
        if not self.folder.exists():
            self._write_settings(run)

    def record(self, history: History) -> None:
        """Adds the epochs that are not there yet, each as a step, from 1."""
        for row in history:
            for column, (part, tag) in SERIES.items():
                self._add(part, tag, getattr(row, column), row.epoch)
        self._flush()

    def finish(self, metrics: Mapping[str, Any]) -> None:
        """Adds the test's loss and accuracy at the last epoch."""
        for name, value in metrics["test"].items():
            self._add("test", f"epoch_{name}", value, metrics["epochs"])
        self._flush()

    def close(self, status: str) -> None:
        """Closes the files."""
        for writer in self.writers.values():
            writer.close()

    def _write_settings(self, run: Run) -> None:
        """Writes the settings for the tab HPARAMS."""
        from tensorboard.plugins.hparams import api

        settings = {
            key: value if isinstance(value, bool | int | float | str) else format_value(value)
            for key, value in flatten(read_yaml(run.config_path).values).items()
        }
        with self._writer(".").as_default():
            api.hparams(settings, trial_id=run.path.name)
        self._flush()

    def _add(self, part: str, tag: str, value: float | None, step: int) -> None:
        if value is None or (part, tag, step) in self.written:
            return
        with self._writer(part).as_default():
            tf.summary.scalar(tag, value, step)
        self.written.add((part, tag, step))

    def _writer(self, part: str) -> "tf.summary.SummaryWriter":
        if part not in self.writers:
            self.writers[part] = tf.summary.create_file_writer(str(self.folder / part))
        return self.writers[part]

    def _flush(self) -> None:
        for writer in self.writers.values():
            writer.flush()


def read_steps(folder: Path) -> set[tuple[str, str, int]]:
    """Returns part, tag and step of each figure in the event files below `folder`."""
    found = set()
    for path in sorted(path for path in folder.glob("*") if path.is_dir()):
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(path), size_guidance={"tensors": 0}).Reload()
        for tag in events.Tags()["tensors"]:
            found |= {(path.name, tag, event.step) for event in events.Tensors(tag)}
    return found


def check_tracker(out: Path) -> None:
    """Raises `ImportError` without TensorBoard."""
    import tensorboard  # noqa: F401


def open_tracker(run: Run) -> TensorBoardEvents:
    """Opens the event files of `run`."""
    return TensorBoardEvents(run)
