"""What a run folder is called, however it is opened and wherever it lies."""

from pathlib import Path

import numpy as np
import pytest
from conftest import record_run

from epochlab.checkpoint_file import Progress
from epochlab.data.images import Split
from epochlab.errors import RunError
from epochlab.evaluation import Evaluation, record_evaluation
from epochlab.history import read_history
from epochlab.recorded_runs import read_run
from epochlab.run_pictures import drawing_curves
from epochlab.runs import Run, load_run

DRAWN = ("accuracy.png", "confusion.png", "loss.png", "mistakes.png")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return record_run(tmp_path / "runs")


def draw_pictures(run: Run) -> dict[str, bytes]:
    """Draws what a training and its test draw, anew, and returns the files."""
    for name in DRAWN:
        (run.path / name).unlink(missing_ok=True)
    with drawing_curves(run, Progress(read_history(run.path / "history.csv"), [1])):
        pass
    split = Split(np.zeros((2, 8, 8, 1), np.uint8), np.array([0, 1], np.int32), ("0", "1"))
    scored = Evaluation(np.array([[0.9, 0.1], [0.8, 0.2]]), split.labels)
    record_evaluation(run, scored, split, ("a", "b"), run.provenance(None))
    return {name: (run.path / name).read_bytes() for name in DRAWN}


@pytest.mark.parametrize(("folder", "given"), [("", "."), ("checkpoints", ".."), ("..", "NAME")])
def test_a_run_is_called_the_same_from_inside_its_folder(run, folder, given, monkeypatch):
    (run.path / "checkpoints").mkdir()
    fields, pictures = run.provenance(3), draw_pictures(run)
    monkeypatch.chdir(run.path / folder)
    opened = load_run(Path(given.replace("NAME", run.name)))
    assert (opened.experiment, opened.name) == ("lenet_mnist", run.path.name)
    assert read_run(opened.path).name == f"lenet_mnist/{run.path.name}"
    assert opened.out == run.path.parent.parent
    assert opened.provenance(3) == fields
    assert draw_pictures(opened) == pictures


def test_a_moved_run_is_still_of_its_experiment(run: Run, tmp_path: Path):
    pictures = draw_pictures(run)
    (tmp_path / "deep").mkdir()
    moved = load_run(run.path.rename(tmp_path / "deep" / run.name))
    assert moved.provenance(None)["experiment"] == "lenet_mnist"
    assert draw_pictures(moved) == pictures
    assert moved.out == Path("outputs")


def test_a_run_whose_config_names_no_experiment_is_called_by_its_place(tmp_path: Path):
    (tmp_path / "own" / "first").mkdir(parents=True)
    (tmp_path / "own" / "first" / "config.yaml").write_text("seed: 1\n")
    run = load_run(tmp_path / "own" / "first")
    assert (run.experiment, run.name, run.out) == ("own", "first", tmp_path)


def test_a_run_keeps_the_path_that_a_person_gave_it(run: Run, monkeypatch):
    monkeypatch.chdir(run.path.parent.parent)
    assert str(load_run(Path("lenet_mnist") / run.name).path) == f"lenet_mnist/{run.name}"
    with pytest.raises(RunError, match=r"^\.: no run folder, it lacks config\.yaml"):
        load_run(Path())
