"""Transfer networks: the tabled parameter counts, parts that share layers, freezing, cutting."""

import subprocess
import sys
from pathlib import Path
from typing import get_args

import keras
import numpy as np
import pytest
from pydantic import ValidationError

from epochlab.config import Section, load_config
from epochlab.errors import ConfigError, EnvironmentFault
from epochlab.models import backbones
from epochlab.models.backbone_layers import BackboneName, layer_names
from epochlab.models.freezing import last_frozen_layer, set_trainable, split_at
from epochlab.models.front import build_front
from epochlab.models.transfer import TransferConfig, TransferModel, build_transfer_model

BACKBONES = get_args(BackboneName)
COLOUR, GREY = (32, 32, 3), (28, 28, 1)


def make_config(**changes) -> TransferConfig:
    values = {
        "backbone": "vgg16",
        "weights": "none",
        "output_layer": "block5_pool",
        "image_size": None,
        "scaling": "unit",
        "dense_units": (8,),
        "dropout": (0.5,),
        "activation": "relu",
    }
    return TransferConfig(**(values | changes))


def build(shape=COLOUR, num_classes: int = 2, seed: int = 1, **changes) -> TransferModel:
    return build_transfer_model(make_config(**changes), shape, num_classes, seed)


def build_resnet(**changes) -> TransferModel:
    return build(backbone="resnet50", output_layer="conv3_block2_out", **changes)


def random_pixels(count: int = 4, shape: tuple[int, ...] = COLOUR) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, *shape), dtype=np.uint8)


def trainable_count(model: keras.Model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def train_a_step(model: keras.Model, inputs: np.ndarray) -> None:
    model.compile(keras.optimizers.SGD(0.1), "binary_crossentropy")
    model.train_on_batch(inputs, np.arange(len(inputs))[:, None] % 2)


@pytest.fixture(scope="module")
def vgg() -> TransferModel:
    return build()


def test_cats_dogs_network_has_the_tabled_parameters():
    parts = build((150, 150, 3), dense_units=(256,), dropout=(0.0,))
    set_trainable(parts, "head")
    assert parts.whole.count_params() == 16_812_353
    assert trainable_count(parts.whole) == 2_097_665
    assert parts.extractor.output_shape == (None, 4, 4, 512)
    assert parts.whole.output_shape == (None, 1)


def test_digit_network_has_the_tabled_parameters():
    parts = build(
        GREY, 10, image_size=(48, 48), scaling="per256", dense_units=(500, 500), dropout=(0.0, 0.5)
    )
    assert parts.whole.count_params() == 15_226_698
    assert [layer.name for layer in parts.head.layers] == [
        "features", "flatten", "fc1", "fc2", "dropout2", "predictions",
    ]  # fmt: skip


@pytest.mark.parametrize("backbone", BACKBONES)
def test_backbone_scaling_is_kerass_own_preprocessing(backbone: BackboneName):
    config = make_config(
        backbone=backbone, output_layer=layer_names(backbone)[0], scaling="backbone"
    )
    front = build_front(config, (80, 90, 3))
    pixels = random_pixels(4, (80, 90, 3))
    expected = getattr(keras.applications, backbone).preprocess_input(pixels.astype(np.float32))
    np.testing.assert_allclose(front.predict_on_batch(pixels), expected, atol=2e-7)
    assert not front.weights


@pytest.mark.parametrize("backbone", ["vgg16", "mobilenet"])
def test_backbone_scaling_of_grey_images_is_that_of_their_rgb_copies(backbone: BackboneName):
    config = make_config(
        backbone=backbone, output_layer=layer_names(backbone)[0], scaling="backbone"
    )
    pixels = random_pixels(2, (40, 40, 1))
    rgb = np.repeat(pixels, 3, axis=-1).astype(np.float32)
    expected = getattr(keras.applications, backbone).preprocess_input(rgb)
    found = build_front(config, (40, 40, 1)).predict_on_batch(pixels)
    np.testing.assert_allclose(found, expected, atol=2e-7)


@pytest.mark.parametrize(
    ("scaling", "scale", "offset"),
    [("raw", 1, 0), ("unit", 1 / 255, 0), ("per256", 1 / 256, 0), ("centred", 1 / 127, -1)],
)
def test_pixels_are_resized_bilinearly_then_scaled(scaling, scale: float, offset: float):
    front = build_front(make_config(image_size=(48, 40), scaling=scaling), GREY)
    pixels = random_pixels(2, GREY)
    resized = keras.ops.image.resize(pixels.astype(np.float32), (48, 40), "bilinear")
    expected = np.repeat(np.asarray(resized), 3, axis=-1) * scale + offset
    np.testing.assert_allclose(front.predict_on_batch(pixels), expected, rtol=1e-6, atol=1e-6)


def test_images_that_have_the_size_already_are_not_resized():
    front = build_front(make_config(image_size=(32, 32)), COLOUR)
    assert [layer.name for layer in front.layers] == ["pixels", "scaling"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"output_layer": "block6_pool"}, "no layer 'block6_pool'; did you mean block5_pool"),
        ({"output_layer": "zzz"}, r"no layer 'zzz'\. List all with: python -c"),
        ({"image_size": (48, 31)}, "vgg16 takes images of at least 32 x 32 pixels, not 48 x 31"),
        ({"dropout": ()}, "dropout has 0 entries, dense_units has 1"),
        ({"backbone": "vgg"}, "backbone"),
        ({"weights": ""}, "weights"),
    ],
)
def test_mistake_in_the_section_is_refused(changes: dict, message: str):
    with pytest.raises(ValidationError, match=message):
        make_config(**changes)


