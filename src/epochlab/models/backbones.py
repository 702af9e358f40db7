"""The networks of `keras.applications` without their classifiers, as layers of our own models."""

from collections import defaultdict
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from epochlab.errors import ConfigError, EnvironmentFault
from epochlab.lazy_import import lazy_import
from epochlab.models.backbone_layers import BackboneName, split_number
from epochlab.models.backbone_weights import load_backbone_weights
from epochlab.models.imagenet_weights import PublishedWeights, fetch_imagenet_weights
from epochlab.models.layers import layer_seed
from epochlab.models.weights_file import WeightsFile, open_weights_file
from epochlab.models.weights_matching import expected_layers, is_numbered

if TYPE_CHECKING:
    import keras

    from epochlab.models.transfer import TransferConfig
else:
    keras = lazy_import("keras")


@dataclass(frozen=True)
class Backbone:
    """What has to be known of a backbone before Keras is loaded.

    Attributes:
        function: Name of the function in `keras.applications` that builds it.
        smallest_side: Least height and width of its images, in pixels.
        subtracts_means: Whether its own preprocessing is "caffe" (blue, green, red, minus the means
            of ImageNet) and not "tf" (-1..1).
        published: Its ImageNet weights.
    """

    function: str
    smallest_side: int
    subtracts_means: bool
    published: PublishedWeights


def _kernels(name: str, md5: str) -> PublishedWeights:
    """Returns weights that are named as those of all backbones but one."""
    folder = name.rstrip("0123456789") if name.startswith("resnet") else name
    return PublishedWeights(f"{folder}/{name}_weights_tf_dim_ordering_tf_kernels_notop.h5", md5)


# From the sources of keras.applications 3.15.1, hashes included; it has none for MobileNet.
BACKBONES: dict[BackboneName, Backbone] = {
    "vgg16": Backbone("VGG16", 32, True, _kernels("vgg16", "6d6bbae143d832006294945121d1f1fc")),
    "vgg19": Backbone("VGG19", 32, True, _kernels("vgg19", "253f8cb515780f3b799900260a226db6")),
    "xception": Backbone(
        "Xception", 71, False, _kernels("xception", "b0042744bf5b25fce3cb969f33bebb97")
    ),
    "inception_v3": Backbone(
        "InceptionV3", 75, False, _kernels("inception_v3", "bcbd6486424b2319ff4ef7d526e38f63")
    ),
    "resnet50": Backbone(
        "ResNet50", 32, True, _kernels("resnet50", "4d473c1dd8becc155b73f8504c6f6626")
    ),
    "mobilenet": Backbone(
        "MobileNet",
        32,
        False,
        PublishedWeights("mobilenet/mobilenet_1_0_{side}_tf_no_top.h5", None, (128, 160, 192, 224)),
    ),
}


def too_small(backbone: BackboneName, height: int, width: int) -> str | None:
    """Returns what is wrong with images of this size for `backbone`, or None."""
    least = BACKBONES[backbone].smallest_side
    if min(height, width) >= least:
        return None
    return f"{backbone} takes images of at least {least} x {least} pixels, not {height} x {width}"


def build_backbone(
    config: "TransferConfig", image_shape: tuple[int, int, int], seed: int
) -> tuple["keras.Model", tuple[str, ...]]:
    """Builds the backbone up to its `output_layer`, with its weights.

    Without a weights file the weights are Keras's own random ones, each seeded by the run's seed
    and its layer's name: neither the process nor the order of building changes them. Layers that
    Keras numbers by what the process has made before have the names of a fresh process.

    Args:
        config: The `model` section.
        image_shape: Height, width and channels of what the backbone takes; the channels are 3.
        seed: Seed of the run.

    Returns:
        The uncompiled network, named by the backbone: preprocessed images float32
        `(batch, height, width, 3)` in, features `(batch, rows, columns, filters)` out. And what a
        person should know about the weights, as sentences; mostly nothing.

    Raises:
        ConfigError: If the images are too small; nothing is loaded before this is known.
        RunError: If the weights file is missing, damaged or of another network.
        EnvironmentFault: If ImageNet's weights cannot be had, or Keras is set to channels-first.
    """
    height, width = image_shape[:2]
    problem = too_small(config.backbone, height, width)
    if problem:
        raise ConfigError(f"model.image_size: {problem}; give a larger model.image_size")
    if config.weights == "none":
        return _cut(_whole_network(config.backbone, image_shape), config, seed), ()
    with _open_weights(config, image_shape) as weights_file:
        network = _whole_network(config.backbone, image_shape)
        backbone = _cut(network, config, seed)
        expected = expected_layers(network, lasting_names(network))
        notes = load_backbone_weights(weights_file, expected, backbone)
    return backbone, notes


def _open_weights(
    config: "TransferConfig", image_shape: tuple[int, ...]
) -> AbstractContextManager[WeightsFile]:
    if config.weights != "imagenet":
        return open_weights_file(config.weights)
    published = BACKBONES[config.backbone].published
    return open_weights_file(fetch_imagenet_weights(published, image_shape))


def _whole_network(backbone: BackboneName, image_shape: tuple[int, ...]) -> "keras.Model":
    if keras.config.image_data_format() != "channels_last":
        raise EnvironmentFault(
            "Keras is set to channels_first, but the backbones here are channels_last; set "
            '"image_data_format" to "channels_last" in ~/.keras/keras.json'
        )
    build = getattr(keras.applications, BACKBONES[backbone].function)
    return build(include_top=False, weights=None, input_shape=tuple(image_shape))


def lasting_names(network: "keras.Model") -> dict[str, str]:
    """Returns for each layer's name the one it has in a fresh process, the same but for a few.

    Where `keras.applications` gives a layer no name, Keras counts the layers of that class that the
    process has made.
    """
    numbered: dict[str, dict[int, str]] = defaultdict(dict)
    names = {layer.name: layer.name for layer in network.layers}
    for layer in network.layers:
        kind, number = split_number(layer.name)
        if is_numbered(layer):
            numbered[kind][number] = layer.name
    for kind, layers in numbered.items():
        for position, number in enumerate(sorted(layers)):
            names[layers[number]] = f"{kind}_{position}" if position else kind
    return names


def _cut(network: "keras.Model", config: "TransferConfig", seed: int) -> "keras.Model":
    """Returns a copy of `network` that ends at the output layer, with seeded weights."""
    names = lasting_names(network)
    given = {lasting: name for name, lasting in names.items()}[config.output_layer]

    def copy(layer: "keras.layers.Layer") -> "keras.layers.Layer":
        settings: dict[str, Any] = layer.get_config() | {"name": names[layer.name]}
        for key, initializer in settings.items():
            if key.endswith("_initializer") and "seed" in (initializer or {}).get("config", {}):
                name = f"{config.backbone}/{names[layer.name]}/{key}"
                initializer["config"]["seed"] = layer_seed(seed, name)
        return type(layer).from_config(settings)

    cut = keras.Model(network.input, network.get_layer(given).output, name=config.backbone)
    images = keras.Input(network.input_shape[1:], name="images")
    return keras.models.clone_model(cut, input_tensors=images, clone_function=copy)
