"""Where a run is recorded beside its folder: TensorBoard, MLflow.

The run folder is what counts. A tracker is brought up to date from it, so that what one has missed
is added later, and no training is lost to one that fails.
"""

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from epochlab.errors import EnvironmentFault
from epochlab.history import History
from epochlab.runs import Run
from epochlab.training_config import TrainingSettings

MODULES = {
    "tensorboard": "epochlab.trackers.tensorboard_events",
    "mlflow": "epochlab.trackers.mlflow_runs",
}


class Tracker(Protocol):
    """One tracker's records of one run, opened to add to them."""

    def record(self, history: History) -> None:
        """Adds the epochs that are not there yet."""
        ...

    def finish(self, metrics: Mapping[str, Any]) -> None:
        """Adds the figures of a finished run, as `metrics.json` has them."""
        ...

    def close(self, status: str) -> None:
        """Lets go. `status` is `RUNNING`, `FINISHED`, `FAILED` or `KILLED`."""
        ...


class Trackers:
    """The trackers of one run. One that fails is said to have, and then left alone.

    Args:
        run: The run that is recorded.
        names: The trackers, as in `training.trackers`.
    """

    def __init__(self, run: Run, names: Sequence[str]) -> None:
        self.run = run
        self.opened: dict[str, Tracker] = {}
        for name in names:
            with self._said(name):
                self.opened[name] = importlib.import_module(MODULES[name]).open_tracker(run)

    def record(self, history: History) -> None:
        """Adds the epochs that a tracker has not got."""
        self._each(lambda tracker: tracker.record(history))

    def finish(self, metrics: Mapping[str, Any]) -> None:
        """Adds the figures of the finished run."""
        self._each(lambda tracker: tracker.finish(metrics))

    def close(self, status: str) -> None:
        """Lets go of all trackers."""
        self._each(lambda tracker: tracker.close(status))

    def _each(self, act: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self.opened.items()):
            with self._said(name):
                act(tracker)

    @contextlib.contextmanager
    def _said(self, name: str) -> Iterator[None]:
        """Says what goes wrong in the block, whatever it is, instead of raising it."""
        try:
            yield
        except Exception as error:  # a library and its server, disk or database: no list is whole
            self.opened.pop(name, None)
            print(
                f"warning: {name}: {_first_line(error)}; the training goes on without; what is "
                f"missing there is added when the run is resumed or ends, and stands in "
                f"{self.run.path} in any case",
                file=sys.stderr,
                flush=True,
            )


@contextlib.contextmanager
def tracking(run: Run, config: TrainingSettings) -> Iterator[Trackers]:
    """Gives the trackers that `training.trackers` asks for, and tells them how the block ends."""
    trackers = Trackers(run, config.trackers)
    status = "FAILED"
    try:
        yield trackers
        status = "RUNNING"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        trackers.close(status)


def track_result(
    run: Run, config: TrainingSettings, history: History, metrics: Mapping[str, Any]
) -> None:
    """Gives the trackers all that a finished run has, what they missed in its course included."""
    trackers = Trackers(run, config.trackers)
    trackers.record(history)
    trackers.finish(metrics)
    trackers.close("FINISHED")


def check_trackers(names: Sequence[str], out: Path) -> None:
    """Makes sure that the trackers are there, before anything is trained.

    Args:
        names: The trackers, as in `training.trackers`.
        out: Folder of all experiments' runs.

    Raises:
        EnvironmentFault: If a package is missing or a tracker's store cannot be opened.
    """
    for name in names:
        try:
            importlib.import_module(MODULES[name]).check_tracker(out)
        except ImportError as error:
            raise EnvironmentFault(
                f"training.trackers: {name} needs the package {error.name}, which is missing; "
                f"pip install 'epochlab[{name}]', or leave {name} out of the list"
            ) from error
        except Exception as error:
            raise EnvironmentFault(
                f"training.trackers: {name} cannot be used: {_first_line(error)}; mend that, or "
                f"leave {name} out of the list"
            ) from error


def flatten(values: Mapping[str, Any], key: str = "") -> dict[str, Any]:
    """Returns nested sections as one mapping with dotted keys; lists of sections count from 0."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        dotted = f"{key}.{name}" if key else str(name)
        if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
            value = dict(enumerate(value))
        if isinstance(value, Mapping):
            flat |= flatten(value, dotted)
        else:
            flat[dotted] = value
    return flat


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
