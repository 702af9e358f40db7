"""TensorBoard and MLflow, read back with their own readers."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import SCRIPTS

from epochlab.errors import EnvironmentFault
from epochlab.history import Epoch, read_history
from epochlab.runs import Run
from epochlab.trackers import Trackers, check_trackers, flatten
from epochlab.trackers.tensorboard_events import TensorBoardEvents, read_steps

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of MLflow, as it loads

BOTH = ("--set", "training.trackers=[tensorboard, mlflow]")


def settings(data: Path, epochs: int) -> list[str]:
    values = (f"data.path={data}", f"training.epochs={epochs}", "training.batch_size=16")
    return [word for value in values for word in ("--set", value)]


def run_folder(finished: subprocess.CompletedProcess[str], base: Path) -> Path:
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    return base / finished.stdout.splitlines()[-1].removeprefix("run: ")


def read_events(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Steps and values of each figure, as `part/tag`, in the order of the files."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util import tensor_util

    found = {}
    for path in sorted(path for path in folder.iterdir() if path.is_dir()):
        events = EventAccumulator(str(path)).Reload()
        for tag in events.Tags()["tensors"]:
            found[f"{path.name}/{tag}"] = [
                (event.step, tensor_util.make_ndarray(event.tensor_proto).item())
                for event in events.Tensors(tag)
            ]
    return found


def check_events(run: Run) -> None:
    """Makes sure that each epoch stands there once, with the values of `history.csv`."""
    history = read_history(run.path / "history.csv")
    found = read_events(run.path / "tensorboard")
    for name, column in {
        "train/epoch_loss": "loss",
        "train/epoch_accuracy": "accuracy",
        "train/epoch_learning_rate": "learning_rate",
        "validation/epoch_loss": "val_loss",
        "validation/epoch_accuracy": "val_accuracy",
    }.items():
        steps, values = zip(*found.pop(name), strict=True)
        assert steps == tuple(row.epoch for row in history)
        assert values == pytest.approx([getattr(row, column) for row in history])
    test = json.loads((run.path / "metrics.json").read_text())["test"]
    for name in ("loss", "accuracy"):
        last = found.pop(f"test/epoch_{name}")[-1]
        assert last == (len(history), pytest.approx(test[name]))
    assert not found


@pytest.mark.slow
def test_a_loop_of_its_own_is_tracked(run_script, digits, tmp_path):
    tensorboard = ("--set", "training.trackers=[tensorboard]")
    finished = run_script("custom_dense_mnist", *settings(digits, 2), *tensorboard)
    check_events(Run(run_folder(finished, tmp_path)))


@pytest.mark.slow
def test_a_run_and_its_extension_stand_in_both_trackers(run_script, digits, tmp_path):
    from mlflow import MlflowClient
    from mlflow.entities import ViewType

    finished = run_script("mlp_mnist_relu", *settings(digits, 2), *BOTH, "--out", "here")
    run = Run(run_folder(finished, tmp_path))
    check_events(run)
    extended = run_script("mlp_mnist_relu", "--resume", str(run.path), "--set", "training.epochs=3")
    run_folder(extended, tmp_path)
    check_events(run)

    client = MlflowClient(f"sqlite:///{tmp_path / 'here' / 'mlflow.db'}")
    found = client.get_experiment_by_name("mlp_mnist_relu")
    assert found is not None
    (recorded,) = client.search_runs([found.experiment_id], run_view_type=ViewType.ALL)
    assert recorded.info.run_name == run.path.name
    assert recorded.info.status == "FINISHED"
    history = read_history(run.path / "history.csv")
    for column in ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"):
        points = client.get_metric_history(recorded.info.run_id, column)
        assert {point.step: point.value for point in points} == {
            row.epoch: getattr(row, column) for row in history
        }
        assert len(points) == 3
    metrics = json.loads((run.path / "metrics.json").read_text())
    assert recorded.data.metrics["test.accuracy"] == metrics["test"]["accuracy"]
    assert recorded.data.params["training.epochs"] == "2"
    assert recorded.data.tags["changed.training.epochs"] == "3"
    assert recorded.data.params["training.optimizer.name"] == "adam"
    assert recorded.data.tags["weights_sha256"] == metrics["weights_sha256"]
    assert recorded.data.tags["run"] == str(run.path)
    artifact = client.download_artifacts(recorded.info.run_id, "config.yaml", str(tmp_path))
    assert Path(artifact).read_bytes() == run.config_path.read_bytes()


@pytest.mark.slow
def test_a_killed_run_goes_on_in_the_same_records(run_script, digits, tmp_path):
    """Killed between two trackers: MLflow has an epoch that TensorBoard lacks."""
    program = (
        "import os, runpy, sys\n"
        "from epochlab.trackers import mlflow_runs\n"
        "record = mlflow_runs.MlflowRun.record\n"
        "def killed(self, history):\n"
        "    record(self, history)\n"
        "    len(history) == 2 and os.kill(os.getpid(), 9)\n"
        "mlflow_runs.MlflowRun.record = killed\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    script = str(SCRIPTS / "mlp_mnist_relu.py")
    order = ("--set", "training.trackers=[mlflow, tensorboard]")
    killed = subprocess.run(
        [sys.executable, "-c", program, script, *settings(digits, 3), *order],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    (path,) = (tmp_path / "outputs" / "mlp_mnist_relu").iterdir()
    assert {step for *_, step in read_steps(path / "tensorboard")} == {1}
    run_folder(run_script("mlp_mnist_relu", "--resume", str(path)), tmp_path)
    check_events(Run(path))
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path / 'outputs' / 'mlflow.db'}")
    run_id = json.loads((path / "mlflow.json").read_text())["run_id"]
    points = client.get_metric_history(run_id, "loss")
    assert [point.step for point in points] == [1, 2, 3]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A folder with just what the trackers read."""
    folder = tmp_path / "outputs" / "small" / "20261122T055109Z-seed1"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("seed: 1\nphases: [{epochs: 2}]\n")
    environment = {"git": None, "versions": {}, "script": "small.py"}
    (folder / "environment.json").write_text(json.dumps(environment))
    return Run(folder)


