"""The networks are the articles': parameter counts to the digit, the same function in any form."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import load_experiment

from epochlab.errors import ConfigError
from epochlab.models.convnet import build_convnet
from epochlab.models.custom_dense import build_custom_dense
from epochlab.models.dense_layer import Dense
from epochlab.models.layers import layer_seed, scaling_layer
from epochlab.models.lenet import build_lenet
from epochlab.models.mlp import build_mlp

BUILDERS = {
    "mlp_mnist_tanh": build_mlp,
    "mlp_mnist_relu": build_mlp,
    "convnet_deep_head_mnist": build_convnet,
    "lenet_mnist": build_lenet,
    "convnet_mnist": build_convnet,
    "custom_dense_mnist": build_custom_dense,
    "mnist_recipe": build_convnet,
}
CATS_DOGS = ("cats_dogs_baseline", "cats_dogs_augmented")


def build(experiment: str, *overrides: str, shape: tuple[int, int, int] = (28, 28, 1)):
    config = load_experiment(experiment, *overrides)
    return BUILDERS[experiment](config.model, shape, 10, config.seed)


def random_pixels(count: int, shape: tuple[int, int, int] = (28, 28, 1)) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, *shape), dtype=np.uint8)


def layer_kinds(model: keras.Model) -> list[str]:
    return [type(layer).__name__ for layer in model.layers[1:]]  # after the input


@pytest.mark.parametrize(
    ("experiment", "parameters"),
    [
        ("mlp_mnist_tanh", 898_510),
        ("mlp_mnist_relu", 397_510),
        ("convnet_deep_head_mnist", 2_820_078),
        ("lenet_mnist", 1_256_080),
        ("convnet_mnist", 93_322),
        ("custom_dense_mnist", 407_050),
        # 9 (1 32 + 32 64 + 64 128 + 128 128 + 128 192 + 192 192 + 192 192) weights of convolutions
        # without bias, 4 for each of their 928 channels, (2 2 192 + 1) 10 of the classes.
        ("mnist_recipe", 1_124_640 + 4 * 928 + 7_690),
    ],
)
def test_shipped_config_has_the_tabled_parameter_count(experiment: str, parameters: int):
    assert build(experiment).count_params() == parameters


@pytest.mark.parametrize("experiment", CATS_DOGS)
def test_cats_dogs_networks_have_the_tabled_parameter_count(experiment: str):
    config = load_experiment(experiment)
    model = build_convnet(config.model, (150, 150, 3), 2, config.seed)
    assert model.count_params() == 3_453_121
    assert model.output_shape == (None, 1)
    assert ("flatten_dropout" in [layer.name for layer in model.layers]) == (
        experiment == "cats_dogs_augmented"
    )


def test_two_classes_have_one_sigmoid_and_three_a_softmax():
    config = load_experiment("cats_dogs_baseline")
    for num_classes, units, activation in ((2, 1, "sigmoid"), (3, 3, "softmax")):
        head = build_convnet(config.model, (150, 150, 3), num_classes, 1).layers[-1]
        assert (head.units, head.activation.__name__) == (units, activation)


def test_a_thousand_classes_build():
    config = load_experiment("cats_dogs_baseline")
    assert build_convnet(config.model, (64, 64, 3), 1_000, 1).output_shape == (None, 1_000)


def test_relu_mlp_has_activations_without_dense_layers_between():
    assert layer_kinds(build("mlp_mnist_relu")) == [
        "Rescaling", "Flatten", "Dense", "Dropout", "Activation", "Dropout", "Activation", "Dense",
    ]  # fmt: skip


def test_tanh_mlp_has_dropout_after_the_first_two_layers_only():
    assert layer_kinds(build("mlp_mnist_tanh")) == [
        "Rescaling", "Flatten", "Dense", "Dropout", "Dense", "Dropout", "Dense", "Dense",
    ]  # fmt: skip


def test_deep_head_has_two_convolutions_before_its_only_pooling():
    assert layer_kinds(build("convnet_deep_head_mnist")) == [
        "Rescaling", "Conv2D", "Conv2D", "MaxPooling2D", "Flatten",
        "Dense", "Dropout", "Dense", "Dropout", "Dense", "Dense",
    ]  # fmt: skip


def test_convnet_normalises_between_each_convolution_and_its_activation():
    small = ("model.filters=[4, 5]", "model.pooling=[false, true]", "model.dense_units=[]")
    changes = ("model.batch_norm=true", "model.padding=same", "model.dropout=[]")
    model = build("convnet_mnist", *small, *changes)
    assert [layer.name for layer in model.layers[1:]] == [
        "scaling", "conv1", "norm1", "activation1", "conv2", "norm2", "activation2", "pool2",
        "flatten", "predictions",
    ]  # fmt: skip
    assert model.get_layer("conv1").activation.__name__ == "linear"
    assert not model.get_layer("conv2").use_bias
    assert model.get_layer("conv2").output.shape == (None, 28, 28, 5)
    assert model.get_layer("norm1").momentum == 0.9


def test_convnet_without_normalisation_is_the_article_s():
    model = build("convnet_mnist")
    assert [layer.name for layer in model.layers[1:]] == [
        "scaling", "conv1", "pool1", "conv2", "pool2", "conv3", "flatten", "dense1", "predictions",
    ]  # fmt: skip
    kernel, bias = model.get_layer("conv1").get_weights()
    expected = keras.initializers.GlorotUniform(seed=layer_seed(1, "conv1"))((3, 3, 1, 32))
    np.testing.assert_array_equal(kernel, expected)
    assert not bias.any()
    assert model.get_layer("conv1").activation.__name__ == "relu"


def test_lenet_is_the_same_function_in_both_data_formats():
    last = build("lenet_mnist", "model.data_format=channels_last")
    first = build("lenet_mnist", "model.data_format=channels_first", "seed=2")
    first.set_weights(last.get_weights())
    pixels = random_pixels(32)
    difference = np.abs(last.predict_on_batch(pixels) - first.predict_on_batch(pixels)).max()
    assert difference < 1e-6


def test_lenet_channels_first_works_on_images_that_are_not_square():
    shape = (20, 28, 3)
    last = build("lenet_mnist", shape=shape)
    first = build("lenet_mnist", "model.data_format=channels_first", shape=shape)
    pixels = random_pixels(8, shape)
    np.testing.assert_allclose(
        first.predict_on_batch(pixels), last.predict_on_batch(pixels), atol=1e-6
    )


def test_weights_depend_on_the_seed_and_on_nothing_else():
    first = build("lenet_mnist").get_weights()
    keras.utils.set_random_seed(99)
    build("mlp_mnist_relu")
    again = build("lenet_mnist").get_weights()
    other = build("lenet_mnist", "seed=2").get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        ("raw", [0.0, 127.0, 255.0]),
        ("unit", [0.0, 127 / 255, 1.0]),
        ("per256", [0.0, 127 / 256, 255 / 256]),
        ("centred", [-1.0, 0.0, 128 / 127]),
    ],
)
def test_scaling(scaling, expected: list[float]):
    scaled = scaling_layer(scaling)(np.array([[0, 127, 255]], np.uint8))
    np.testing.assert_allclose(scaled, [expected], atol=1e-6)


@pytest.mark.parametrize(
    ("experiment", "layer"), [("lenet_mnist", "pool2"), ("convnet_mnist", "conv3")]
)
def test_image_that_is_too_small_is_refused_with_the_layer_and_its_input(experiment, layer):
    shape = (3, 3, 1) if experiment == "lenet_mnist" else (10, 10, 1)
    with pytest.raises(ConfigError, match=rf"layer {layer} .*its input has shape \(\d, \d, \d+\)"):
        build(experiment, shape=shape)


@pytest.fixture
def twin_layers() -> tuple[Dense, keras.layers.Dense]:
    """Our layer and Keras's, with the same weights."""
    own, reference = Dense(7, "tanh"), keras.layers.Dense(7, "tanh")
    own.build((None, 5))
    reference.build((None, 5))
    generator = np.random.default_rng(1)
    reference.set_weights([generator.normal(size=(5, 7)), generator.normal(size=7)])
    own.set_weights(reference.get_weights())
    return own, reference


