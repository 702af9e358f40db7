"""Small networks like Xception: counted by hand, blocks that add, explained as others."""

import itertools

import keras
import numpy as np
import pytest
from conftest import load_experiment

from epochlab.errors import ConfigError
from epochlab.explain.layers import find_last_convolution, list_places
from epochlab.explain.plans import Request, make_plan
from epochlab.models.small_xception import SmallXceptionConfig, build_small_xception

SMALL = SmallXceptionConfig(
    scaling="unit", stem_filters=4, stem_kernel_size=3, stem_stride=1, filters=(4, 6),
    dropout=0.3, activation="relu",
)  # fmt: skip
SHAPE = (12, 12, 1)


def small(**changes: object) -> keras.Model:
    return build_small_xception(SMALL.model_copy(update=changes), SHAPE, 4, 1)


def pixels(count: int = 5) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, *SHAPE), dtype=np.uint8)


def count_block(before: int, filters: int) -> int:
    first = 4 * before + 9 * before + before * filters
    second = 4 * filters + 9 * filters + filters * filters
    return first + second + before * filters


def test_small_network_has_the_parameters_that_are_counted_by_hand():
    model = small()
    blocks = count_block(4, 4) + count_block(4, 6)
    assert model.count_params() == 9 * 1 * 4 + blocks + 4 * 6 + (6 * 4 + 4)
    moving = 2 * (4 + 4 + 4 + 6 + 6)
    trainable = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert trainable == model.count_params() - moving


def test_shipped_recipe_has_the_parameters_that_are_counted_by_hand():
    config = load_experiment("cats_dogs_recipe")
    model = build_small_xception(config.model, (*config.data.image_size, 3), 2, config.seed)
    sizes = (32, 32, 64, 128, 256, 512)
    blocks = sum(count_block(*pair) for pair in itertools.pairwise(sizes))
    assert model.count_params() == 25 * 3 * 32 + blocks + 4 * 512 + 513 == 723_905
    assert model.output_shape == (None, 1)


def test_layers_are_named_by_block():
    names = {layer.name for layer in small().layers[1:]}
    parts = {
        *(f"{part}_{kind}" for part in "12" for kind in ("norm", "activation", "conv")),
        "pool", "shortcut_pool", "shortcut_conv", "sum",
    }  # fmt: skip
    assert names == {
        "scaling", "stem_conv", "end_norm", "end_activation", "mean", "dropout", "predictions",
        *(f"{block}_{part}" for block in ("block1", "block2") for part in parts),
    }  # fmt: skip


def test_a_block_is_its_convolutions_pooled_and_its_input_averaged():
    model = small()
    names = ["stem_conv", "block1_2_conv", "block1_sum"]
    outputs = [model.get_layer(name).output for name in names]
    before, convolved, summed = keras.Model(model.inputs, outputs).predict_on_batch(pixels())
    quarters = before.reshape(5, 6, 2, 6, 2, 4).mean((2, 4))
    kernel = np.asarray(model.get_layer("block1_shortcut_conv").kernel)[0, 0]
    padded = np.pad(convolved, ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=-np.inf)
    pooled = np.stack(
        [padded[:, row : row + 11 : 2, column : column + 11 : 2] for row in range(3)
         for column in range(3)]
    ).max(0)  # fmt: skip
    np.testing.assert_allclose(summed, quarters @ kernel + pooled, rtol=1e-4, atol=1e-5)


def test_a_channel_is_looked_at_alone_before_all_are_mixed():
    layer = small().get_layer("block1_1_conv")
    changed = np.zeros((1, 6, 6, 4), np.float32)
    changed[..., 2] = 1
    mixed = np.asarray(layer(changed))
    depthwise, pointwise = (np.asarray(weight) for weight in layer.get_weights())
    inside = depthwise[:, :, 2, 0].sum() * pointwise[0, 0, 2]
    np.testing.assert_allclose(mixed[0, 2, 2], inside, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("size", "sizes"), [(12, (12, 6, 3)), (13, (13, 7, 4)), (3, (3, 2, 1))])
def test_each_block_halves_height_and_width(size, sizes):
    model = build_small_xception(SMALL, (size, size, 1), 4, 1)
    names = ("stem_conv", "block1_sum", "block2_sum")
    assert tuple(model.get_layer(name).output.shape[1] for name in names) == sizes


def test_first_convolution_takes_the_stride_asked_for():
    model = small(stem_stride=2)
    assert model.get_layer("stem_conv").output.shape[1:3] == (6, 6)


@pytest.mark.parametrize("filters", [(4, 6), (16, 20)])
def test_gradients_of_any_number_of_filters_can_be_had(filters):
    model = small(filters=filters)
    model.compile("sgd", "sparse_categorical_crossentropy")
    before = model.get_weights()
    model.train_on_batch(pixels(), np.zeros(5))
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    assert any(not np.array_equal(*pair) for pair in zip(before, model.get_weights(), strict=True))


def test_a_stride_that_passes_over_pixels_is_refused():
    with pytest.raises(ConfigError, match="pixels between would never be seen"):
        load_experiment("cats_dogs_recipe", "model.stem_stride=6")


def test_no_blocks_are_refused():
    with pytest.raises(ConfigError, match=r"model.filters"):
        load_experiment("cats_dogs_recipe", "model.filters=[]")


def test_weights_depend_on_the_seed_and_on_nothing_else():
    first, again = small().get_weights(), small().get_weights()
    other = build_small_xception(SMALL, SHAPE, 4, 2).get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    depthwise, pointwise = small(filters=(4, 4)).get_layer("block1_1_conv").get_weights()
    assert not np.array_equal(depthwise.ravel()[:16], pointwise.ravel())
    # Not even up to their scales, as numbers of one seed would be.
    assert not np.array_equal(np.sign(depthwise).ravel()[:16], np.sign(pointwise).ravel())


def test_grad_cam_looks_at_the_end_of_the_last_block():
    places = [place for place in list_places(small()) if place.has_maps]
    assert find_last_convolution(places).name == "end_activation"


def test_filters_of_a_1x1_convolution_are_shown_only_where_all_are_such():
    request = Request()
    places = make_plan(request, list_places(small()), "abcd").filter_places
    assert [place.name for place in places] == ["stem_conv", "block2_1_conv"]
    narrow = keras.Sequential(
        [keras.Input(SHAPE), keras.layers.Conv2D(2, 1, name="first"), keras.layers.Conv2D(2, 1)]
    )
    assert make_plan(request, list_places(narrow), "ab").filter_places[0].name == "first"
