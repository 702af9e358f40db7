"""`training.devices: all`, on logical CPU devices: what one device gives, but for rounding."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import SCRIPTS, make_digits, make_photographs

# TensorFlow splits a CPU only before it starts, so in a process of its own: then the script runs.
PROGRAM = """
import os, runpy, sys
count, save_seconds, script = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
os.environ["KERAS_BACKEND"] = "tensorflow"
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
from epochlab.callbacks import EpochRecorder
EpochRecorder.save_seconds = save_seconds
sys.argv = sys.argv[3:]
runpy.run_path(script, run_name="__main__")
"""

Train = Callable[..., Path]


@pytest.fixture
def train(tmp_path: Path) -> Train:
    """Runs a script on logical CPU devices and returns the run's folder."""

    def run(name: str, count: int, *arguments: str, save_seconds: float = 600) -> Path:
        script = str(SCRIPTS / f"{name}.py")
        finished = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(count), str(save_seconds), script, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert finished.returncode == 0, finished.stderr
        names = ", ".join(f"CPU:{number}" for number in range(count))
        assert f"devices: {names}\n" in finished.stdout
        return tmp_path / finished.stdout.splitlines()[-1].removeprefix("run: ")

    return run


def settings(*more: str) -> list[str]:
    return [word for setting in ("training.devices=all", *more) for word in ("--set", setting)]


def history(run: Path) -> np.ndarray:
    """All columns but the seconds."""
    return np.loadtxt(run / "history.csv", delimiter=",", skiprows=1, usecols=range(6))


def metrics(run: Path) -> dict:
    return json.loads((run / "metrics.json").read_text())


def weights(run: Path) -> dict[str, np.ndarray]:
    found = {}
    with h5py.File(run / "model.h5") as opened:
        opened["model_weights"].visititems(
            lambda name, item: (
                found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
            )
        )
    return found


def predictions(run: Path) -> list[dict[str, str]]:
    with (run / "predictions.csv").open() as rows:
        return list(csv.DictReader(rows))


@pytest.mark.slow
def test_two_devices_give_what_one_gives(train: Train, tmp_path: Path):
    """Also with an odd batch size, an odd validation set and a last batch of one image."""
    digits = make_digits(tmp_path / "digits.npz", train=301, test=51)
    values = (
        f"data.path={digits}", "data.validation_fraction=0.18", "training.batch_size=49",
        "training.epochs=2",
    )  # fmt: skip
    one, two = (train("lenet_mnist", count, *settings(*values)) for count in (1, 2))
    assert json.loads((one / "data.json").read_text())["images"]["train"] == 246
    np.testing.assert_allclose(history(two), history(one), rtol=1e-6)
    pairs = zip(weights(one).items(), weights(two).items(), strict=True)
    for (name, expected), (same_name, found) in pairs:
        assert name == same_name
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert metrics(two)["test"]["loss"] == pytest.approx(metrics(one)["test"]["loss"], rel=1e-6)
    assert metrics(two)["weights_sha256"] != metrics(one)["weights_sha256"]
    for found, expected in zip(predictions(two), predictions(one), strict=True):
        *found_words, found_probability = found.values()
        *words, probability = expected.values()
        assert found_words == words
        assert float(found_probability) == pytest.approx(float(probability), abs=2e-6)


@pytest.mark.slow
def test_two_devices_repeat_and_resume_within_an_epoch_to_the_bit(train: Train, digits: Path):
    """With Dropout, and the last of the two sessions in the midst of an epoch."""
    arguments = settings(f"data.path={digits}", "training.batch_size=16", "training.epochs=3")
    straight = train("mlp_mnist_relu", 2, *arguments)
    cut = train("mlp_mnist_relu", 2, *arguments, save_seconds=0)
    assert metrics(cut)["weights_sha256"] == metrics(straight)["weights_sha256"]
    # As if it had been killed after the eighth of nine steps.
    (cut / "metrics.json").unlink()
    (cut / "checkpoints" / "epoch-00003.npz").unlink()
    assert (cut / "checkpoints" / "epoch-00002-step-00000008.npz").is_file()
    train("mlp_mnist_relu", 2, "--resume", str(cut))
    assert metrics(cut)["weights_sha256"] == metrics(straight)["weights_sha256"]
    np.testing.assert_array_equal(history(cut), history(straight))


@pytest.mark.slow
def test_head_on_cached_features_trains_on_two_devices(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("EPOCHLAB_CACHE", str(tmp_path / "cache"))
    photographs = make_photographs(tmp_path / "photographs", train=6, validation=2, test=3)
    arguments = settings(
        f"data.path={photographs}", "data.image_size=[40, 40]", "model.weights=none",
        "model.dense_units=[8]", "model.dropout=[0.0]", "training.batch_size=5",
        "training.steps_per_epoch=null", "phases.0.epochs=2",
    )  # fmt: skip
    one, two = (train("cats_dogs_vgg16_features", count, *arguments) for count in (1, 2))
    np.testing.assert_allclose(history(two), history(one), rtol=1e-6)


def test_what_devices_cannot_be_had_with_is_refused(run_script):
    own_loop = run_script("custom_dense_mnist", "--set", "training.devices=all")
    assert own_loop.returncode == 2
    assert "devices: expected one, all that this script's loop knows, got all" in own_loop.stderr
    compiled = settings("training.deterministic=false", "training.jit_compile=true")
    refused = run_script("lenet_mnist", *compiled)
    assert refused.returncode == 2
    assert "set jit_compile to false or devices to one" in refused.stderr
