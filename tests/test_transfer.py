"""Transfer experiments: phases, cached features, the whole model at the end."""

import json
import runpy
import subprocess
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import (
    CONFIGS,
    SCRIPTS,
    assert_as_keras_loads_it,
    load_experiment,
    make_photographs,
)
from PIL import Image

from epochlab.config import describe_config, load_config
from epochlab.config.yaml_reader import read_yaml
from epochlab.errors import ConfigError
from epochlab.models.transfer import build_head
from epochlab.runs import Run

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
    arguments = settings(photographs, "phases.0.epochs=2", "features.save_parts=true")
    first = run_script("cats_dogs_vgg16_features", *arguments)
    run = run_folder(first, tmp_path)
    assert "features of train: 12 images" in first.stdout
    again = run_script("cats_dogs_vgg16_features", *arguments)
    assert "features of" not in again.stdout
    assert metrics(run)["weights_sha256"] == metrics(run_folder(again, tmp_path))["weights_sha256"]
    assert np.load(run / "features_train.npy").shape == (12, 1, 1, 512)
    model = keras.models.load_model(run / "model.h5")
    head = build_head(load_experiment("cats_dogs_vgg16_features", *SMALL).model, (1, 1, 512), 2, 9)
    head.load_weights(run / "head.weights.h5")
    for name in ("fc1", "predictions"):
        for saved, whole in zip(
            head.get_layer(name).get_weights(), model.get_layer(name).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(saved, whole)
    assert model.input_shape == (None, 40, 40, 3)
    assert_as_keras_loads_it(Run(run))
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
    assert_as_keras_loads_it(Run(cached))
    assert metrics(cached)["parameters"] == metrics(whole)["parameters"]


@pytest.mark.slow
def test_network_that_trains_from_its_first_layer_is_augmented_whatever_is_cached(
    run_script, photographs, tmp_path
):
    first_layer = (
        "phases.0.trainable={from: block1_conv1}", "phases.0.epochs=1", "phases.1.epochs=1",
        "training.steps_per_epoch=3",
    )  # fmt: skip
    asked, endless = (
        run_folder(
            run_script(
                "cats_dogs_vgg16_finetune",
                *settings(photographs, *first_layer, f"features.variants={variants}"),
            ),
            tmp_path,
        )
        for variants in ("2", "null")
    )
    assert metrics(asked)["weights_sha256"] == metrics(endless)["weights_sha256"]


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
def test_cosine_takes_the_learning_rate_to_zero_within_its_phase(run_script, photographs, tmp_path):
    changes = ("phases.0.epochs=3", "phases.0.schedule=cosine", "phases.0.trainable=[head]")
    run = run_folder(
        run_script("cats_dogs_vgg16_features", *settings(photographs, *changes)), tmp_path
    )
    rates = [float(row.split(",")[5]) for row in untimed(run)[1:]]
    steps = 3  # of an epoch: 12 images in batches of 4
    last_steps = np.array([1, 2, 3]) * steps - 1
    assert rates == pytest.approx(
        1e-5 * (1 + np.cos(np.pi * last_steps / (3 * steps))), rel=1e-4, abs=1e-11
    )


def test_a_cosine_and_a_decay_are_refused_together():
    sgd = "{name: sgd, learning_rate: 0.1, momentum: 0.9, nesterov: true, decay: 1e-6}"
    changes = (f"phases.0.optimizer={sgd}", "phases.0.schedule=cosine")
    with pytest.raises(ConfigError, match="both change the learning rate"):
        load_experiment("cats_dogs_vgg16_features", *changes)


def test_values_of_phases_are_described_one_by_one():
    script = runpy.run_path(str(SCRIPTS / "cats_dogs_vgg16_finetune.py"))
    path = CONFIGS / "cats_dogs_vgg16_finetune.yaml"
    loaded = load_config(script["TransferExperiment"], path, ["phases.1.epochs=7"])
    lines = [line.split() for line in describe_config(loaded).splitlines()]
    assert ["phases.1.epochs", "7", "--set"] in lines
    (line,) = (line for line in lines if line[0] == "phases.1.trainable.from")
    assert line[1] == "block5_conv1"
    assert line[2].startswith(f"{path}:")


@pytest.mark.parametrize(
    "name", ["cats_dogs_bottleneck", "cats_dogs_vgg16_repair", "cats_dogs_vgg16_features"]
)
def test_further_yaml_files_fit_their_scripts(name: str):
    (path,) = CONFIGS.rglob(f"{name}.yaml")
    experiment = read_yaml(path).values["experiment"]
    script = runpy.run_path(str(SCRIPTS / f"{experiment}.py"))
    assert load_config(script["TransferExperiment"], path).config.experiment == experiment


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
def test_a_phase_begins_from_the_best_epoch_of_the_one_before_whatever_was_damaged(
    run_script, photographs, tmp_path
):
    # The rate is high enough for the first phase's last epoch not to be its best one.
    arguments = settings(
        photographs, *PHASES, "phases.0.epochs=4", "phases.0.optimizer.learning_rate=3.0",
        "training.keep=best", "features.variants=2",
    )  # fmt: skip
    whole = run_folder(run_script("cats_dogs_vgg16_finetune", *arguments), tmp_path)
    losses = [float(row.split(",")[3]) for row in untimed(whole)[1:5]]
    assert min(losses) < losses[-1]
    cut = run_folder(
        run_script("cats_dogs_vgg16_finetune", *arguments, "--set", "phases.1.epochs=1"), tmp_path
    )
    (cut / "config.yaml").write_text((whole / "config.yaml").read_text())
    (cut / "metrics.json").unlink()
    (cut / "checkpoints" / "epoch-00005.npz").write_bytes(b"damaged")
    assert run_folder(run_script("cats_dogs_vgg16_finetune", "--resume", str(cut)), tmp_path) == cut
    assert untimed(cut) == untimed(whole)
    assert metrics(cut)["weights_sha256"] == metrics(whole)["weights_sha256"]
    assert metrics(cut)["kept_epoch"] == metrics(whole)["kept_epoch"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("model.output_layer=block5_pol", ["block5_pool"]),
        ("phases.0.trainable={from: block5_conv9}", ["phases.0.trainable", "block5_conv3"]),
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
