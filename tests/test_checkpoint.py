"""A checkpoint puts back everything that the next epoch depends on, or says why it cannot."""

from pathlib import Path

import keras
import numpy as np
import pytest

from epochlab.checkpoint import (
    keep_best,
    list_checkpoints,
    restore_best,
    restore_checkpoint,
    save_checkpoint,
)
from epochlab.errors import RunError
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


def history(epochs: int) -> list[Epoch]:
    return [Epoch(n, 1.0 / n, 0.5, None, None, 0.001, 0.1) for n in range(1, epochs + 1)]


def test_training_goes_on_as_if_it_had_never_stopped(tmp_path: Path):
    straight = make_model()
    first_weights = straight.get_weights()
    train(straight, 2)
    save_checkpoint(tmp_path, straight, history(2))
    train(straight, 2)

    resumed = make_model()
    assert not all(
        np.array_equal(a, b) for a, b in zip(resumed.get_weights(), first_weights, strict=True)
    )
    assert restore_checkpoint(tmp_path, resumed) == history(2)
    train(resumed, 2)
    assert weights_sha256(resumed) == weights_sha256(straight)


def test_no_checkpoint_means_no_epochs(tmp_path: Path):
    assert restore_checkpoint(tmp_path / "checkpoints", make_model()) == []


def test_the_newest_two_are_kept(tmp_path: Path):
    model = make_model()
    for epochs in range(1, 5):
        save_checkpoint(tmp_path, model, history(epochs))
    names = [path.name for path in list_checkpoints(tmp_path)]
    assert names == ["epoch-00004.npz", "epoch-00003.npz"]


@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped", "text"])
def test_damaged_newest_checkpoint_falls_back_to_the_one_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
):
    model = make_model()
    train(model)
    save_checkpoint(tmp_path, model, history(1))
    before = weights_sha256(model)
    train(model)
    newest = save_checkpoint(tmp_path, model, history(2))
    content = bytearray(newest.read_bytes())
    match damage:
        case "truncated":
            content = content[: len(content) // 2]
        case "empty":
            content = b""
        case "flipped":
            content[len(content) // 3] ^= 0xFF
        case "text":
            content = b"hello"
    newest.write_bytes(content)
    fresh = make_model()
    assert restore_checkpoint(tmp_path, fresh) == history(1)
    assert weights_sha256(fresh) == before
    assert "epoch-00002.npz: not a whole checkpoint" in capsys.readouterr().out


def test_no_whole_checkpoint_is_an_error(tmp_path: Path):
    save_checkpoint(tmp_path, make_model(), history(1)).write_bytes(b"")
    with pytest.raises(RunError, match="no checkpoint of this run is whole"):
        restore_checkpoint(tmp_path, make_model())


def test_checkpoint_of_another_model_is_refused_with_what_differs(tmp_path: Path):
    save_checkpoint(tmp_path, make_model(units=9), history(1))
    with pytest.raises(RunError, match=r"hidden/kernel is \(6, 8\), there \(6, 9\)"):
        restore_checkpoint(tmp_path, make_model())


def test_failed_write_leaves_the_older_checkpoint_and_no_rubbish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    model = make_model()
    kept = save_checkpoint(tmp_path, model, history(1)).read_bytes()

    def fail(*arguments: object, **arrays: object) -> None:
        Path(str(arguments[0])).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(Exception, match="space"):
        save_checkpoint(tmp_path, model, history(2))
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-00001.npz"]
    assert (tmp_path / "epoch-00001.npz").read_bytes() == kept


def test_best_state_outlives_later_checkpoints(tmp_path: Path):
    model = make_model()
    keep_best(save_checkpoint(tmp_path, model, history(1)))
    best = weights_sha256(model)
    for epochs in range(2, 5):
        train(model)
        save_checkpoint(tmp_path, model, history(epochs))
    assert weights_sha256(model) != best
    restore_best(tmp_path, model)
    assert weights_sha256(model) == best