def test_unknown_output_layer_is_a_config_error_without_loading_tensorflow(tmp_path: Path):
    values = make_config().model_dump() | {"output_layer": "block5_poll"}
    lines = [f"  {key}: {list(v) if isinstance(v, tuple) else v}" for key, v in values.items()]
    path = tmp_path / "experiment.yaml"
    path.write_text("\n".join(["model:", *lines]).replace("None", "null"))
    program = (
        "import sys, pathlib\n"
        "from epochlab.config import Section, load_config\n"
        "from epochlab.errors import ConfigError\n"
        "from epochlab.models.transfer import TransferConfig\n"
        "class Experiment(Section):\n"
        "    model: TransferConfig\n"
        "try:\n"
        "    load_config(Experiment, pathlib.Path(sys.argv[1]), [])\n"
        "except ConfigError as error:\n"
        "    print(error, {'tensorflow', 'keras'} & set(sys.modules))\n"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, check=True
    ).stdout
    assert "experiment.yaml" in printed and "did you mean block5_pool" in printed
    assert "set()" in printed


def test_section_survives_yaml(tmp_path: Path):
    class Experiment(Section):
        model: TransferConfig

    path = tmp_path / "experiment.yaml"
    path.write_text(
        "model:\n  backbone: vgg16\n  weights: none\n  output_layer: block4_pool\n"
        "  image_size: [48, 48]\n  scaling: backbone\n  dense_units: [500]\n  dropout: [0.5]\n"
        "  activation: relu\n"
    )
    model = load_config(Experiment, path, ["model.image_size=null"]).config.model
    assert (model.weights, model.image_size, model.dropout) == ("none", None, (0.5,))


@pytest.mark.parametrize(("backbone", "least"), [("vgg16", 32), ("xception", 71)])
def test_small_images_are_refused_before_the_weights_are_looked_at(backbone, least: int):
    output_layer = layer_names(backbone)[-1]
    with pytest.raises(ConfigError, match=rf"at least {least} x {least} pixels, not 28 x 28"):
        build(GREY, backbone=backbone, output_layer=output_layer, weights="missing.h5")


def test_images_with_four_channels_are_refused():
    with pytest.raises(ConfigError, match="these have 4"):
        build((32, 32, 4))


def test_channels_first_keras_is_refused():
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(EnvironmentFault, match="channels_last"):
            build()
    finally:
        keras.config.set_image_data_format("channels_last")


@pytest.mark.slow
@pytest.mark.parametrize("backbone", BACKBONES)
def test_layer_names_and_smallest_sizes_are_kerass(backbone: BackboneName):
    side = backbones.BACKBONES[backbone].smallest_side
    keras.layers.Conv2D(1, 1)  # Keras goes on counting
    network = backbones._whole_network(backbone, (side, side, 3))
    lasting = set(backbones.lasting_names(network).values()) - {"input_layer"}
    assert set(layer_names(backbone)) == lasting
    assert len(layer_names(backbone)) == len(network.layers) - 1
    with pytest.raises(ValueError, match=f"at least {side}x{side}"):
        backbones._whole_network(backbone, (side - 1, side, 3))


