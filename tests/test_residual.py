"""Residual networks: counted by hand, shortcuts where they belong, explained as others."""

import keras
import numpy as np
import pytest
from conftest import load_experiment

from epochlab.errors import ConfigError
from epochlab.explain.layers import find_last_convolution, list_places
from epochlab.models.residual import ResidualConfig, build_residual

SMALL = ResidualConfig(
    scaling="unit", stem_filters=4, stem_kernel_size=3, stem_stride=1, stem_pooling=False,
    filters=(4, 6), blocks=(1, 2), strides=(1, 2), dropout=0.3, activation="relu",
)  # fmt: skip
SHAPE = (12, 12, 1)


def small(**changes: object) -> keras.Model:
    return build_residual(SMALL.model_copy(update=changes), SHAPE, 4, 1)


def pixels(count: int = 5) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, *SHAPE), dtype=np.uint8)


def test_small_network_has_the_parameters_that_are_counted_by_hand():
    stem = 9 * 1 * 4 + 4 * 4
    stage1 = 2 * (9 * 4 * 4 + 4 * 4)
    shortcut = 4 * 6 + 4 * 6
    stage2 = (9 * 4 * 6 + 4 * 6) + 3 * (9 * 6 * 6 + 4 * 6) + shortcut
    head = 6 * 4 + 4
    model = small()
    assert model.count_params() == stem + stage1 + stage2 + head
    moving = 2 * (4 + 2 * 4 + 5 * 6)
    trainable = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert trainable == model.count_params() - moving


def test_shipped_recipe_has_the_parameters_that_are_counted_by_hand():
    config = load_experiment("cats_dogs_recipe")
    model = build_residual(config.model, (*config.data.image_size, 3), 2, config.seed)
    convolutions = (
        25 * 3 * 32
        + 2 * 9 * 32 * 32
        + 9 * 32 * 64 + 9 * 64 * 64 + 32 * 64
        + 9 * 64 * 128 + 9 * 128 * 128 + 64 * 128
        + 9 * 128 * 256 + 9 * 256 * 256 + 128 * 256
        + 9 * 256 * 256 + 9 * 256 * 256 + 256 * 256
    )  # fmt: skip
    normalised = 32 + 2 * 32 + 3 * 64 + 3 * 128 + 6 * 256
    assert model.count_params() == convolutions + 4 * normalised + 257 == 2_479_329
    assert model.output_shape == (None, 1)


def test_layers_are_named_by_stage_and_block():
    names = {layer.name for layer in small(blocks=(1, 1), stem_pooling=True).layers[1:]}
    block = {"1_conv", "1_norm", "1_activation", "2_conv", "2_norm", "sum", "activation"}
    assert names == {
        "scaling", "stem_conv", "stem_norm", "stem_activation", "stem_pool", "mean", "dropout",
        "predictions", "stage2_block1_shortcut_conv", "stage2_block1_shortcut_norm",
        "stage2_block1_shortcut_pool",
        *(f"{place}_{name}" for place in ("stage1_block1", "stage2_block1") for name in block),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "places"),
    [
        ({}, ["stage2_block1"]),
        ({"filters": (4, 4), "strides": (1, 1)}, []),
        ({"strides": (2, 1)}, ["stage1_block1", "stage2_block1"]),
        ({"filters": (4, 4)}, ["stage2_block1"]),
    ],
)
def test_a_shortcut_has_weights_only_where_the_shape_changes(changes, places):
    kernels = [layer for layer in small(**changes).layers if "shortcut_conv" in layer.name]
    assert [layer.name.removesuffix("_shortcut_conv") for layer in kernels] == places
    assert all(layer.kernel_size == (1, 1) and not layer.use_bias for layer in kernels)


def test_a_block_that_adds_nothing_hands_its_input_on():
    model = small(blocks=(1, 2))
    norm = model.get_layer("stage2_block2_2_norm")
    norm.gamma.assign(np.zeros(6))
    ends = [model.get_layer(f"stage2_block{block}_activation").output for block in (1, 2)]
    before, after = keras.Model(model.inputs, ends).predict_on_batch(pixels())
    assert before.max() > 0
    np.testing.assert_array_equal(before, after)


def test_first_convolution_and_first_blocks_take_the_strides_asked_for():
    model = small(stem_stride=2, stem_pooling=True, strides=(1, 3))
    sizes = [
        model.get_layer(name).output.shape[1:3]
        for name in ("stem_conv", "stem_pool", "stage1_block1_sum", "stage2_block2_sum")
    ]
    assert sizes == [(6, 6), (3, 3), (3, 3), (1, 1)]


@pytest.mark.parametrize("filters", [(4, 6), (16, 20)])
def test_gradients_of_any_number_of_filters_can_be_had(filters):
    model = small(filters=filters, strides=(2, 2))
    model.compile("sgd", "sparse_categorical_crossentropy")
    before = model.get_weights()
    model.train_on_batch(pixels(), np.zeros(5))
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    assert any(not np.array_equal(*pair) for pair in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("change", ["stem_stride=6", "strides=[1, 2, 2, 2, 4]"])
def test_a_stride_that_passes_over_pixels_is_refused(change):
    with pytest.raises(ConfigError, match="pixels between would never be seen"):
        load_experiment("cats_dogs_recipe", f"model.{change}")


def test_weights_depend_on_the_seed_and_on_nothing_else():
    first, again = small().get_weights(), small().get_weights()
    other = build_residual(SMALL, SHAPE, 4, 2).get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("name", ["blocks", "strides"])
def test_a_stage_too_few_is_refused(name):
    with pytest.raises(ConfigError, match=rf"{name} has 1 entries, filters has 5"):
        load_experiment("cats_dogs_recipe", f"model.{name}=[1]")


def test_grad_cam_looks_at_the_end_of_the_last_block():
    places = [place for place in list_places(small()) if place.has_maps]
    assert find_last_convolution(places).name == "stage2_block2_activation"