@pytest.mark.parametrize("shape", [(4, 5), (4, 3, 5)])
def test_own_dense_layer_has_the_values_and_gradients_of_keras(twin_layers, shape):
    inputs = tf.constant(np.random.default_rng(2).normal(size=shape), tf.float32)
    results = []
    for layer in twin_layers:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs)
            total = tf.reduce_sum(outputs**2)
        results.append([outputs, *tape.gradient(total, [inputs, layer.kernel, layer.bias])])
    for own, reference in zip(*results, strict=True):
        np.testing.assert_allclose(own, reference, atol=1e-6, rtol=1e-6)


def test_own_dense_layer_survives_h5(tmp_path: Path):
    model = build("custom_dense_mnist")
    pixels = random_pixels(4)
    model.save(tmp_path / "model.h5")
    loaded = keras.models.load_model(tmp_path / "model.h5", compile=False)
    assert type(loaded.layers[-1]) is Dense
    np.testing.assert_array_equal(loaded.predict_on_batch(pixels), model.predict_on_batch(pixels))


def test_own_dense_layer_refuses_no_units():
    with pytest.raises(ValueError, match="units=0"):
        Dense(0)


def test_custom_dense_ends_in_logits():
    outputs = build("custom_dense_mnist").predict_on_batch(random_pixels(16))
    assert not np.allclose(outputs.sum(axis=1), 1, atol=0.1)