def test_random_weights_depend_on_the_seed_and_on_nothing_else():
    first = build(backbone="mobilenet", output_layer="conv_pw_3_relu")
    keras.utils.set_random_seed(99)
    keras.layers.Conv2D(1, 1)
    again = build(backbone="mobilenet", output_layer="conv_pw_3_relu")
    other = build(backbone="mobilenet", output_layer="conv_pw_3_relu", seed=2)
    assert first.backbone_sha256 == again.backbone_sha256 != other.backbone_sha256
    for one, two in zip(first.whole.weights, again.whole.weights, strict=True):
        assert one.path == two.path
        np.testing.assert_array_equal(one, two)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["xception", "inception_v3"])
def test_layers_that_keras_numbers_have_lasting_names_and_weights(backbone: BackboneName):
    changes = {"backbone": backbone, "output_layer": layer_names(backbone)[0]}
    changes["output_layer"] = {"xception": "add_1", "inception_v3": "mixed1"}[backbone]
    first = build((80, 80, 3), **changes)
    keras.layers.Conv2D(1, 1)
    again = build((80, 80, 3), **changes)
    assert first.backbone_sha256 == again.backbone_sha256
    assert "conv2d" in [layer.name for layer in again.backbone.layers]
    kernels = [weight for weight in first.backbone.weights if "kernel" in weight.name]
    assert len({float(np.ravel(kernel)[0]) for kernel in kernels}) == len(kernels)


def test_features_come_from_the_output_layer():
    parts = build((64, 64, 3), output_layer="block4_pool")
    assert parts.backbone.output_shape == (None, 4, 4, 512)
    assert parts.backbone.layers[-1].name == "block4_pool"
    assert parts.backbone.name == "vgg16"
    assert parts.backbone in parts.whole.layers


def test_parts_share_their_layers(vgg: TransferModel):
    pixels = random_pixels()
    before = vgg.whole.predict_on_batch(pixels)
    features = vgg.extractor.predict_on_batch(pixels)
    np.testing.assert_allclose(vgg.head.predict_on_batch(features), before, atol=1e-6)
    set_trainable(vgg, "head")
    train_a_step(vgg.head, features)
    after = vgg.whole.predict_on_batch(pixels)
    assert np.abs(after - before).max() > 1e-5
    np.testing.assert_allclose(vgg.head.predict_on_batch(features), after, atol=1e-6)
    np.testing.assert_array_equal(vgg.extractor.predict_on_batch(pixels), features)


@pytest.mark.parametrize(
    ("trainable", "backbone_layers", "head_layers"),
    [
        ("head", [], ["fc1", "predictions"]),
        ({"from": "block5_conv2"}, ["block5_conv2", "block5_conv3"], ["fc1", "predictions"]),
        ({"from": "block5_pool"}, [], ["fc1", "predictions"]),
        (["predictions"], [], ["predictions"]),
        (["head", "block1_conv1"], ["block1_conv1"], ["fc1", "predictions"]),
        (["block2_conv1"], ["block2_conv1"], []),
    ],
)
def test_set_trainable_says_what_trains(
    vgg: TransferModel, trainable, backbone_layers: list[str], head_layers: list[str]
):
    set_trainable(vgg, trainable)
    paths = [weight.path for weight in vgg.whole.trainable_weights]
    names = list(dict.fromkeys(path.split("/")[0] for path in paths))
    assert names == backbone_layers + head_layers
    assert len(paths) == 2 * len(names)


def test_freezing_can_be_taken_back(vgg: TransferModel):
    set_trainable(vgg, "head")
    set_trainable(vgg, {"from": "block1_conv1"})
    assert trainable_count(vgg.whole) == vgg.whole.count_params()


