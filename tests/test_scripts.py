"""The scripts as a user runs them: every file of a run, every exit code, every message."""

import csv
import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import (
    EXPERIMENTS,
    MNIST_EXPERIMENTS,
    SCRIPTS,
    assert_as_keras_loads_it,
    make_digits,
)
from PIL import Image

from epochlab.data.mnist import MnistConfig, load_mnist
from epochlab.runs import Run, create_run

RUN_FILES = {
    "config.yaml", "environment.json", "data.json", "summary.txt", "model.png", "history.csv",
    "accuracy.png", "loss.png", "checkpoints", "model.h5", "metrics.json", "confusion.png",
    "mistakes.png", "predictions.csv", "sessions.json",
}  # fmt: skip
PICTURES = ("accuracy.png", "loss.png", "confusion.png", "mistakes.png", "model.png")


def small(data: Path, *, epochs: int = 2, batch_size: int = 32) -> list[str]:
    """Overrides that make an experiment short."""
    settings = (
        f"data.path={data}",
        f"training.epochs={epochs}",
        f"training.batch_size={batch_size}",
    )
    return [word for setting in settings for word in ("--set", setting)]


def run_folder(finished: subprocess.CompletedProcess[str], base: Path) -> Path:
    """Returns the folder that the last line on stdout names."""
    assert finished.returncode == 0, finished.stderr
    last = finished.stdout.splitlines()[-1]
    assert last.startswith("run: ")
    return base / last.removeprefix("run: ")


@pytest.fixture
def wide_digits(tmp_path: Path) -> Path:
    """Images that are large enough for every network."""
    return make_digits(tmp_path / "wide.npz", train=300, test=70, side=28)


@pytest.mark.slow
@pytest.mark.parametrize("experiment", MNIST_EXPERIMENTS)
def test_experiment_leaves_a_complete_run(experiment, run_script, wide_digits, tmp_path):
    finished = run_script(experiment, *small(wide_digits), "--out", "here")
    run = run_folder(finished, tmp_path)
    assert finished.stderr == ""
    assert run.parent == tmp_path / "here" / experiment
    pictures = {"augmentation.png"} if experiment == "mnist_recipe" else set()
    assert {path.name for path in run.iterdir()} == RUN_FILES | pictures
    metrics = json.loads((run / "metrics.json").read_text())
    rows = read_table(run / "history.csv")
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert metrics["epochs"] == 2
    assert metrics["peak_memory_bytes"] > 100_000_000
    assert len(metrics["weights_sha256"]) == 64
    for name in PICTURES:
        with Image.open(run / name) as picture:
            assert picture.text["experiment"] == experiment  # pyright: ignore[reportAttributeAccessIssue]
            assert picture.text["run"] == run.name  # pyright: ignore[reportAttributeAccessIssue]
    assert_as_keras_loads_it(Run(run))