def rows(count: int) -> list[Epoch]:
    return [Epoch(number, 1 / number, 0.5, None, None, 0.1, 1.0) for number in range(1, 1 + count)]


def test_event_file_that_is_cut_off_is_completed_by_the_next_process(run: Run):
    events = TensorBoardEvents(run)
    events.record(rows(3))
    events.close("FAILED")
    (file,) = (run.path / "tensorboard" / "train").iterdir()
    os.truncate(file, file.stat().st_size - 10)
    before = [step for _, tag, step in read_steps(run.path / "tensorboard") if tag == "epoch_loss"]
    again = TensorBoardEvents(run)
    again.record(rows(4))
    again.close("FINISHED")
    found = read_events(run.path / "tensorboard")
    assert [step for step, _ in found["train/epoch_loss"]] == [1, 2, 3, 4]
    assert [step for step, _ in found["train/epoch_learning_rate"]] == [1, 2, 3, 4]
    assert sorted(before) == [1, 2, 3]


def test_tracker_that_fails_is_said_once_and_the_others_go_on(run: Run, capsys):
    trackers = Trackers(run, ["mlflow", "tensorboard"])
    database = run.path.parent.parent / "mlflow.db"
    database.write_bytes(b"no database" * 1000)
    trackers.record(rows(1))
    trackers.record(rows(2))
    trackers.close("FINISHED")
    said = capsys.readouterr().err
    assert said.count("warning: mlflow: ") == 1
    assert "the training goes on without" in said
    assert {step for *_, step in read_steps(run.path / "tensorboard")} == {1, 2}


@pytest.mark.parametrize("name", ["tensorboard", "mlflow"])
def test_missing_package_is_said_before_training(name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(EnvironmentFault, match=rf"pip install 'epochlab\[{name}\]'"):
        check_trackers([name], tmp_path)


def test_store_that_cannot_be_opened_is_said_before_training(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/file/mlflow.db")
    with pytest.raises(EnvironmentFault, match="mlflow cannot be used"):
        check_trackers(["mlflow"], tmp_path)


def test_without_trackers_their_packages_are_not_loaded(tmp_path):
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from epochlab.runs import Run\n"
        "from epochlab.trackers import Trackers, check_trackers\n"
        "check_trackers([], Path())\n"
        "Trackers(Run(Path()), []).record([])\n"
        "print(sorted({'mlflow', 'tensorboard', 'tensorflow'} & set(sys.modules)))\n"
    )
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert printed.stdout == "[]\n", printed.stderr


def test_settings_are_flattened_down_to_lists_of_values():
    nested = {"a": {"b": 1, "c": None}, "phases": [{"epochs": 2}, {"epochs": 3}], "sizes": [1, 2]}
    assert flatten(nested) == {
        "a.b": 1,
        "a.c": None,
        "phases.0.epochs": 2,
        "phases.1.epochs": 3,
        "sizes": [1, 2],
    }


@pytest.mark.slow
def test_processes_that_make_the_same_new_database_wait_for_each_other(tmp_path):
    """As the runs of a sweep do: MLflow itself fails there."""
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "import mlflow\n"
        "from epochlab.trackers import check_trackers\n"
        "print('ready', flush=True)\n"
        "input()\n"
        "check_trackers(['mlflow'], Path(sys.argv[1]))\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        _, stderr = process.communicate()
        assert process.returncode == 0, stderr