@pytest.mark.parametrize(
    ("trainable", "message"),
    [
        ({"from": "block5_conv4"}, "no layer 'block5_conv4'; did you mean block5_conv3"),
        (["fc1", "block5_conv9"], "no layer 'block5_conv9'; did you mean"),
        (["fc3"], "no layer 'fc3'; did you mean fc1"),
        (["block5_pool"], "block5_pool trains nothing"),
        ([], "nothing would train"),
        ("haed", "'haed' says nothing that can be trained"),
        ({"until": "block5_conv1"}, "says nothing that can be trained"),
    ],
)
def test_choice_that_cannot_train_is_refused(vgg: TransferModel, trainable, message: str):
    for function in (set_trainable, last_frozen_layer):
        with pytest.raises(ConfigError, match=message):
            function(vgg, trainable)


@pytest.mark.parametrize(
    ("trainable", "expected"),
    [
        ("head", "block5_pool"),
        ({"from": "block5_conv1"}, "block4_pool"),
        ({"from": "block4_conv3"}, "block4_conv2"),
        (["block2_conv2", "head"], "block2_conv1"),
        ({"from": "block1_conv1"}, None),
    ],
)
def test_last_frozen_layer_of_a_chain(vgg: TransferModel, trainable, expected: str | None):
    assert last_frozen_layer(vgg, trainable) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trainable", "expected"),
    [
        ("head", "conv3_block2_out"),
        ({"from": "conv3_block1_1_conv"}, "conv2_block3_out"),
        ({"from": "conv3_block1_3_conv"}, "conv2_block3_out"),
        ({"from": "conv2_block1_1_conv"}, "pool1_pool"),
        (["conv3_block2_2_conv"], "conv3_block1_out"),
    ],
)
def test_last_frozen_layer_lies_before_the_branches(trainable, expected: str):
    assert last_frozen_layer(build_resnet(), trainable) == expected


@pytest.mark.parametrize("layer", ["block4_pool", "block1_conv1", "block5_conv3", "block5_pool"])
def test_two_halves_of_vgg_are_the_whole_also_after_training(layer: str):
    _check_halves(build(scaling="backbone"), layer, {"from": "block5_conv1"})


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["conv2_block3_out", "pool1_pool", "conv2_block2_add"])
def test_two_halves_of_resnet_are_the_whole_also_after_training(layer: str):
    _check_halves(build_resnet(), layer, {"from": "conv3_block1_1_conv"})


def _check_halves(parts: TransferModel, layer: str, trainable) -> None:
    set_trainable(parts, trainable)
    pixels = random_pixels()
    bottom, top = split_at(parts, layer)
    before = parts.whole.predict_on_batch(pixels)
    assert np.ptp(before) > 1e-4
    features = bottom.predict_on_batch(pixels)
    np.testing.assert_allclose(top.predict_on_batch(features), before, atol=1e-5)
    train_a_step(top, features)
    after = parts.whole.predict_on_batch(pixels)
    assert np.abs(after - before).max() > 1e-5
    np.testing.assert_allclose(
        top.predict_on_batch(bottom.predict_on_batch(pixels)), after, atol=1e-5
    )


@pytest.mark.slow
def test_training_the_upper_half_is_training_the_whole():
    results = []
    for halves in (False, True):
        parts = build(dropout=(0.0,), scaling="backbone")
        set_trainable(parts, {"from": "block5_conv1"})
        inputs, model = random_pixels(), parts.whole
        if halves:
            bottom, model = split_at(parts, "block4_pool")
            inputs = bottom.predict_on_batch(inputs)
        for _ in range(3):
            train_a_step(model, inputs)
        results.append(parts.whole.predict_on_batch(random_pixels()))
    assert np.ptp(results[0]) > 1e-3
    np.testing.assert_allclose(results[0], results[1], atol=1e-5)


def test_cut_at_a_layer_that_does_not_exist_is_refused(vgg: TransferModel):
    with pytest.raises(ConfigError, match="no layer 'block4_poll'; did you mean block4_pool"):
        split_at(vgg, "block4_poll")


@pytest.mark.slow
def test_cut_beside_a_skip_connection_is_refused():
    message = "paths go around it; the last one before it is conv2_block1_out"
    with pytest.raises(ConfigError, match=message):
        split_at(build_resnet(), "conv2_block2_1_relu")


