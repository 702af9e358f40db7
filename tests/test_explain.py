"""Explanations of small models with random weights, against computations of another kind."""

from collections.abc import Sequence

import keras
import numpy as np
import pytest

from epochlab.errors import ConfigError
from epochlab.explain import (
    Place,
    compute_activations,
    compute_gradcam,
    compute_saliency,
    draw_channels,
    excite_filters,
    find_last_convolution,
    find_place,
    integrate_gradients,
    list_places,
    measure_sparsity,
    place_map,
    stretch_pattern,
)
from epochlab.explain.replay import replay
from epochlab.models.lenet import LeNetConfig, build_lenet
from epochlab.models.transfer import TransferConfig, TransferModel, build_transfer_model

layers = keras.layers
SHAPE = (12, 10, 3)


def random_images(count: int, shape: Sequence[int] = SHAPE, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def make_layers(outputs: int = 3, activation: str | None = "softmax") -> list[layers.Layer]:
    """The layers of a small convnet in float64, with weights that are never saturated."""

    def initializer(seed: int) -> keras.initializers.Initializer:
        return keras.initializers.RandomNormal(stddev=0.3, seed=seed)

    return [
        layers.Rescaling(1 / 255, name="scaling", dtype="float64"),
        layers.Conv2D(
            5, 3, activation="relu", kernel_initializer=initializer(1), name="conv1",
            dtype="float64",
        ),
        layers.MaxPooling2D(2, name="pool1", dtype="float64"),
        layers.Conv2D(
            6, 3, activation="relu", padding="same", kernel_initializer=initializer(2),
            bias_initializer=initializer(5), name="conv2", dtype="float64",
        ),
        layers.Flatten(name="flatten", dtype="float64"),
        layers.Dense(
            8, activation="tanh", kernel_initializer=initializer(3), name="dense", dtype="float64"
        ),
        layers.Dense(
            outputs, activation=activation, kernel_initializer=initializer(4), name="predictions",
            dtype="float64",
        ),
    ]  # fmt: skip


def call_layer(name: str, layer, *inputs, **options):
    return layer(*inputs, **options)


def chain(chained: Sequence[layers.Layer], inputs: keras.KerasTensor) -> keras.KerasTensor:
    for layer in chained:
        inputs = layer(inputs)
    return inputs


def plain_model(outputs: int = 3, activation: str | None = "softmax") -> keras.Model:
    pixels = keras.Input(SHAPE, dtype="float64")
    return keras.Model(pixels, chain(make_layers(outputs, activation), pixels), name="plain")


def nested_model(outputs: int = 3, activation: str | None = "softmax") -> keras.Model:
    """The same layers: the scaling, a model in a model, and a sequential head."""
    made = make_layers(outputs, activation)
    inner_input = keras.Input(SHAPE, dtype="float64")
    inner = keras.Model(inner_input, chain(made[1:3], inner_input), name="inner")
    outer_input = keras.Input(SHAPE, dtype="float64")
    outer = keras.Model(outer_input, made[3](inner(outer_input)), name="outer")
    head = keras.Sequential(made[4:], name="head")
    pixels = keras.Input(SHAPE, dtype="float64")
    return keras.Model(pixels, head(outer(made[0](pixels))), name="nested")


def sequential_model(outputs: int = 3, activation: str | None = "softmax") -> keras.Model:
    return keras.Sequential(
        [keras.Input(SHAPE, dtype="float64"), *make_layers(outputs, activation)]
    )


FORMS = {"plain": plain_model, "nested": nested_model, "sequential": sequential_model}


def tail_of(model: keras.Model) -> keras.Model:
    """What comes after `conv2`, built anew by Keras: its maps in, logits out."""
    head = make_layers(model.output_shape[-1], None)[4:]
    maps = keras.Input((5, 4, 6), dtype="float64")
    tail = keras.Model(maps, chain(head, maps))
    tail.set_weights([weight.numpy() for weight in model.weights[-4:]])
    return tail


def logits_of(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Log-probabilities and logits differ by what is the same for all classes."""
    found = compute_activations(model, images, [find_place(list_places(model), "conv2")])
    return np.asarray(tail_of(model)(next(iter(found.values()))))


def numerical_gradients(model: keras.Model, maps: np.ndarray, label: int) -> np.ndarray:
    """Central differences of one logit with respect to each value of `conv2`'s maps."""
    tail, width = tail_of(model), 1e-5
    steps = width * np.eye(maps.size).reshape(-1, *maps.shape)
    up, down = (np.asarray(tail(maps + sign * steps))[:, label] for sign in (1, -1))
    return ((up - down) / (2 * width)).reshape(maps.shape)


def maps_of(model: keras.Model, image: np.ndarray) -> np.ndarray:
    place = find_place(list_places(model), "conv2")
    return compute_activations(model, image[None], [place])[place.name][0].astype(np.float64)


@pytest.mark.parametrize("form", FORMS)
def test_gradcam_agrees_with_numerical_differences(form: str):
    model, images, labels = FORMS[form](), random_images(3), (0, 1, 2)
    expected = []
    for image, label in zip(images, labels, strict=True):
        maps = maps_of(model, image)
        slopes = numerical_gradients(model, maps, label)
        expected.append(np.maximum((maps * slopes.mean(axis=(0, 1))).sum(axis=-1), 0))
    assert np.max(expected) > 0.01
    found = compute_gradcam(model, images, labels)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_gradcam_plus_plus_agrees_with_the_papers_sums(form: str):
    model, images = FORMS[form](), random_images(1)
    maps = maps_of(model, images[0])
    slopes = numerical_gradients(model, maps, 1)
    expected = np.zeros(maps.shape[:2])
    for k in range(maps.shape[-1]):
        weight = 0.0
        for row, column in np.ndindex(*maps.shape[:2]):
            slope = slopes[row, column, k]
            below = 2 * slope**2 + maps[..., k].sum() * slope**3
            weight += (slope**2 / below if below else 0) * max(slope, 0)
        expected += weight * maps[..., k]
    found = compute_gradcam(model, images, [1], method="gradcam++")
    np.testing.assert_allclose(found[0], np.maximum(expected, 0), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("method", ["gradcam", "gradcam++"])
def test_nested_and_flattened_give_the_same_map(method):
    images = random_images(4)
    nested = compute_gradcam(nested_model(), images, [0, 1, 2, 0], method=method)
    plain = compute_gradcam(plain_model(), images, [0, 1, 2, 0], method=method)
    assert nested.max() > 0.01
    assert np.abs(nested - plain).max() <= 1e-5


@pytest.fixture(scope="module")
def transfer() -> TransferModel:
    config = TransferConfig(
        backbone="vgg16",
        weights="none",
        output_layer="block2_pool",
        image_size=(32, 32),
        scaling="backbone",
        dense_units=(16,),
        dropout=(0.5,),
        activation="relu",
    )
    return build_transfer_model(config, (40, 32, 3), 2, seed=1)


def flattened(transfer: TransferModel) -> keras.Model:
    """The same network with the backbone's layers and no model inside, weights copied."""
    shape = (32, 32, 3)
    base = keras.applications.VGG16(weights=None, include_top=False, input_shape=shape)
    front = keras.models.clone_model(transfer.front)
    joined = chain(base.layers[1:7], front.output)
    for layer in base.layers[1:7]:
        layer.set_weights(transfer.backbone.get_layer(layer.name).get_weights())
    head = keras.models.clone_model(transfer.head)
    head.set_weights(transfer.head.get_weights())
    return keras.Model(front.input, chain(head.layers[1:], joined))


def test_a_backbone_inside_a_model_is_explained_as_if_its_layers_stood_there(transfer):
    images, flat = random_images(2, (40, 32, 3)), flattened(transfer)
    assert not any(isinstance(layer, keras.Model) for layer in flat.layers)
    for label in (0, 1):
        nested, plain = (
            compute_gradcam(model, images, [label] * 2) for model in (transfer.whole, flat)
        )
        scale = max(nested.max(), plain.max(), 1e-30)
        assert np.abs(nested - plain).max() <= 1e-5 * scale
    pixels = [compute_saliency(model, images, [1, 1]) for model in (transfer.whole, flat)]
    assert np.abs(pixels[0] - pixels[1]).max() <= 1e-5 * pixels[0].max()


def test_the_last_convolution_is_found_inside_a_backbone(transfer):
    places = list_places(transfer.whole)
    assert find_last_convolution(places).name == "vgg16/block2_conv2"
    kinds = [place.kind for place in places if place.name.startswith("vgg16/")]
    assert (kinds.count("convolution"), kinds.count("pooling")) == (4, 2)


def test_a_replay_gives_what_the_model_gives(transfer):
    images = random_images(3, (40, 32, 3))
    replayed = replay(transfer.whole, images, call_layer)
    np.testing.assert_array_equal(replayed, transfer.whole(images))


def test_explaining_leaves_the_model_as_it_was(transfer):
    nodes = [len(layer._inbound_nodes) for layer in transfer.backbone.layers]
    before = transfer.whole.get_config()
    compute_gradcam(transfer.whole, random_images(1, (40, 32, 3)), [0])
    assert [len(layer._inbound_nodes) for layer in transfer.backbone.layers] == nodes
    assert transfer.whole.get_config() == before


def test_a_single_sigmoid_speaks_for_class_1_and_against_class_0():
    model, images = nested_model(1, "sigmoid"), random_images(1)
    maps = maps_of(model, images[0])
    slopes = numerical_gradients(model, maps, 0)
    for label, sign in ((0, -1), (1, 1)):
        expected = np.maximum((sign * maps * slopes.mean(axis=(0, 1))).sum(axis=-1), 0)
        found = compute_gradcam(model, images, [label])[0]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    one, other = (integrate_gradients(model, images, [label]) for label in (0, 1))
    np.testing.assert_allclose(one.attributions, -other.attributions, atol=1e-6)


def test_the_score_still_has_a_gradient_where_the_probability_has_none():
    model = plain_model(1, "sigmoid")
    *others, bias = model.get_weights()
    model.set_weights([*others, bias + 100])
    assert model(random_images(1)).numpy() == 1
    assert compute_saliency(model, random_images(1), [1]).max() > 1e-5
    assert compute_saliency(model, random_images(1), [1], target="probability").max() < 1e-30


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("target", ["score", "probability"])
def test_saliency_agrees_with_numerical_differences(form: str, target):
    model, image = FORMS[form](), random_images(1)[0].astype(np.float64)

    def value(images: np.ndarray) -> np.ndarray:
        outputs = model(images) if target == "probability" else logits_of(model, images)
        return np.asarray(outputs)[:, 1]

    width = 1e-2
    steps = width * np.eye(image.size).reshape(-1, *SHAPE)
    up, down = (value(image + sign * steps) for sign in (1, -1))
    expected = np.abs((up - down) / (2 * width)).reshape(SHAPE)
    found = compute_saliency(model, image[None], [1], target=target)[0]
    np.testing.assert_allclose(found, expected.max(axis=-1), rtol=2e-2, atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_integrated_gradients_are_complete(form: str):
    model, images = FORMS[form](), random_images(3)
    result = integrate_gradients(model, images, [0, 1, 2], tolerance=0.01)
    black = np.zeros_like(images)
    for position, label in enumerate((0, 1, 2)):
        difference = (logits_of(model, images) - logits_of(model, black))[position, label]
        assert result.difference[position] == pytest.approx(difference, rel=1e-5)
        total = result.attributions[position].sum()
        assert abs(total - difference) <= 0.01 * abs(difference)
        assert result.error[position] <= 0.01


def test_integrated_gradients_of_a_linear_model_are_weight_times_pixel():
    pixels = keras.Input(SHAPE)
    dense = layers.Dense(2, use_bias=False)
    model = keras.Model(pixels, dense(layers.Flatten()(pixels)))
    image = random_images(1)
    expected = dense.kernel.numpy()[:, 1].reshape(SHAPE) * image[0]
    result = integrate_gradients(model, image, [1])
    np.testing.assert_allclose(result.attributions[0], expected, rtol=1e-4)
    assert result.steps[0] == 32


def test_integrated_gradients_are_complete_through_resizing_and_a_backbone(transfer):
    result = integrate_gradients(transfer.whole, random_images(1, (40, 32, 3)), [1])
    assert result.attributions.shape == (1, 40, 32, 3)
    assert result.error[0] <= 0.01


def lenet(data_format: str) -> keras.Model:
    config = LeNetConfig(
        scaling="unit", filters=(4, 6), kernel_size=3, dense_units=8, activation="relu",
        data_format=data_format,
    )  # fmt: skip
    return build_lenet(config, (12, 12, 1), 4, seed=1)


def test_channels_first_is_explained_as_channels_last():
    images = random_images(2, (12, 12, 1))
    first, last = lenet("channels_first"), lenet("channels_last")
    first.set_weights(last.get_weights())
    for name in ("conv1", "pool1", "conv2", "pool2"):
        np.testing.assert_allclose(
            compute_activations(first, images)[name],
            compute_activations(last, images)[name],
            atol=1e-5,
        )
    maps = [compute_gradcam(model, images, [1, 2]) for model in (first, last)]
    np.testing.assert_allclose(maps[0], maps[1], atol=1e-5)
    patterns = [
        excite_filters(model, find_place(list_places(model), "conv2"), [1, 5], steps=3)
        for model in (first, last)
    ]
    np.testing.assert_allclose(patterns[0].after, patterns[1].after, rtol=1e-3)


def test_activations_are_those_of_a_model_that_ends_there():
    pixels = keras.Input(SHAPE, dtype="float64")
    made = make_layers()
    model = keras.Model(pixels, chain(made, pixels))
    images = random_images(2)
    found = compute_activations(model, images)
    assert list(found) == ["conv1", "pool1", "conv2"]
    for name in found:
        expected = keras.Model(pixels, model.get_layer(name).output)(images)
        np.testing.assert_allclose(found[name], expected, rtol=1e-6)


def test_dead_channels_and_zeros_are_counted():
    maps = np.zeros((2, 2, 4), np.float32)
    maps[..., 1] = 3
    maps[0, 0, 2] = 1
    maps[..., 3] = [[1, 2], [3, 0]]
    sparsity = measure_sparsity(maps)
    assert (sparsity.channels, sparsity.dead) == (4, 2)
    assert sparsity.zeros == (4 + 0 + 3 + 1) / 16


def test_channels_are_drawn_as_the_article_does():
    maps = np.random.default_rng(0).normal(5, 2, (4, 3, 20)).astype(np.float32)
    maps[..., 17] = 5
    sheet = draw_channels(maps)
    assert sheet.shape == (2 * 5 - 1, 16 * 4 - 1)
    channel = maps[..., 18].astype(np.float64)
    expected = np.clip((channel - channel.mean()) / channel.std() * 64 + 128, 0, 255)
    np.testing.assert_array_equal(sheet[5:9, 8:11], expected.astype(np.uint8))
    assert (sheet[5:9, 4:7] == 0).all() and (sheet[4] == 255).all()


def test_gradient_ascent_excites_each_filter_by_its_own_image(transfer):
    place = find_place(list_places(transfer.whole), "block1_conv2")
    result = excite_filters(transfer.whole, place, range(6), size=(24, 20), steps=10, batch_size=4)
    assert result.images.shape == (6, 24, 20, 3)
    assert (result.after > result.before).all()


def test_filters_agree_with_a_model_that_ends_at_the_layer():
    model = plain_model()
    place = find_place(list_places(model), "conv2")
    result = excite_filters(model, place, steps=5)
    images = result.images.astype(np.float64)
    ending = keras.Model(model.input, model.get_layer("conv2").output)
    means = np.asarray(ending(images))[np.arange(6), :, :, np.arange(6)].mean(axis=(1, 2))
    np.testing.assert_allclose(result.after, means, rtol=1e-5)


def test_a_filter_that_noise_leaves_silent_is_excited_all_the_same():
    model = plain_model()
    kernel, bias = model.get_layer("conv2").get_weights()
    model.get_layer("conv2").set_weights([kernel, bias - 1.2])
    result = excite_filters(model, find_place(list_places(model), "conv2"), step_size=5)
    silent = result.before == 0
    assert silent.any()
    assert (result.after[silent] > 0).any()


def test_regularised_patterns_are_smoother():
    model = plain_model()
    place = find_place(list_places(model), "conv1")
    roughness = [
        np.abs(np.diff(excite_filters(model, place, steps=20, regularise=regular).images, axis=1))
        .mean()
        for regular in (False, True)
    ]  # fmt: skip
    assert roughness[1] < 0.7 * roughness[0]


def test_a_pattern_is_stretched_to_mean_128_and_deviation_25():
    pattern = stretch_pattern(np.random.default_rng(0).normal(900, 7, (40, 40, 3)))
    assert pattern.mean() == pytest.approx(127, abs=1)
    assert pattern.std() == pytest.approx(25.5, abs=1)


def test_a_layer_that_is_called_twice_counts_with_its_last_call():
    pixels = keras.Input((8, 8, 2))
    shared = layers.Conv2D(2, 3, padding="same", name="shared")
    first = shared(pixels)
    second = shared(layers.AveragePooling2D(2)(first))
    flat = layers.Flatten()(second)
    model = keras.Model(pixels, layers.Dense(3, activation="softmax", name="out")(flat))
    images = random_images(1, (8, 8, 2))
    place = find_place(list_places(model), "shared")
    assert place.map_shape == (4, 4, 2)
    np.testing.assert_allclose(
        compute_activations(model, images, [place])["shared"],
        keras.Model(pixels, second)(images),
        rtol=1e-5,
    )
    assert compute_gradcam(model, images, [1]).shape == (1, 4, 4)


def test_one_model_inside_another_twice_is_explained_too():
    inner_input = keras.Input((8, 8, 2))
    inner = keras.Sequential([inner_input, layers.Conv2D(2, 3, padding="same", name="conv")])
    pixels = keras.Input((8, 8, 2))
    flat = layers.Flatten()(inner(inner(pixels)))
    model = keras.Model(pixels, layers.Dense(2)(flat))
    images = random_images(1, (8, 8, 2))
    replayed = replay(model, images, call_layer)
    np.testing.assert_array_equal(replayed, model(images))
    assert find_last_convolution(list_places(model)).own_name == "conv"


@pytest.mark.parametrize(
    ("backbone", "last", "side"),
    [
        ("resnet50", "conv5_block3_out", 75),
        ("inception_v3", "mixed10", 150),
        ("mobilenet", "conv_pw_13_relu", 96),
        ("xception", "block14_sepconv2_act", 75),
    ],
)
@pytest.mark.slow
def test_what_finishes_the_last_convolution_is_taken(backbone, last: str, side: int):
    config = TransferConfig(
        backbone=backbone,
        weights="none",
        output_layer=last,
        image_size=None,
        scaling="backbone",
        dense_units=(4,),
        dropout=(0.0,),
        activation="relu",
    )
    model = build_transfer_model(config, (side, side, 3), 2, seed=1).whole
    assert find_last_convolution(list_places(model)).own_name == last
    assert compute_gradcam(model, random_images(1, (side, side, 3)), [1]).shape == (1, 3, 3)


def test_mixed_precision_is_explained():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = lenet("channels_last")
    finally:
        keras.config.set_dtype_policy(policy)
    full = lenet("channels_last")
    full.set_weights(model.get_weights())
    images = random_images(2, (12, 12, 1))
    found, expected = (compute_gradcam(each, images, [0, 1]) for each in (model, full))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=0.05 * expected.max())
    place = find_place(list_places(model), "conv1")
    assert np.isfinite(excite_filters(model, place, steps=2).after).all()
    assert integrate_gradients(model, images, [0, 1]).attributions.shape == (2, 12, 12, 1)


def test_a_model_without_convolutions_has_saliency_and_integrated_gradients():
    pixels = keras.Input((6, 6, 1))
    model = keras.Model(pixels, layers.Dense(3, activation="softmax")(layers.Flatten()(pixels)))
    images = random_images(1, (6, 6, 1))
    assert compute_saliency(model, images, [0]).shape == (1, 6, 6)
    assert integrate_gradients(model, images, [0]).error[0] < 0.01
    with pytest.raises(ConfigError, match=r"no convolution.*saliency and integrated gradients"):
        compute_gradcam(model, images, [0])


def test_unknown_and_ambiguous_layers_are_named(transfer):
    places = list_places(transfer.whole)
    with pytest.raises(ConfigError, match="did you mean block2_conv2"):
        find_place(places, "block2_conv9")
    with pytest.raises(
        ConfigError, match=r"there is none; the model has resizing, .*, predictions"
    ):
        find_place(places, "zzz")
    twins = [Place(f"{side}/conv", None, "convolution", (2, 2, 1), False) for side in "ab"]
    with pytest.raises(ConfigError, match="means a/conv, b/conv"):
        find_place(twins, "conv")
    assert find_place(twins, "b/conv") is twins[1]


def test_a_model_of_a_class_of_its_own_is_refused():
    class Own(keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(ConfigError, match="functional or a sequential"):
        list_places(Own())


def test_a_map_is_placed_on_the_part_of_the_photograph_that_the_model_saw():
    values = np.ones((3, 3), np.float32)
    cropped = place_map(values, (100, 200), image_size=(50, 50), aspect="crop")
    assert cropped[:, 50:150].min() == 1 and cropped[:, :50].max() == 0
    assert cropped[:, 150:].max() == 0
    ramp = np.repeat(np.arange(4.0)[:, None], 4, axis=1)
    padded = place_map(ramp, (10, 20), image_size=(40, 40), aspect="pad")
    assert padded.shape == (10, 20)
    assert padded.min() > 0.4 and padded.max() < 2.6
    stretched = place_map(ramp, (8, 2))
    assert stretched[0, 0] == 0 and stretched[-1, -1] == 3
