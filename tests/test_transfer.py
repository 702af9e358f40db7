"""Transfer experiments: phases, cached features, the whole model at the end."""

import json
import subprocess
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import make_photographs
from PIL import Image

SMALL = (
    "data.image_size=[40, 40]", "model.weights=none", "model.dense_units=[8]",
    "training.batch_size=4",
)  # fmt: skip
PHASES = (
    "phases.0.epochs=2", "phases.1.epochs=2", "phases.1.optimizer.learning_rate=1e-3",
    "training.steps_per_epoch=4",
)  # fmt: skip


@pytest.fixture
def photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """12 + 4 + 6 images of two classes; the scripts' cache lies beside them."""
    monkeypatch.setenv("EPOCHLAB_CACHE", str(tmp_path / "cache"))
    return make_photographs(tmp_path / "photographs", train=6, validation=2, test=3)


def settings(data: Path, *more: str) -> list[str]:
    return [word for setting in (f"data.path={data}", *SMALL, *more) for word in ("--set", setting)]


def run_folder(finished: subprocess.CompletedProcess[str], base: Path) -> Path:
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    return base / finished.stdout.splitlines()[-1].removeprefix("run: ")


def metrics(run: Path) -> dict:
    return json.loads((run / "metrics.json").read_text())


def probabilities(run: Path) -> np.ndarray:
    rows = (run / "predictions.csv").read_text().splitlines()[1:]
    return np.array([float(row.rsplit(",", 1)[1]) for row in rows])


def untimed(run: Path) -> list[str]:
    return [row.rpartition(",")[0] for row in (run / "history.csv").read_text().splitlines()]


@pytest.mark.slow
def test_features_are_computed_once_and_the_saved_model_is_whole(run_script, photographs, tmp_path):
    arguments = settings(photographs, "phases.0.epochs=2", "features.save_npy=true")
    first = run_script("cats_dogs_vgg16_features", *arguments)
    run = run_folder(first, tmp_path)
    assert "features of train: 12 images" in first.stdout
    again = run_script("cats_dogs_vgg16_features", *arguments)
    assert "features of" not in again.stdout
    assert metrics(run)["weights_sha256"] == metrics(run_folder(again, tmp_path))["weights_sha256"]
    assert np.load(run / "features_train.npy").shape == (12, 1, 1, 512)
    model = keras.models.load_model(run / "model.h5")
    assert model.input_shape == (None, 40, 40, 3)
    files = sorted((photographs / "test").rglob("*.jpg"))
    pixels = [
        np.asarray(Image.open(file).resize((40, 40), Image.Resampling.NEAREST)) for file in files
    ]
    outputs = model.predict(np.stack(pixels), verbose=0)[:, 0]
    recorded = probabilities(run)
    np.testing.assert_allclose(np.maximum(outputs, 1 - outputs), recorded, atol=1e-4)
    assert json.loads((run / "backbone.json").read_text())["weights"] == "none"


@pytest.mark.slow
def test_cached_and_uncached_training_of_two_phases_agree(run_script, photographs, tmp_path):
    """Without augmentation: the cut at block4_pool against the whole network in each step."""
    cached = run_folder(
        run_script(
            "cats_dogs_vgg16_finetune", *settings(photographs, *PHASES, "data.augment=null")
        ),
        tmp_path,
    )
    identity = (
        "data.augment={rotation_range: 0, width_shift_range: 0.0, height_shift_range: 0.0, "
        "shear_range: 0, zoom_range: 0.0, horizontal_flip: false, vertical_flip: false, "
        "fill_mode: nearest, cval: 0, brightness_range: null, channel_shift_range: 0}"
    )
    whole = run_folder(
        run_script("cats_dogs_vgg16_finetune", *settings(photographs, *PHASES, identity)), tmp_path
    )
    np.testing.assert_allclose(probabilities(cached), probabilities(whole), atol=1e-5)
    assert metrics(cached)["parameters"] == metrics(whole)["parameters"]


@pytest.mark.slow
def test_two_phases_with_variants_resume_to_the_bit(run_script, photographs, tmp_path):
    arguments = settings(photographs, *PHASES, "features.variants=2")
    whole = run_folder(run_script("cats_dogs_vgg16_finetune", *arguments), tmp_path)
    assert [row.split(",")[0] for row in untimed(whole)[1:]] == ["1", "2", "3", "4"]
    # The process died within the second phase; and right after the first one.
    for lost in ((), ("epoch-00003.npz",)):
        cut = run_folder(
            run_script("cats_dogs_vgg16_finetune", *arguments, "--set", "phases.1.epochs=1"),
            tmp_path,
        )
        (cut / "config.yaml").write_text((whole / "config.yaml").read_text())
        for name in ("metrics.json", "model.h5", *(f"checkpoints/{file}" for file in lost)):
            (cut / name).unlink()
        resumed = run_script("cats_dogs_vgg16_finetune", "--resume", str(cut))
        assert run_folder(resumed, tmp_path) == cut
        assert metrics(cut)["weights_sha256"] == metrics(whole)["weights_sha256"]
        assert untimed(cut) == untimed(whole)


@pytest.mark.slow
def test_other_weights_are_refused_on_resume(run_script, photographs, tmp_path):
    run = run_folder(
        run_script("cats_dogs_vgg16_features", *settings(photographs, "phases.0.epochs=1")),
        tmp_path,
    )
    (run / "metrics.json").unlink()
    record = json.loads((run / "backbone.json").read_text())
    (run / "backbone.json").write_text(json.dumps(record | {"sha256": "0" * 64}))
    finished = run_script("cats_dogs_vgg16_features", "--resume", str(run))
    assert finished.returncode == 4
    assert "not the weights that the run began with" in finished.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("model.output_layer=block5_pol", ["block5_pool"]),
        ("phases.0.trainable={from: block5_conv9}", ["phases[0].trainable", "block5_conv3"]),
        ("phases.0.trainable=[]", ["phases.0.trainable", "head"]),
        ("phases=[]", ["phases"]),
        ("data.image_size=[20, 20]", ["32"]),
    ],
)
def test_bad_settings_are_refused_before_there_is_a_run(
    change, words, run_script, photographs, tmp_path
):
    finished = run_script("cats_dogs_vgg16_features", *settings(photographs, change))
    assert finished.returncode == 2, finished.stderr
    for word in words:
        assert word in finished.stderr
    assert "Traceback" not in finished.stderr
    assert not (tmp_path / "outputs").exists()