@pytest.mark.slow
def test_batch_normalization_stays_in_inference_mode_when_it_is_unfrozen():
    parts = build_resnet()
    set_trainable(parts, {"from": "conv2_block1_1_conv"})
    normalizations = [
        layer
        for layer in parts.backbone.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert not any(layer.trainable for layer in normalizations)
    before = [layer.get_weights() for layer in normalizations]
    kernel = parts.backbone.get_layer("conv3_block1_1_conv").get_weights()[0]
    train_a_step(parts.whole, random_pixels())
    for layer, weights in zip(normalizations, before, strict=True):
        for one, two in zip(layer.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(one, two)
    assert np.any(parts.backbone.get_layer("conv3_block1_1_conv").get_weights()[0] != kernel)
    with pytest.raises(ConfigError, match="conv1_bn trains nothing"):
        set_trainable(parts, ["conv1_bn"])


@pytest.mark.parametrize("scaling", ["raw", "unit", "per256", "centred", "backbone"])
@pytest.mark.parametrize("shape", [COLOUR, GREY])
def test_whole_network_survives_h5(tmp_path: Path, scaling: str, shape: tuple[int, int, int]):
    parts = build(shape, 3, scaling=scaling, image_size=(32, 32), output_layer="block3_pool")
    _check_h5(parts, shape, tmp_path / "model.h5")


@pytest.mark.parametrize("trainable", ["head", {"from": "block5_conv1"}, ["block2_conv1"]])
def test_partly_frozen_network_survives_h5(tmp_path: Path, trainable):
    parts = build(scaling="backbone")
    set_trainable(parts, trainable)
    split_at(parts, "block4_pool")
    loaded = _check_h5(parts, COLOUR, tmp_path / "model.h5")
    assert trainable_count(loaded) == trainable_count(parts.whole)


@pytest.mark.slow
def test_partly_frozen_resnet_survives_h5(tmp_path: Path):
    parts = build_resnet()
    set_trainable(parts, {"from": "conv3_block1_1_conv"})
    split_at(parts, "conv2_block3_out")
    _check_h5(parts, COLOUR, tmp_path / "model.h5")


def _check_h5(parts: TransferModel, shape: tuple[int, int, int], path: Path) -> keras.Model:
    pixels = random_pixels(4, shape)
    parts.whole.save(path)
    loaded = keras.models.load_model(path, compile=False)
    expected = parts.whole.predict_on_batch(pixels)
    assert np.ptp(expected, axis=0).max() > 1e-4
    np.testing.assert_allclose(loaded.predict_on_batch(pixels), expected, atol=1e-6)
    return loaded


@pytest.mark.slow
def test_h5_loads_in_plain_keras(tmp_path: Path):
    parts = build(GREY, image_size=(32, 32), scaling="backbone")
    pixels = random_pixels(4, GREY)
    parts.whole.save(tmp_path / "model.h5")
    np.save(tmp_path / "pixels.npy", pixels)
    program = (
        "import sys, keras, numpy as np\n"
        "model = keras.models.load_model('model.h5')\n"
        "np.save('found.npy', model.predict(np.load('pixels.npy'), verbose=0))\n"
        "assert 'epochlab' not in sys.modules\n"
    )
    subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, check=True, capture_output=True, timeout=200
    )
    expected = parts.whole.predict_on_batch(pixels)
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), expected, atol=1e-6)


def test_mixed_precision_ends_in_float32():
    pixels = random_pixels()
    single = build(scaling="backbone", output_layer="block3_pool")
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = build(scaling="backbone", output_layer="block3_pool")
        bottom, top = split_at(mixed, "block2_pool")
    finally:
        keras.config.set_dtype_policy("float32")
    assert mixed.backbone_sha256 == single.backbone_sha256
    # The preprocessing loses nothing.
    np.testing.assert_array_equal(
        mixed.front.predict_on_batch(pixels), single.front.predict_on_batch(pixels)
    )
    features = mixed.extractor.predict_on_batch(pixels)
    assert features.dtype.name == "bfloat16"
    for predicted in (
        mixed.whole.predict_on_batch(pixels),
        mixed.head.predict_on_batch(features),
        top.predict_on_batch(bottom.predict_on_batch(pixels)),
    ):
        assert predicted.dtype == np.float32
        np.testing.assert_allclose(predicted, single.whole.predict_on_batch(pixels), atol=0.05)
