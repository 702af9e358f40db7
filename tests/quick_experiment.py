"""An experiment that keeps the contract of a script without TensorFlow: an epoch is arithmetic.

The tests of many runs copy it to a `scripts` folder of their own as `quick.py`, so that a trial
takes half a second. Its flags, config, run folder, lock, history and resuming are the real ones.
"""

import os
import signal
import time
from typing import Literal

from pydantic import NonNegativeFloat, PositiveInt

from epochlab.config import Section, dump_config
from epochlab.data.mnist import MnistConfig, load_mnist
from epochlab.environment import describe_environment
from epochlab.errors import DataError, DivergedError
from epochlab.experiment import run_experiment
from epochlab.files import format_json
from epochlab.history import Epoch, read_history
from epochlab.resuming import begin_session
from epochlab.run_lock import lock_run
from epochlab.runs import Run, create_run
from epochlab.session import ExperimentConfig, Session, print_place
from epochlab.session_records import SESSIONS, begin_at, describe_session

CONFIG = """\
experiment: quick
seed: 1
data: {path: null, limit: null, validation_fraction: 0.3, augment: null}
model: {slope: 0.1, shape: straight}
training:
  epochs: 3
  seconds: 0.0              # of an epoch
  failure: none             # in the second epoch
  threads: null
"""


class QuickModel(Section):
    slope: NonNegativeFloat
    shape: Literal["straight", "bent"]


class QuickTraining(Section):
    epochs: PositiveInt
    seconds: NonNegativeFloat
    failure: Literal["none", "data", "diverge", "crash", "kill"]
    threads: PositiveInt | None


class QuickExperiment(ExperimentConfig):
    data: MnistConfig
    model: QuickModel
    training: QuickTraining


def train(session: Session[QuickExperiment]) -> None:
    config = session.config
    data = load_mnist(config.data)
    run = session.resumed or _create(session, data)
    try:
        with lock_run(run.path):
            history = []
            if session.resumed is not None:
                begin_session(run, data, config, session.script, allow_changes=False)
                if (run.path / "history.csv").exists():
                    history = read_history(run.path / "history.csv")
                begin_at(run, f"the end of epoch {len(history)}")
            _train_epochs(config, run, history, is_validated=data.validation is not None)
    finally:
        print_place(run)


def _create(session, data) -> Run:
    config = session.config
    environment, described = describe_environment(session.script), data.describe()
    begun = describe_session(config.model_dump(mode="json"), environment, described)
    records = {
        "config.yaml": dump_config(config),
        "environment.json": format_json(environment),
        "data.json": format_json(described),
        SESSIONS: format_json({"sessions": [begun]}),
    }
    return create_run(session.out, config.experiment, config.seed, records)


def _train_epochs(
    config: QuickExperiment, run: Run, history: list[Epoch], *, is_validated: bool
) -> None:
    for epoch in range(len(history) + 1, config.training.epochs + 1):
        time.sleep(config.training.seconds)
        if epoch == 2:
            _fail(config.training.failure, run)
        accuracy = 1 - 1 / (1 + epoch * config.model.slope + config.seed / 1000)
        loss = 1 - accuracy
        validation = (loss, accuracy) if is_validated else (None, None)
        history.append(Epoch(epoch, loss, accuracy, *validation, 0.1, config.training.seconds))
        run.write_history(history)
        print(f"epoch {epoch}/{config.training.epochs}  val_accuracy {accuracy:.4f}", flush=True)
    test = {"accuracy": history[-1].accuracy, "loss": history[-1].loss}
    run.write_json("metrics.json", {"test": test, "epochs": len(history)})


def _fail(failure: str, run: Run) -> None:
    if failure == "data":
        raise DataError(f"{run.path}: an image is damaged; mend it")
    if failure == "diverge":
        raise DivergedError(f"{run.path}: the loss is nan in epoch 2; give a lower learning rate")
    if failure == "crash":
        raise AssertionError("a defect")
    if failure == "kill":
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    run_experiment(train, QuickExperiment)
