"""A checkpoint puts back everything that the next epoch depends on, or says why it cannot."""

import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from epochlab.checkpoint import (
    adopt_best,
    drop_best,
    keep_best,
    list_checkpoints,
    read_best_epoch,
    read_newest,
    restore_best,
    save_checkpoint,
)
from epochlab.checkpoint_file import Progress
from epochlab.errors import DivergedError, RunError
from epochlab.hashing import weights_sha256
from epochlab.history import Epoch

IMAGES = np.random.default_rng(0).normal(size=(64, 6)).astype(np.float32)
LABELS = np.arange(64) % 3


def make_model(units: int = 8) -> keras.Model:
    """A model with every kind of state: weights, moving averages, random counters, Adam's slots."""
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(units, activation="relu", name="hidden"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Dropout(0.5, seed=5, name="dropout"),
            keras.layers.Dense(3, activation="softmax", name="predictions"),
        ],
        name="small",
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def train(model: keras.Model, epochs: int = 1) -> None:
    model.fit(IMAGES, LABELS, batch_size=16, epochs=epochs, shuffle=False, verbose=0)


def after(epochs: int, step: int = 0) -> Progress:
    rows = [Epoch(n, 1.0 / n, 0.5, None, None, 0.001, 0.1) for n in range(1, epochs + 1)]
    return Progress(rows, [1], step)


def restore(folder: Path, model: keras.Model) -> Progress:
    checkpoint = read_newest(folder)
    checkpoint.restore(model)
    return checkpoint.progress


def test_training_goes_on_as_if_it_had_never_stopped(tmp_path: Path):
    straight = make_model()
    first_weights = straight.get_weights()
    train(straight, 2)
    save_checkpoint(tmp_path, straight, after(2))
    train(straight, 2)

    resumed = make_model()
    assert not all(
        np.array_equal(a, b) for a, b in zip(resumed.get_weights(), first_weights, strict=True)
    )
    assert restore(tmp_path, resumed).history == after(2).history
    train(resumed, 2)
    assert weights_sha256(resumed) == weights_sha256(straight)


def test_the_learning_rate_is_that_of_the_config_and_not_of_the_checkpoint(tmp_path: Path):
    save_checkpoint(tmp_path, make_model(), after(1))
    resumed = make_model()
    resumed.compile(keras.optimizers.Adam(0.5), "sparse_categorical_crossentropy")
    restore(tmp_path, resumed)
    assert float(keras.ops.convert_to_numpy(resumed.optimizer.learning_rate)) == 0.5


def test_no_checkpoint_means_no_epochs(tmp_path: Path):
    assert restore(tmp_path / "checkpoints", make_model()).history == []


def test_the_newest_two_are_kept(tmp_path: Path):
    model = make_model()
    for epochs in range(1, 5):
        save_checkpoint(tmp_path, model, after(epochs))
    names = [path.name for path in list_checkpoints(tmp_path)]
    assert names == ["epoch-00004.npz", "epoch-00003.npz"]


def test_one_within_an_epoch_is_newer_than_that_at_its_beginning(tmp_path: Path):
    model = make_model()
    for progress in (after(2), after(2, 10), after(2, 9)):
        save_checkpoint(tmp_path, model, progress)
    names = [path.name for path in list_checkpoints(tmp_path)]
    assert names == ["epoch-00002-step-00000010.npz", "epoch-00002-step-00000009.npz"]
    assert read_newest(tmp_path).progress.place == "epoch 3, step 10"
    newest = save_checkpoint(tmp_path, model, after(3))
    assert list_checkpoints(tmp_path)[0] == newest


def test_state_that_is_not_finite_is_not_kept(tmp_path: Path):
    model = make_model()
    kept = save_checkpoint(tmp_path, model, after(1))
    weights = model.get_weights()
    weights[0][0, 0] = np.inf
    model.set_weights(weights)
    with pytest.raises(
        DivergedError, match="hidden/kernel is no longer finite at the end of epoch 2"
    ):
        save_checkpoint(tmp_path, model, after(2))
    assert list_checkpoints(tmp_path) == [kept]


@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped", "text"])
def test_damaged_newest_checkpoint_falls_back_to_the_one_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
):
    model = make_model()
    train(model)
    save_checkpoint(tmp_path, model, after(1))
    before = weights_sha256(model)
    train(model)
    newest = save_checkpoint(tmp_path, model, after(2))
    content = bytearray(newest.read_bytes())
    match damage:
        case "truncated":
            content = content[: len(content) // 2]
        case "empty":
            content = b""
        case "flipped":
            # A stretch, because a single byte may be padding between the arrays.
            third = len(content) // 3
            content[third : third + 64] = bytes(byte ^ 0xFF for byte in content[third : third + 64])
        case "text":
            content = b"hello"
    newest.write_bytes(content)
    fresh = make_model()
    assert restore(tmp_path, fresh).history == after(1).history
    assert weights_sha256(fresh) == before
    assert "epoch-00002.npz: not a whole checkpoint" in capsys.readouterr().out


def test_no_whole_checkpoint_is_an_error(tmp_path: Path):
    save_checkpoint(tmp_path, make_model(), after(1)).write_bytes(b"")
    with pytest.raises(RunError, match="no checkpoint of this run is whole"):
        restore(tmp_path, make_model())


def test_checkpoint_of_another_model_is_refused_with_what_differs(tmp_path: Path):
    save_checkpoint(tmp_path, make_model(units=9), after(1))
    with pytest.raises(RunError, match=r"hidden/kernel is \(6, 8\), there \(6, 9\)"):
        restore(tmp_path, make_model())


def test_failed_write_leaves_the_older_checkpoint_and_no_rubbish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    model = make_model()
    kept = save_checkpoint(tmp_path, model, after(1)).read_bytes()

    def fail(*arguments: object, **arrays: object) -> None:
        Path(str(arguments[0])).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(Exception, match="space"):
        save_checkpoint(tmp_path, model, after(2))
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-00001.npz"]
    assert (tmp_path / "epoch-00001.npz").read_bytes() == kept


def test_best_state_outlives_later_checkpoints(tmp_path: Path):
    model = make_model()
    keep_best(save_checkpoint(tmp_path, model, after(1)))
    best = weights_sha256(model)
    for epochs in range(2, 5):
        train(model)
        save_checkpoint(tmp_path, model, after(epochs))
    assert weights_sha256(model) != best
    restore_best(tmp_path, model)
    assert weights_sha256(model) == best


def test_each_phase_keeps_its_own_best_epoch(tmp_path: Path):
    model = make_model()
    keep_best(save_checkpoint(tmp_path, model, after(1)), phase=1)
    first = weights_sha256(model)
    train(model)
    keep_best(save_checkpoint(tmp_path, model, after(2)), phase=2)
    shutil.copy(tmp_path / "best-2.npz", tmp_path / "best-3 copy.npz")
    assert read_best_epoch(tmp_path) == 2
    restore_best(tmp_path, model, phase=1)
    assert weights_sha256(model) == first
    drop_best(tmp_path, phase=2)
    assert read_best_epoch(tmp_path) == 1


@pytest.mark.parametrize(("epoch", "adopted"), [(1, 1), (2, None)])
def test_the_best_epoch_of_an_older_version_is_taken_over_if_it_is_the_best_one(
    tmp_path: Path, epoch, adopted
):
    model = make_model()
    keep_best(save_checkpoint(tmp_path, model, after(1)))
    (tmp_path / "best-1.npz").rename(tmp_path / "best.npz")
    adopt_best(tmp_path, 1, epoch)
    assert read_best_epoch(tmp_path) == adopted
