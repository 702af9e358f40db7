"""Going on with a run: to the same bits, or not at all without a word."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import SCRIPTS, load_experiment, make_digits

from epochlab.callbacks import EpochRecorder, Stopped
from epochlab.checkpoint import list_checkpoints, read_newest
from epochlab.data.images import ImageData, Split, StoredImages
from epochlab.data.mnist import MnistConfig, load_mnist
from epochlab.errors import RunError
from epochlab.hashing import weights_sha256
from epochlab.models.mlp import build_mlp
from epochlab.models.small_xception import build_small_xception
from epochlab.run_lock import LOCK, lock_run
from epochlab.runs import Run, create_run
from epochlab.session_records import describe_session
from epochlab.training import compile_classifier, fit

ENVIRONMENT = {"started": "2026-11-22T20:00:00+00:00", "command": [], "git": None, "versions": {}}


def new_run(folder: Path) -> Run:
    config = {"seed": 1}
    records = {
        "config.yaml": "seed: 1\n",
        "environment.json": json.dumps(ENVIRONMENT),
        "sessions.json": json.dumps({"sessions": [describe_session(config, ENVIRONMENT, {})]}),
    }
    return create_run(folder, "small", 1, records)


def train(data: ImageData, run: Run) -> str:
    """Trains a small network with Dropout for three epochs, as a script does."""
    config = load_experiment("mlp_mnist_relu", "training.epochs=3", "training.batch_size=2")
    model = build_mlp(config.model, data.image_shape, data.num_classes, 1)
    compile_classifier(model, data, config.training)
    fit(model, data, config.training, run, seed=1)
    return weights_sha256(model)


def untimed(run: Path) -> list[str]:
    return [row.rpartition(",")[0] for row in (run / "history.csv").read_text().splitlines()]


def weights(run: Path) -> str:
    return json.loads((run / "metrics.json").read_text())["weights_sha256"]


def sessions(run: Path) -> list[dict]:
    return json.loads((run / "sessions.json").read_text())["sessions"]


@pytest.fixture
def data(digits: Path) -> ImageData:
    return load_mnist(
        MnistConfig(path=str(digits), limit=None, validation_fraction=0.3, augment=None)
    )


def signalling(data: ImageData, read_number: int, number: signal.Signals) -> ImageData:
    """Returns `data` whose training images send `number` to this process when a batch is read."""
    images, reads = data.train.images, 0

    def read(positions: np.ndarray) -> np.ndarray:
        nonlocal reads
        reads += 1
        if reads == read_number:
            os.kill(os.getpid(), number)
        return images[positions]

    stored = StoredImages(read, np.arange(len(images)), data.image_shape, "digits")
    return replace(data, train=Split(stored, data.train.labels, data.train.names))


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def number(request) -> Iterator[signal.Signals]:
    """A signal that stops training, also where these tests run under `nohup`, which ignores one."""
    before = signal.getsignal(request.param)
    if before == signal.SIG_IGN:
        signal.signal(request.param, signal.SIG_DFL)
    yield request.param
    signal.signal(request.param, before)


@pytest.mark.slow
def test_a_signal_within_an_epoch_saves_the_step_and_the_rest_gives_the_same_bits(
    data, tmp_path, capsys, number
):
    straight, cut = new_run(tmp_path / "straight"), new_run(tmp_path / "cut")
    whole = train(data, straight)
    with pytest.raises(Stopped, match=rf"{number.name} at epoch 2, step \d+"):
        train(signalling(data, 90, number), cut)
    assert f"{number.name}: saving after this step" in capsys.readouterr().err
    newest = read_newest(cut.checkpoints).progress
    assert (len(newest.history), newest.step > 0) == (1, True)
    assert (cut.path / "accuracy.png").is_file()
    assert train(data, cut) == whole
    assert untimed(cut.path) == untimed(straight.path)
    assert list_checkpoints(cut.checkpoints)[0].name == "epoch-00003.npz"


@pytest.mark.slow
def test_long_epochs_are_saved_now_and_then_to_the_same_bits(data, tmp_path, monkeypatch):
    straight, cut = new_run(tmp_path / "straight"), new_run(tmp_path / "cut")
    whole = train(data, straight)
    monkeypatch.setattr(EpochRecorder, "save_seconds", 0.0)
    assert train(data, cut) == whole
    names = [path.name for path in list_checkpoints(cut.checkpoints)]
    assert names == ["epoch-00003.npz", "epoch-00002-step-00000035.npz"]
    # As if it had been killed after that step, half an epoch.
    (cut.checkpoints / "epoch-00003.npz").unlink()
    assert train(data, cut) == whole
    assert untimed(cut.path) == untimed(straight.path)


def train_recipe(data: ImageData, run: Run) -> str:
    """Trains a small network with all that a recipe may have for three epochs."""
    small = ("model.filters=[2, 3, 4, 4, 4]", "model.stem_filters=2", "training.batch_size=2")
    config = load_experiment("cats_dogs_recipe", "training.epochs=3", *small)
    model = build_small_xception(config.model, data.image_shape, data.num_classes, 1)
    assert (config.training.schedule, config.training.label_smoothing) == ("cosine", 0.1)
    compile_classifier(model, data, config.training)
    fit(model, data, config.training, run, seed=1, augment=config.data.augment)
    return weights_sha256(model)


@pytest.mark.slow
def test_a_recipe_cut_off_within_an_epoch_ends_with_the_same_bits(data, tmp_path):
    straight, cut = new_run(tmp_path / "straight"), new_run(tmp_path / "cut")
    whole = train_recipe(data, straight)
    with pytest.raises(Stopped, match=r"SIGTERM at epoch 2, step \d+"):
        train_recipe(signalling(data, 90, signal.SIGTERM), cut)
    assert train_recipe(data, cut) == whole
    assert untimed(cut.path) == untimed(straight.path)
    rates = [float(row.rpartition(",")[2]) for row in untimed(cut.path)[1:]]
    steps = len(data.train) // 2
    last_steps = np.array([1, 2, 3]) * steps - 1
    assert rates == pytest.approx(
        0.0005 * (1 + np.cos(np.pi * last_steps / (3 * steps))), rel=1e-4, abs=1e-9
    )


@pytest.mark.slow
def test_a_signal_in_the_last_epoch_stops_before_the_run_is_scored(data, tmp_path):
    run = new_run(tmp_path)
    steps = len(data.train) // 2
    with pytest.raises(Stopped, match="SIGTERM at the end of epoch 3"):
        train(signalling(data, 3 * steps, signal.SIGTERM), run)
    whole = train(data, new_run(tmp_path / "whole"))
    assert train(data, run) == whole


@pytest.fixture
def cut_run(run_script, digits, tmp_path) -> Callable[..., Path]:
    """Makes a run of two epochs that is not marked as finished."""

    def make(*more: str) -> Path:
        arguments = [f"data.path={digits}", "training.epochs=2", *more]
        finished = run_script(
            "mlp_mnist_relu", *(word for setting in arguments for word in ("--set", setting))
        )
        assert finished.returncode == 0, finished.stderr
        run = tmp_path / finished.stdout.splitlines()[-1].removeprefix("run: ")
        (run / "metrics.json").unlink()
        return run

    return make


@pytest.mark.slow
def test_changes_are_listed_and_refused_unless_they_are_accepted(cut_run, run_script):
    run = cut_run()
    record = sessions(run)
    record[0]["environment"]["versions"]["keras"] = "3.0.0"
    record[0]["environment"]["cpu"] = "Abacus"
    (run / "sessions.json").write_text(json.dumps({"sessions": record}))
    change = ("--set", "training.optimizer.learning_rate=1e-4", "--set", "training.threads=7")
    refused = run_script("mlp_mnist_relu", "--resume", str(run), *change)
    assert refused.returncode == 4
    for line in (
        "training.optimizer.learning_rate: was 0.001, now 0.0001",
        "training.threads: was ",
        'versions.keras: was "3.0.0", now "3.',
        'cpu: was "Abacus", now ',
        "--allow-changes",
    ):
        assert line in refused.stderr
    assert len(sessions(run)) == 1
    accepted = run_script("mlp_mnist_relu", "--resume", str(run), *change, "--allow-changes")
    assert accepted.returncode == 0, accepted.stderr
    assert "no longer bit-identical" in accepted.stdout
    changes = sessions(run)[1]["changes"]
    assert changes["training.optimizer.learning_rate"] == [0.001, 0.0001]
    assert "learning_rate: 0.0001" in (run / "config.yaml").read_text()


@pytest.mark.slow
def test_more_epochs_extend_a_finished_run_to_what_the_longer_run_gives(
    run_script, digits, tmp_path, cut_run
):
    whole = cut_run("training.epochs=4")
    short = cut_run()
    run_script("mlp_mnist_relu", "--resume", str(short))
    finished = weights(short)
    extended = run_script("mlp_mnist_relu", "--resume", str(short), "--set", "training.epochs=4")
    assert extended.returncode == 0, extended.stderr
    assert "changed: training.epochs: was 2, now 4" in extended.stdout
    assert "bit-identical" not in extended.stdout
    assert untimed(short) == untimed(whole)
    assert weights(short) != finished
    cosine = run_script(
        "mlp_mnist_relu", "--resume", str(short), "--set", "training.epochs=6",
        "--set", "training.schedule=cosine",
    )  # fmt: skip
    assert cosine.returncode == 4
    assert "training.epochs: was 4, now 6" in cosine.stderr
    fewer = run_script("mlp_mnist_relu", "--resume", str(short), "--set", "training.epochs=3")
    assert fewer.returncode == 4
    assert "training.epochs: was 4, now 3" in fewer.stderr
    assert weights(short)


@pytest.mark.slow
def test_a_refusal_after_the_comparison_leaves_a_finished_run_as_it_was(cut_run, run_script):
    run = cut_run("model.dense_units=[8, null, null]")
    assert run_script("mlp_mnist_relu", "--resume", str(run)).returncode == 0
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    refused = run_script(
        "mlp_mnist_relu", "--resume", str(run), "--set", "model.dense_units=[9, null, null]",
        "--allow-changes",
    )  # fmt: skip
    assert refused.returncode == 4
    assert "does not fit the model" in refused.stderr
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_what_a_killed_process_left_is_named_and_removed(cut_run, run_script):
    run = cut_run()
    record = sessions(run)
    record[0]["ended"] = None
    (run / "sessions.json").write_text(json.dumps({"sessions": record}))
    left = run / "checkpoints" / ".4711.tmp.epoch-00003.npz"
    left.write_bytes(b"half")
    (run / LOCK).write_text('{"pid": 4711, "host": "' + os.uname().nodename + '"')
    (run / "model.png").unlink()
    resumed = run_script("mlp_mnist_relu", "--resume", str(run))
    assert resumed.returncode == 0, resumed.stderr
    assert ".4711.tmp.epoch-00003.npz" in resumed.stdout
    assert "the last process was killed" in resumed.stdout
    assert not left.exists()
    assert not (run / LOCK).exists()
    assert (run / "model.png").exists()
    assert sessions(run)[0]["ended"].startswith("killed")
    assert sessions(run)[1]["ended"] == "finished"


@pytest.mark.slow
def test_signal_while_the_run_is_prepared_or_scored_stops_at_once(tmp_path):
    data = make_digits(tmp_path / "many.npz", train=4_000)
    process = subprocess.Popen(
        [sys.executable, str(SCRIPTS / "mlp_mnist_relu.py"), "--set", f"data.path={data}"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()  # the data is described: TensorFlow is loaded, nothing is trained yet
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert "--resume" in stderr


def test_a_run_is_one_process_at_a_time(tmp_path):
    program = (
        "import sys, pathlib, time\n"
        "from epochlab.run_lock import lock_run\n"
        "with lock_run(pathlib.Path(sys.argv[1])):\n"
        "    print('locked', flush=True)\n"
        "    time.sleep(60)\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        held = rf"process {holder.pid} on .* since 20\d\d-"
        with pytest.raises(RunError, match=held), lock_run(tmp_path):
            pass
    finally:
        holder.kill()
        holder.communicate()
    # The kernel has let go for the one that was killed.
    with lock_run(tmp_path):
        assert str(os.getpid()) in (tmp_path / LOCK).read_text()
    assert not (tmp_path / LOCK).exists()


def test_a_lock_of_another_host_is_not_taken_over(tmp_path):
    (tmp_path / LOCK).write_text('{"pid": 1, "host": "elsewhere", "since": "then"}')
    held = r"process 1 on elsewhere since then.*delete"
    with pytest.raises(RunError, match=held), lock_run(tmp_path):
        pass
    assert "elsewhere" in (tmp_path / LOCK).read_text()
