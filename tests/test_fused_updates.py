"""Updates by one kernel against Keras's own, for each optimizer and setting that a config has."""

import hashlib

import keras
import numpy as np
import pytest

from epochlab.fused_updates import fuse_updates
from epochlab.optimizers import AdamWConfig, build_optimizer

OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.01, beta_1=0.8, beta_2=0.95, epsilon=1e-3),
    "adamw": lambda: keras.optimizers.AdamW(0.01, beta_1=0.8, beta_2=0.95, epsilon=1e-3),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.01, rho=0.8, epsilon=1e-3),
    "rmsprop with momentum": lambda: keras.optimizers.RMSprop(0.01, rho=0.8, momentum=0.7),
    "sgd": lambda: keras.optimizers.SGD(0.1),
    "sgd with momentum": lambda: keras.optimizers.SGD(0.1, momentum=0.9),
    "nesterov": lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "decaying rate": lambda: keras.optimizers.SGD(
        keras.optimizers.schedules.InverseTimeDecay(0.1, 1, 0.5), momentum=0.9
    ),
}


def train(optimizer: keras.Optimizer, *, fused: bool, steps: int = 12) -> list[np.ndarray]:
    """Returns all that the optimizer has changed after some steps of a small regression."""
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(steps * 8, 5)), generator.normal(size=(steps * 8, 3))
    layers = [
        keras.layers.Dense(units, kernel_initializer=keras.initializers.GlorotUniform(seed=units))
        for units in (7, 3)
    ]
    model = keras.Sequential([keras.Input((5,)), *layers])
    model.compile(optimizer, "mse", steps_per_execution=4, jit_compile=False)
    optimizer.build(model.trainable_variables)
    if fused:
        fuse_updates(optimizer)
        assert "update_step" in vars(optimizer)
    model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    variables = (*model.variables, *optimizer.variables)
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_update_is_keras_own(name: str):
    build = OPTIMIZERS[name]
    for ours, theirs in zip(train(build(), fused=True), train(build(), fused=False), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=1e-7)


def test_weight_decay_leaves_biases_and_normalizations_alone():
    model = keras.Sequential(
        [keras.Input((4, 4, 2)), keras.layers.Conv2D(3, 3), keras.layers.BatchNormalization()]
    )
    model.set_weights([weights + 1 for weights in model.get_weights()])
    rates = {"learning_rate": 0.1, "weight_decay": 0.5, "beta_1": 0.9, "beta_2": 0.9}
    optimizer = build_optimizer(AdamWConfig(name="adamw", epsilon=1e-7, **rates))
    optimizer.build(model.trainable_variables)
    fuse_updates(optimizer)
    before = [keras.ops.convert_to_numpy(variable) for variable in model.trainable_variables]
    optimizer.apply([keras.ops.zeros_like(variable) for variable in model.trainable_variables])
    for variable, earlier in zip(model.trainable_variables, before, strict=True):
        factor = 0.95 if variable.name == "kernel" else 1.0
        np.testing.assert_allclose(variable, earlier * factor, rtol=1e-6)
    names = [variable.name for variable in model.trainable_variables]
    assert names == ["kernel", "bias", "gamma", "beta"]


def test_steps_repeat_to_the_bit():
    results = [
        hashlib.sha256(b"".join(part.tobytes() for part in train(build(), fused=True))).hexdigest()
        for build in [OPTIMIZERS["adam"]] * 3
    ]
    assert len(set(results)) == 1


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: keras.optimizers.Adam(amsgrad=True),
        lambda: keras.optimizers.RMSprop(centered=True),
        lambda: keras.optimizers.Adagrad(),
    ],
)
def test_an_optimizer_that_no_kernel_knows_stays_as_it_is(optimizer):
    built = optimizer()
    fuse_updates(built)
    assert "update_step" not in vars(built)


def test_the_optimizer_is_saved_as_keras_own():
    optimizer = OPTIMIZERS["adam"]()
    train(optimizer, fused=True, steps=1)
    saved = keras.optimizers.serialize(optimizer)
    assert (saved["module"], saved["class_name"]) == ("keras.optimizers", "Adam")