@pytest.mark.slow
def test_saved_model_gives_the_recorded_predictions_in_plain_keras(
    run_script, wide_digits, tmp_path
):
    run = run_folder(run_script("lenet_mnist", *small(wide_digits)), tmp_path)
    program = (
        "import sys, json, numpy, keras\n"
        "model = keras.models.load_model(sys.argv[1])\n"
        "images = numpy.load(sys.argv[2])['x_test'][..., None]\n"
        "print(json.dumps(model.predict(images, verbose=0).argmax(1).tolist()))\n"
        "assert 'epochlab' not in sys.modules\n"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program, str(run / "model.h5"), str(wide_digits)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    recorded = [int(row["prediction"]) for row in read_table(run / "predictions.csv")]
    assert json.loads(printed.splitlines()[-1]) == recorded


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as opened:
        return list(csv.DictReader(opened))


def untimed(run: Path) -> list[list[str]]:
    """The history without its last column, the seconds."""
    return [list(row.values())[:-1] for row in read_table(run / "history.csv")]


def fingerprint(run: Path) -> str:
    return json.loads((run / "metrics.json").read_text())["weights_sha256"]


@pytest.mark.slow
@pytest.mark.parametrize("experiment", ["mlp_mnist_relu", "custom_dense_mnist"])
def test_same_seed_repeats_to_the_bit_and_another_does_not(
    experiment, run_script, digits, tmp_path
):
    first, again, other = (
        run_folder(run_script(experiment, *small(digits), "--seed", seed), tmp_path)
        for seed in ("1", "1", "2")
    )
    assert fingerprint(first) == fingerprint(again) != fingerprint(other)
    assert untimed(first) == untimed(again) != untimed(other)


@pytest.mark.slow
def test_config_of_a_run_repeats_the_run(run_script, digits, tmp_path):
    first = run_folder(
        run_script("mlp_mnist_relu", *small(digits), "--set", "model.activation=tanh"), tmp_path
    )
    again = run_folder(
        run_script("mlp_mnist_relu", "--config", str(first / "config.yaml")), tmp_path
    )
    assert first != again
    assert (first / "config.yaml").read_text() == (again / "config.yaml").read_text()
    assert fingerprint(first) == fingerprint(again)


def start_script(
    until: str, experiment: str, *arguments: str, folder: Path
) -> subprocess.Popen[str]:
    """Starts a script in `folder` and comes back once it prints a line that begins with `until`."""
    process = subprocess.Popen(
        [sys.executable, str(SCRIPTS / f"{experiment}.py"), *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(until):
            break
    return process


@pytest.mark.slow
@pytest.mark.parametrize("experiment", ["mlp_mnist_relu", "custom_dense_mnist"])
def test_interrupted_run_says_how_to_go_on_and_ends_as_an_uninterrupted_one(
    experiment, run_script, tmp_path
):
    data = make_digits(tmp_path / "many.npz", train=4_000)
    arguments = small(data, epochs=12, batch_size=16)
    whole = run_folder(run_script(experiment, *arguments), tmp_path)

    process = start_script("epoch  3/12", experiment, *arguments, "--out", "cut", folder=tmp_path)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert "--resume" in stderr
    cut = tmp_path / stdout.splitlines()[-1].removeprefix("run: ")
    assert not (cut / "metrics.json").exists()
    assert (cut / "accuracy.png").exists()
    assert 3 <= len(untimed(cut)) < 12

    resumed = run_folder(run_script(experiment, "--resume", str(cut)), tmp_path)
    assert resumed == cut
    assert fingerprint(cut) == fingerprint(whole)
    assert untimed(cut) == untimed(whole)


@pytest.mark.slow
def test_a_run_whose_folder_is_taken_away_says_so(digits, tmp_path):
    arguments = small(digits, epochs=2000)
    process = start_script("epoch    2/2000", "mlp_mnist_relu", *arguments, folder=tmp_path)
    (run,) = (tmp_path / "outputs" / "mlp_mnist_relu").iterdir()
    run.rename(tmp_path / "moved")
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 4
    assert "Traceback" not in stderr
    assert "this folder was moved or removed while the run was at work; put it back" in stderr


@pytest.mark.slow
def test_resume_of_a_finished_run_does_nothing(run_script, digits, tmp_path):
    run = run_folder(run_script("mlp_mnist_relu", *small(digits, epochs=1)), tmp_path)
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    finished = run_script("mlp_mnist_relu", "--resume", str(run))
    assert "finished already" in finished.stdout
    assert "--set training.epochs=N" in finished.stdout
    assert run_folder(finished, tmp_path) == run
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


@pytest.mark.slow
def test_resume_with_other_data_is_refused(run_script, digits, tmp_path):
    run = run_folder(run_script("mlp_mnist_relu", *small(digits, epochs=1)), tmp_path)
    (run / "metrics.json").unlink()
    with np.load(digits) as archive:
        arrays = dict(archive)
    arrays["x_train"][0] += 1
    np.savez(digits, **arrays)
    finished = run_script("mlp_mnist_relu", "--resume", str(run))
    assert finished.returncode == 4
    assert "data.sha256: was" in finished.stderr


@pytest.mark.slow
def test_best_weights_and_early_stopping(run_script, digits, tmp_path):
    run = run_folder(
        run_script(
            "mlp_mnist_relu",
            *small(digits, epochs=40),
            "--set",
            "training.keep=best",
            "--set",
            "training.early_stopping={patience: 2, min_delta: 0.0}",
            "--set",
            "training.optimizer.learning_rate=0.05",
        ),
        tmp_path,
    )
    rows = read_table(run / "history.csv")
    metrics = json.loads((run / "metrics.json").read_text())
    losses = [float(row["val_loss"]) for row in rows]
    best = int(np.argmin(losses)) + 1
    assert metrics["best_epoch"] == best
    assert len(rows) == best + 2 < 40
    model = keras.models.load_model(run / "model.h5")
    validation = load_mnist(
        MnistConfig(path=str(digits), limit=None, validation_fraction=0.3, augment=None)
    ).validation
    assert validation is not None
    scored = model.evaluate(validation.images, validation.labels, verbose=0)[0]
    assert scored == pytest.approx(losses[best - 1], rel=1e-4)


@pytest.mark.slow
def test_diverging_training_ends_with_code_6_and_says_where(run_script, digits, tmp_path):
    finished = run_script(
        "mlp_mnist_tanh",
        *small(digits),
        "--set",
        "training.optimizer={name: sgd, learning_rate: 1e30, momentum: 0.9, nesterov: false,"
        " decay: 0}",
        "--set",
        "model.activation=relu",
    )
    assert finished.returncode == 6
    assert "epoch 1" in finished.stderr
    assert "learning rate 1e+30, first of the weights dense1/kernel" in finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.mark.slow
def test_mixed_precision_trains_and_saves_a_model_that_loads(run_script, wide_digits, tmp_path):
    run = run_folder(
        run_script(
            "lenet_mnist", *small(wide_digits), "--set", "training.precision=mixed_bfloat16"
        ),
        tmp_path,
    )
    model = keras.models.load_model(run / "model.h5")
    assert model.get_layer("conv1").compute_dtype == "bfloat16"
    assert model.get_layer("predictions").compute_dtype == "float32"
    assert all(weight.dtype == "float32" for weight in model.weights)


@pytest.mark.slow
def test_dry_run_shows_the_plan_and_leaves_nothing(run_script, digits, tmp_path):
    before = sorted(tmp_path.iterdir())
    shown = run_script("lenet_mnist", *small(digits), "--seed", "7", "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert "lenet_mnist.yaml:" in shown.stdout
    assert "--set" in shown.stdout
    assert "--seed" in shown.stdout
    assert "Total params: 253,074" in shown.stdout
    assert max(map(len, shown.stdout.splitlines()[-20:])) <= 80
    assert "batches of 32 per epoch" in shown.stdout
    assert sorted(tmp_path.iterdir()) == before


def test_runs_of_the_same_second_get_folders_of_their_own(tmp_path):
    with ThreadPoolExecutor(16) as threads:
        runs = threads.map(
            lambda number: create_run(tmp_path, "lenet_mnist", 1, {"config.yaml": str(number)}),
            range(100),
        )
        texts = {run.path: run.config_path.read_text() for run in runs}
    assert len(texts) == len(set(texts.values())) == 100
    assert sorted((tmp_path / "lenet_mnist").iterdir()) == sorted(texts)


USER_MISTAKES = [
    (["--set", "training.epocs=1"], 2, "did you mean training.epochs"),
    (["--set", "training.epochs"], 2, "KEY=VALUE"),
    (["--set", "training.epochs=0"], 2, "training.epochs"),
    (["--set", "training.epochs=many"], 2, "training.epochs"),
    (["--set", "data.validation_fraction=1.5"], 2, "data.validation_fraction"),
    (["--set", "model.scaling=units"], 2, "unit"),
    (["--set", "experiment=convnet_mnist"], 2, "lenet_mnist"),
    (["--set", "training.jit_compile=true"], 2, "set one of them to false"),
    (["--config", "none.yaml"], 2, "none.yaml"),
    (["--config", "."], 2, "directory"),
    (["--nonsense"], 2, "--nonsense"),
    (["--seed", "one"], 2, "--seed"),
    (["--resume", "nowhere"], 4, "nowhere"),
    (["--resume", "."], 4, "config.yaml"),
    (["--resume", ".", "--seed", "3"], 2, "--seed"),
    (["--out", "/proc/nowhere"], 5, "/proc/nowhere"),
    (["--out", "a_file/below"], 5, "a_file/below"),
    (["--out", "long" * 100], 5, "shorter path"),
]


@pytest.mark.parametrize(("arguments", "code", "word"), USER_MISTAKES)
def test_mistake_on_the_command_line(arguments, code, word, run_script, tmp_path):
    (tmp_path / "a_file").write_text("in the way")
    before = sorted(tmp_path.rglob("*"))
    finished = run_script("lenet_mnist", *arguments)
    assert finished.returncode == code
    assert word in finished.stderr
    assert "Traceback" not in finished.stderr
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("content", "code"),
    [(None, 3), (b"text", 3)],
)
def test_bad_data_leaves_no_run_behind(content, code, run_script, tmp_path):
    path = tmp_path / "data.npz"
    if content is not None:
        path.write_bytes(content)
    finished = run_script("lenet_mnist", "--set", f"data.path={path}")
    assert finished.returncode == code
    assert str(path) in finished.stderr
    assert not (tmp_path / "outputs").exists()


def test_keep_best_needs_validation(run_script, wide_digits, tmp_path):
    finished = run_script("convnet_mnist", *small(wide_digits), "--set", "training.keep=best")
    assert finished.returncode == 2
    assert "data.validation_fraction" in finished.stderr
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_help_and_config_errors_do_not_load_tensorflow(experiment, tmp_path):
    program = (
        "import runpy, sys\n"
        "try:\n"
        "    sys.argv = sys.argv[1:]\n"
        "    runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    loaded = {'tensorflow', 'keras', 'matplotlib', 'numpy'} & set(sys.modules)\n"
        "    print(end.code, sorted(loaded))\n"
    )
    for arguments, code in ((["--help"], 0), (["--set", "training.epocs=1"], 2)):
        printed = subprocess.run(
            [sys.executable, "-c", program, str(SCRIPTS / f"{experiment}.py"), *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
        ).stdout
        assert printed.splitlines()[-1] == f"{code} []"
