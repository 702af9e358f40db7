"""MLflow: a run of its own in the database `mlflow.db`, or wherever MLFLOW_TRACKING_URI says."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epochlab.config.yaml_reader import read_yaml
from epochlab.config.yaml_writer import format_value
from epochlab.files import make_folder
from epochlab.history import COLUMNS, History
from epochlab.quiet import held_back_stderr
from epochlab.runs import Run
from epochlab.trackers import flatten

if TYPE_CHECKING:
    from mlflow import MlflowClient

# In the run folder: which of MLflow's runs is this one.
RECORD = "mlflow.json"
# Hidden, or the config.yaml in it would be taken for that of a run.
DATABASE, ARTIFACTS, LOCK = "mlflow.db", ".mlflow_artifacts", ".mlflow.lock"
# Small files alone: the model and the checkpoints stay where they are.
UPLOADED = ("*.yaml", "*.png", "*.txt", "history.csv", "environment.json", "data.json")
LONGEST_VALUE = 500
# Unless the user has set them otherwise.
ENVIRONMENT = {
    # It would tell its makers which of its functions are called.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # A server that does not answer is not to hold up the training for minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


class MlflowRun:
    """One run as MLflow knows it; the run folder remembers which, so that a resume adds to it.

    Args:
        run: The run.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.client = _connect(run.out)
        settings = {
            key: format_value(value)[:LONGEST_VALUE]
            for key, value in flatten(read_yaml(run.config_path).values).items()
        }
        if (run.path / RECORD).is_file():
            self.run_id = run.read_json(RECORD)["run_id"]
            self.client.update_run(self.run_id, status="RUNNING")
        else:
            self.run_id = self._create()
            run.write_json(RECORD, {"run_id": self.run_id})
        known = self.client.get_run(self.run_id).data
        self._log_settings(settings, known.params)
        self.written = {
            (key, metric.step)
            for key in known.metrics
            for metric in self.client.get_metric_history(self.run_id, key)
        }

    def record(self, history: History) -> None:
        """Adds the epochs that are not there yet, each as a step, from 1."""
        figures = {
            (column, row.epoch): getattr(row, column)
            for row in history
            for column in COLUMNS
            if column != "epoch"
        }
        self._log(figures)

    def finish(self, metrics: Mapping[str, Any]) -> None:
        """Adds the figures of the finished run, at its last epoch, and its small files."""
        per_class = {"class_accuracy"}  # classes may have names that MLflow does not take
        figures = flatten({key: value for key, value in metrics.items() if key not in per_class})
        self.client.set_tag(self.run_id, "weights_sha256", figures.pop("weights_sha256"))
        self._log({(key, metrics["epochs"]): value for key, value in figures.items()})
        for pattern in UPLOADED:
            for path in sorted(self.run.path.glob(pattern)):
                self.client.log_artifact(self.run_id, str(path))

    def close(self, status: str) -> None:
        """Tells MLflow how it ended."""
        if status != "RUNNING":
            self.client.set_terminated(self.run_id, status)

    def _create(self) -> str:
        """Makes the run, in the experiment of the same name as ours."""
        from mlflow.exceptions import MlflowException

        name = self.run.experiment
        artifacts = self.run.out.absolute() / ARTIFACTS
        with contextlib.suppress(MlflowException):  # it is there, perhaps since a moment ago
            self.client.create_experiment(
                name, artifact_location=artifacts.as_uri() if _is_local() else None
            )
        experiment = self.client.get_experiment_by_name(name)
        if experiment is None:
            raise LookupError(f"there is no experiment {name}, and none can be made")
        run = self.client.create_run(experiment.experiment_id, run_name=self.run.name)
        return run.info.run_id

    def _log_settings(self, settings: Mapping[str, str], known: Mapping[str, str]) -> None:
        """Writes settings and origin. MLflow's parameters never change: a new value is a tag."""
        from mlflow.entities import Param, RunTag

        provenance = self.run.provenance(None)
        tags = {
            "run": str(self.run.path.absolute()),
            "mlflow.source.name": self.run.environment["script"],
            "mlflow.source.type": "LOCAL",
            "mlflow.source.git.commit": (self.run.environment["git"] or {}).get("commit", "none"),
            **{key: provenance[key] for key in ("config_sha256", "seed", "versions")},
            **{
                f"changed.{key}": value
                for key, value in settings.items()
                if known.get(key, value) != value
            },
        }
        new = {key: value for key, value in settings.items() if key not in known}
        self.client.log_batch(
            self.run_id,
            params=[Param(*pair) for pair in new.items()],
            tags=[RunTag(*pair) for pair in tags.items()],
        )

    def _log(self, figures: Mapping[tuple[str, int], float | None]) -> None:
        """Adds the figures, by name and step, that are not there yet."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        new = {
            place: value
            for place, value in figures.items()
            if value is not None and place not in self.written
        }
        batch = [Metric(key, value, now, step) for (key, step), value in new.items()]
        for first in range(0, len(batch), 1000):  # MLflow takes no more at a time
            self.client.log_batch(self.run_id, metrics=batch[first : first + 1000])
        self.written |= set(new)


def _is_local() -> bool:
    """Whether MLflow's records lie beside the runs, because the user has not said where."""
    return not os.environ.get("MLFLOW_TRACKING_URI")


def _connect(out: Path) -> "MlflowClient":
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with held_back_stderr():  # it tells of each table that it makes in a new database
        from mlflow import MlflowClient

        if not _is_local():
            client = MlflowClient()
            client.search_experiments(max_results=1)
            return client
        make_folder(out)
        with _one_at_a_time(out / LOCK):
            client = MlflowClient(f"sqlite:///{out.absolute() / DATABASE}")
            client.search_experiments(max_results=1)
            return client


@contextlib.contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """Waits for other processes: MLflow fails where two make a new database at the same time."""
    with path.open("a") as opened:
        # The system lets go of it when the process ends, however that is.
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield


def check_tracker(out: Path) -> None:
    """Opens the store.

    Raises:
        ImportError: If a package is missing.
        Exception: Whatever MLflow, its database or its server has to say.
    """
    _connect(out)


def open_tracker(run: Run) -> MlflowRun:
    """Opens MLflow's run for `run`; makes it if need be."""
    return MlflowRun(run)
