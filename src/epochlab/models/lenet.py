"""LeNet, as the tutorials write it: two convolutions with pooling, one hidden layer."""

from typing import TYPE_CHECKING

from pydantic import PositiveInt

from epochlab.config import Section
from epochlab.lazy_import import lazy_import
from epochlab.models.layers import (
    Activation,
    DataFormat,
    Scaling,
    class_probabilities,
    convolution,
    dense,
    scaling_layer,
    sequential,
)

if TYPE_CHECKING:
    import keras
else:
    keras = lazy_import("keras")


class LeNetConfig(Section):
    """The `model` section of a LeNet.

    Attributes:
        scaling: What happens to the pixels first.
        filters: Filters of each convolution; each is followed by 2x2 max pooling.
        kernel_size: Side of the square kernels, in pixels.
        dense_units: Units of the hidden layer.
        activation: Activation of the convolutions and the hidden layer.
        data_format: Where the channel axis lies inside the network. Both compute the same function
            of the image with the same weights; on a CPU `channels_last` is the faster one.
    """

    scaling: Scaling
    filters: tuple[PositiveInt, PositiveInt]
    kernel_size: PositiveInt
    dense_units: PositiveInt
    activation: Activation
    data_format: DataFormat


def build_lenet(
    config: LeNetConfig, image_shape: tuple[int, int, int], num_classes: int, seed: int
) -> "keras.Model":
    """Builds LeNet (after LeCun et al., "Gradient-based learning applied to document recognition").

    Args:
        config: The `model` section.
        image_shape: Height, width and channels of an image, in pixels.
        num_classes: Number of classes, at least 2.
        seed: Seed of the run.

    Returns:
        An uncompiled model: raw pixels 0..255 `(batch, height, width, channels)` in, whatever
        `data_format` says, and float32 class probabilities `(batch, num_classes)` out.

    Raises:
        ConfigError: If the image is too small for the poolings.
    """
    layers = [scaling_layer(config.scaling)]
    if config.data_format == "channels_first":
        layers.append(keras.layers.Permute((3, 1, 2), name="to_channels_first"))
    for index, filters in enumerate(config.filters, 1):
        layers += [
            convolution(
                f"conv{index}",
                filters,
                config.kernel_size,
                activation=config.activation,
                padding="same",
                seed=seed,
                data_format=config.data_format,
            ),
            keras.layers.MaxPooling2D(2, data_format=config.data_format, name=f"pool{index}"),
        ]
    layers += [
        # Keras flattens channels-first input in channels-last order, so that the weights of the
        # hidden layer fit both formats.
        keras.layers.Flatten(data_format=config.data_format, name="flatten"),
        dense("dense1", config.dense_units, activation=config.activation, seed=seed),
        class_probabilities(num_classes, seed=seed),
    ]
    return sequential("lenet", image_shape, layers)
