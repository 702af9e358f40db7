"""The cats-and-dogs scripts as a user runs them, on generated photographs and on real ones."""

import csv
import json
import os
import subprocess
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import assert_as_keras_loads_it, make_photographs
from PIL import Image

from epochlab.runs import Run

EXPERIMENTS = ("cats_dogs_baseline", "cats_dogs_augmented", "cats_dogs_recipe")
RUN_FILES = {
    "config.yaml", "environment.json", "data.json", "files.csv", "summary.txt", "model.png",
    "history.csv", "accuracy.png", "loss.png", "checkpoints", "model.h5", "metrics.json",
    "confusion.png", "mistakes.png", "predictions.csv", "sessions.json",
}  # fmt: skip
SMALL = (
    "data.image_size=[64, 64]", "model.filters=[4, 4, 8, 8]", "training.batch_size=4",
    "training.steps_per_epoch=5", "training.epochs=3",
)  # fmt: skip


@pytest.fixture
def photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """24 + 8 + 12 images; the scripts' cache lies beside them."""
    monkeypatch.setenv("EPOCHLAB_CACHE", str(tmp_path / "cache"))
    return make_photographs(tmp_path / "photographs", train=12, validation=4, test=6)


def settings(data: Path, *more: str) -> list[str]:
    """Overrides that make an experiment short; 5 steps of 4 are less than a pass over 24."""
    return [word for setting in (f"data.path={data}", *SMALL, *more) for word in ("--set", setting)]


def run_folder(finished: subprocess.CompletedProcess[str], base: Path) -> Path:
    assert finished.returncode == 0, finished.stderr
    return base / finished.stdout.splitlines()[-1].removeprefix("run: ")


def untimed(run: Path) -> list[str]:
    return [row.rpartition(",")[0] for row in (run / "history.csv").read_text().splitlines()]


def weights(run: Path) -> str:
    return json.loads((run / "metrics.json").read_text())["weights_sha256"]


@pytest.mark.slow
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_experiment_leaves_a_complete_run(experiment, run_script, photographs, tmp_path):
    smaller = [] if experiment == "cats_dogs_recipe" else ["model.dense_units=[16]"]
    finished = run_script(experiment, *settings(photographs, *smaller))
    run = run_folder(finished, tmp_path)
    assert finished.stderr == ""
    augmented = {"augmentation.png"} if experiment != "cats_dogs_baseline" else set()
    assert {path.name for path in run.iterdir()} == RUN_FILES | augmented
    record = json.loads((run / "data.json").read_text())
    assert record["class_names"] == ["cat", "dog"]
    assert record["images_per_class"]["train"] == {"cat": 12, "dog": 12}
    for name in augmented:
        with Image.open(run / name) as picture:
            assert picture.text["experiment"] == experiment  # pyright: ignore[reportAttributeAccessIssue]
    with (run / "predictions.csv").open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [row["image"] for row in rows[:1]] == ["test/cat/cat.0.jpg"]
    model = keras.models.load_model(run / "model.h5")
    assert model.output_shape == (None, 1)
    assert_as_keras_loads_it(Run(run))


@pytest.mark.slow
def test_streamed_images_train_the_same_weights_as_cached_ones(run_script, photographs, tmp_path):
    cached = run_folder(run_script("cats_dogs_augmented", *settings(photographs)), tmp_path)
    streamed = run_folder(
        run_script("cats_dogs_augmented", *settings(photographs, "data.cache_limit=0")), tmp_path
    )
    assert weights(cached) == weights(streamed)
    assert untimed(cached) == untimed(streamed)


@pytest.mark.slow
def test_augmented_run_that_was_cut_off_within_a_pass_resumes_to_the_bit(
    run_script, photographs, tmp_path
):
    whole = run_folder(run_script("cats_dogs_augmented", *settings(photographs)), tmp_path)
    cut = run_folder(
        run_script("cats_dogs_augmented", *settings(photographs, "training.epochs=2")), tmp_path
    )
    # As if three epochs had been asked for and the process had died after two.
    (cut / "config.yaml").write_text((whole / "config.yaml").read_text())
    for name in ("metrics.json", "model.h5", "predictions.csv", "augmentation.png"):
        (cut / name).unlink()
    assert run_folder(run_script("cats_dogs_augmented", "--resume", str(cut)), tmp_path) == cut
    assert weights(cut) == weights(whole)
    assert untimed(cut) == untimed(whole)


@pytest.mark.slow
def test_resume_names_the_files_that_changed(run_script, photographs, tmp_path):
    run = run_folder(
        run_script("cats_dogs_baseline", *settings(photographs, "training.epochs=1")), tmp_path
    )
    (run / "metrics.json").unlink()
    Image.fromarray(np.full((50, 50, 3), 7, np.uint8)).save(
        photographs / "train" / "cat" / "cat.3.jpg"
    )
    (photographs / "test" / "dog" / "dog.0.jpg").unlink()
    finished = run_script("cats_dogs_baseline", "--resume", str(run))
    assert finished.returncode == 4
    assert "test/dog/dog.0.jpg removed, train/cat/cat.3.jpg changed" in finished.stderr


@pytest.mark.slow
def test_balanced_weights_and_three_classes_train(run_script, photographs, tmp_path):
    for split in ("train", "validation", "test"):
        (photographs / split / "fox").mkdir()
        generator = np.random.default_rng(len(split))
        for number in range(3):
            pixels = generator.integers(0, 256, (60, 60, 3), np.uint8)
            Image.fromarray(pixels).save(photographs / split / "fox" / f"{number}.png")
    finished = run_script(
        "cats_dogs_baseline",
        *settings(photographs, "data.class_names=null", "data.class_weight=balanced"),
    )
    run = run_folder(finished, tmp_path)
    assert keras.models.load_model(run / "model.h5").output_shape == (None, 3)


@pytest.mark.slow
def test_training_waits_for_no_class_that_is_not_expected(run_script, photographs, tmp_path):
    (photographs / "train" / "fox").mkdir()
    finished = run_script("cats_dogs_baseline", *settings(photographs))
    assert finished.returncode == 3
    assert "fox" in finished.stderr
    assert "Traceback" not in finished.stderr
    assert not (tmp_path / "outputs").exists()


@pytest.mark.slow
@pytest.mark.skipif(
    "EPOCHLAB_CATS_DOGS" not in os.environ,
    reason="EPOCHLAB_CATS_DOGS names no folder of photographs",
)
def test_real_photographs_train_and_are_scored(run_script, tmp_path, monkeypatch):
    from epochlab.data.prepare import prepare

    monkeypatch.setenv("EPOCHLAB_CACHE", str(tmp_path / "cache"))
    data = tmp_path / "cats_dogs"
    prepare(
        "cats-dogs", Path(os.environ["EPOCHLAB_CATS_DOGS"]), data, split=None, seed=None, link=None
    )
    finished = run_script(
        "cats_dogs_augmented",
        *(word for setting in (
            f"data.path={data}", "data.limit=200", "training.epochs=1",
            "training.steps_per_epoch=8", "training.batch_size=8",
        ) for word in ("--set", setting)),
    )  # fmt: skip
    run = run_folder(finished, tmp_path)
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["parameters"]["total"] == 3_453_121
    assert 0 < metrics["test"]["loss"] < 2
