"""Batch normalization by one kernel against Keras's own operations."""

import hashlib
from pathlib import Path

import keras
import numpy as np
import pytest

from epochlab.fused_normalization import fuse_normalization

BATCHES, IMAGES = 6, 8


def build() -> keras.Model:
    """Returns a convolution, its normalization and a head."""
    pixels = keras.Input((6, 5, 3))
    kernel = keras.initializers.GlorotUniform(seed=1)
    outputs = keras.layers.Conv2D(4, 3, use_bias=False, kernel_initializer=kernel)(pixels)
    outputs = keras.layers.BatchNormalization(momentum=0.8, epsilon=0.01, name="norm")(outputs)
    outputs = keras.layers.Activation("relu")(outputs)
    outputs = keras.layers.GlobalAveragePooling2D()(outputs)
    head = keras.layers.Dense(
        1, dtype="float32", kernel_initializer=keras.initializers.GlorotUniform(seed=2)
    )
    return keras.Model(pixels, head(outputs))


def examples() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    x = generator.normal(3, 2, (BATCHES * IMAGES, 6, 5, 3)).astype(np.float32)
    return x, generator.normal(size=(len(x), 1)).astype(np.float32)


def train(*, fused: bool, trainable: bool = True) -> tuple[keras.Model, list[np.ndarray]]:
    """Returns a model after some steps, and its variables."""
    model = build()
    model.get_layer("norm").trainable = trainable
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    if fused:
        fuse_normalization(model)
        assert "call" in vars(model.get_layer("norm"))
    x, y = examples()
    model.fit(x, y, batch_size=IMAGES, shuffle=False, verbose=0)
    return model, [keras.ops.convert_to_numpy(variable) for variable in model.variables]


@pytest.fixture
def in_bfloat16():
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("trainable", [True, False], ids=["trained", "frozen"])
def test_training_is_keras_own(trainable: bool):
    (_, ours), (_, theirs) = (train(fused=which, trainable=trainable) for which in (True, False))
    assert len(ours) == len(theirs) == 7  # kernels, gamma, beta, running mean and variance, bias
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(our, their, rtol=2e-5, atol=1e-6)


@pytest.mark.usefixtures("in_bfloat16")
def test_training_in_bfloat16_is_keras_own_but_for_rounding():
    (_, ours), (_, theirs) = train(fused=True), train(fused=False)
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(our, their, atol=0.02, rtol=0.02)


def test_predictions_are_keras_own_to_the_bit(tmp_path: Path):
    model, _ = train(fused=True)
    x, _ = examples()
    predictions = model.predict(x, verbose=0)
    model.save(tmp_path / "model.h5")
    loaded = keras.models.load_model(tmp_path / "model.h5", compile=False)
    assert "call" not in vars(loaded.get_layer("norm"))
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), predictions)


def test_steps_repeat_to_the_bit():
    hashes = {
        hashlib.sha256(b"".join(part.tobytes() for part in train(fused=True)[1])).hexdigest()
        for _ in range(3)
    }
    assert len(hashes) == 1


def test_fusing_twice_changes_nothing():
    model, _ = train(fused=True)
    call = model.get_layer("norm").call
    fuse_normalization(model)
    assert model.get_layer("norm").call is call


@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((6,), {}),
        ((5, 6), {}),
        ((4, 5, 6), {"axis": 1}),
        ((4, 5, 6), {"scale": False}),
        ((4, 5, 6), {"center": False}),
        ((4, 5, 6), {"renorm": True}),
    ],
    ids=["features", "sequence", "channels first", "no scale", "no offset", "renorm"],
)
def test_other_layers_stay_as_they_are(shape: tuple[int, ...], settings: dict):
    layer = keras.layers.BatchNormalization(**settings)
    model = keras.Sequential([keras.Input(shape), layer])
    fuse_normalization(model)
    assert "call" not in vars(layer)
