"""The loss that is trained on: smoothed as the article says, plain to the bit without smoothing."""

import json
import math
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from conftest import load_experiment

from epochlab.data.images import ImageData
from epochlab.data.mnist import MnistConfig, load_mnist
from epochlab.losses import build_loss
from epochlab.models.convnet import build_convnet
from epochlab.results import save_model
from epochlab.training import compile_classifier

PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.25, 0.25, 0.5]], np.float32)
LABELS = np.array([0, 1])


def test_smoothed_loss_of_integer_labels_is_the_article_s():
    def smoothed(label: int, probabilities: np.ndarray) -> float:
        logs = [-math.log(float(probability)) for probability in probabilities]
        return 0.9 * logs[label] + 0.1 * sum(logs) / 3

    expected = (smoothed(0, PROBABILITIES[0]) + smoothed(1, PROBABILITIES[1])) / 2
    loss = build_loss(3, from_logits=False, label_smoothing=0.1)
    assert float(loss(LABELS, PROBABILITIES)) == pytest.approx(expected, rel=1e-6)
    assert expected == pytest.approx(0.9132434, rel=1e-6)
    logits = build_loss(3, from_logits=True, label_smoothing=0.1)
    shifted = np.log(PROBABILITIES) + 5
    assert float(logits(LABELS, shifted)) == pytest.approx(expected, rel=1e-5)


def test_smoothed_loss_of_a_sigmoid_is_between_both_labels():
    loss = build_loss(1, from_logits=False, label_smoothing=0.2)
    expected = -(0.9 * math.log(0.8) + 0.1 * math.log(0.2))
    assert float(loss(np.array([[1]]), np.array([[0.8]]))) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("num_outputs", [1, 3])
def test_without_smoothing_the_loss_is_keras_s_own_to_the_bit(num_outputs):
    plain = build_loss(num_outputs, from_logits=False, label_smoothing=0.0)
    if num_outputs == 1:
        own, outputs = keras.losses.BinaryCrossentropy(), PROBABILITIES[:, :1]
    else:
        own, outputs = keras.losses.SparseCategoricalCrossentropy(), PROBABILITIES
    assert type(plain) is type(own)
    assert getattr(plain, "fn", None) is getattr(own, "fn", None)
    assert float(plain(LABELS, outputs)) == float(own(LABELS, outputs))


@pytest.fixture
def data(digits: Path) -> ImageData:
    return load_mnist(
        MnistConfig(path=str(digits), limit=None, validation_fraction=0.3, augment=None)
    )


def compiled(data: ImageData, num_classes: int, *changes: str) -> keras.Model:
    small = ("model.filters=[4]", "model.pooling=[true]", "model.dense_units=[8]", *changes)
    config = load_experiment("convnet_mnist", *small)
    model = build_convnet(config.model, data.image_shape, num_classes, 1)
    compile_classifier(model, data, config.training)
    return model


@pytest.mark.parametrize(
    ("num_classes", "saved"), [(4, "SparseCategoricalCrossentropy"), (2, "BinaryCrossentropy")]
)
def test_a_smoothed_model_is_saved_so_that_plain_keras_loads_it(data, tmp_path, num_classes, saved):
    settings = ("training.label_smoothing=0.1", "training.schedule=cosine")
    model = compiled(data, num_classes, *settings)
    images, labels = data.train.images[:32], data.train.labels[:32] % num_classes
    model.train_on_batch(images, labels)
    save_model(tmp_path / "model.h5", model, images)
    loaded = keras.models.load_model(tmp_path / "model.h5")
    assert type(loaded.loss).__name__ == saved
    assert type(loaded.loss).__module__.startswith("keras.")
    assert "cosine" in type(loaded.optimizer._learning_rate).__name__.lower()
    loss, accuracy = loaded.test_on_batch(images, labels)
    assert np.isfinite(loss)
    assert 0 <= accuracy <= 1


def test_fit_trains_on_the_smoothed_loss(data):
    images, labels = data.train.images, data.train.labels
    model = compiled(data, 4, "training.label_smoothing=0.3")
    probabilities = np.asarray(model.predict_on_batch(images), np.float64)
    logs = -np.log(probabilities)
    expected = (0.7 * logs[np.arange(len(labels)), labels] + 0.3 * logs.mean(axis=1)).mean()
    loss, accuracy = model.evaluate(images, labels, verbose=0)
    assert loss == pytest.approx(expected, rel=1e-4)
    assert accuracy == pytest.approx((probabilities.argmax(axis=1) == labels).mean())


def test_without_smoothing_the_file_tells_what_it_always_told(data, tmp_path):
    save_model(tmp_path / "model.h5", compiled(data, 4), data.test.images[:8])
    with h5py.File(tmp_path / "model.h5") as opened:
        told = json.loads(str(opened.attrs["training_config"]))
    assert told["loss"]["class_name"] == "SparseCategoricalCrossentropy"
    assert told["loss"]["config"]["from_logits"] is False
