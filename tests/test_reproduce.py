"""`epochlab resume` and `epochlab reproduce` on real runs, as a user calls them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import make_digits, record_run
from PIL import Image

from epochlab.commands import reproduce as command


def epochlab(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "epochlab.cli", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | variables,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    make_digits(folder / "digits.npz")
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    """A finished run of two epochs."""
    script = Path(__file__).parent.parent / "scripts" / "mlp_mnist_relu.py"
    digits = f"data.path={folder / 'digits.npz'}"
    finished = subprocess.run(
        [sys.executable, script, "--set", digits, "--set", "training.epochs=2"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return folder / finished.stdout.splitlines()[-1].removeprefix("run: ")


@pytest.mark.slow
def test_a_run_is_reproduced_on_as_many_threads_as_it_had(folder, run):
    """On one CPU now; the number of threads is the run's own."""
    command = "import os, sys; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
    command += "sys.argv[0] = 'epochlab'; from epochlab.cli import main; main()"
    finished = subprocess.run(
        [sys.executable, "-c", command, "reproduce", str(run)],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    sha256 = json.loads((run / "metrics.json").read_text())["weights_sha256"]
    assert (
        finished.stdout.splitlines()[-1] == f"identical: every epoch, and weights_sha256 {sha256}"
    )
    assert len(list(run.parent.iterdir())) == 2


@pytest.mark.slow
def test_what_differs_is_named_with_what_changed(folder, run, tmp_path):
    history = (run / "history.csv").read_text()
    rows = [row.split(",") for row in history.splitlines()]
    rows[2][2] = "0.125"
    (run / "history.csv").write_text("".join(f"{','.join(row)}\n" for row in rows))
    finished = epochlab(folder, "reproduce", str(run), "--out", str(tmp_path), OMP_NUM_THREADS="7")
    (run / "history.csv").write_text(history)
    assert finished.returncode == 7
    assert "not reproduced: in epoch 2, accuracy was 0.125, now " in finished.stderr
    assert 'changed: switches.OMP_NUM_THREADS: was null, now "7"' in finished.stderr
    assert "Traceback" not in finished.stderr
    assert list(tmp_path.glob("mlp_mnist_relu/*/metrics.json"))


@pytest.mark.slow
def test_resume_goes_on_with_more_epochs(folder, run):
    finished = epochlab(folder, "resume", str(run), "--set", "training.epochs=3")
    assert finished.returncode == 0, finished.stderr
    assert "going on from the end of epoch 2" in finished.stdout
    assert len((run / "history.csv").read_text().splitlines()) == 4
    again = epochlab(folder, "resume", str(run))
    assert "finished already" in again.stdout
    assert again.returncode == 0
    assert again.stdout.splitlines()[-1] == f"run: {run}"


@pytest.mark.slow
def test_resume_from_inside_the_run_folder_redraws_the_same_pictures(run):
    with Image.open(run / "loss.png") as opened:
        before = dict(opened.info)
    epochs = len((run / "history.csv").read_text().splitlines())
    finished = epochlab(run, "resume", ".", "--set", f"training.epochs={epochs}")
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines()[-1] == f"run: {run}"
    with Image.open(run / "loss.png") as opened:
        after = dict(opened.info)
    assert (after["experiment"], after["run"]) == ("mlp_mnist_relu", run.name)
    assert after.keys() == before.keys()


@pytest.mark.parametrize(
    ("place", "out"),
    [("runs/lenet_mnist/first", "runs"), ("deep/kept", None), ("deep/lenet_mnist", None)],
)
def test_a_new_run_goes_where_the_runs_are(place: str, out: str | None, tmp_path, monkeypatch):
    """A run that was moved lies among none; what is above it is somebody's own folder."""
    run = record_run(tmp_path / "made").path
    (tmp_path / place).parent.mkdir(parents=True)
    run = run.rename(tmp_path / place)
    script = tmp_path / "lenet_mnist.py"
    script.touch()
    started = []
    monkeypatch.setattr(command, "_train", lambda words: started.append(words) or run)
    command.reproduce(run, None, script)
    (words,) = started
    expected = "outputs" if out is None else str(tmp_path / out)
    assert words[words.index("--out") + 1] == expected


def test_an_unfinished_run_is_not_reproduced(tmp_path):
    (tmp_path / "config.yaml").write_text("seed: 1\n")
    finished = epochlab(tmp_path, "reproduce", ".")
    assert finished.returncode == 4
    assert "is not finished" in finished.stderr


@pytest.mark.parametrize("command", ["resume", "reproduce"])
def test_a_folder_that_is_no_run_and_a_script_that_is_not_there(command, tmp_path):
    finished = epochlab(tmp_path, command, "nowhere")
    assert finished.returncode == 4
    assert "nowhere: no such folder" in finished.stderr
    (tmp_path / "config.yaml").write_text("seed: 1\n")
    (tmp_path / "metrics.json").write_text("{}")
    (tmp_path / "environment.json").write_text('{"script": "scripts/gone.py"}')
    finished = epochlab(tmp_path, command, ".")
    assert finished.returncode == 4
    assert "gone.py" in finished.stderr
    assert "--script" in finished.stderr
