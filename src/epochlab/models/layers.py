"""Layers as every model family here makes them: named, and seeded by the run's seed and that name.

A model is therefore a pure function of (config, image shape, number of classes, seed): neither the
order in which layers are made nor what ran before in the process changes its first weights.
"""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from epochlab.errors import ConfigError
from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import keras
else:
    keras = lazy_import("keras")

Activation = Literal["relu", "tanh", "sigmoid", "elu", "selu", "gelu", "silu", "linear"]
Scaling = Literal["raw", "unit", "per256", "centred"]
DataFormat = Literal["channels_last", "channels_first"]
Padding = Literal["valid", "same"]
DropoutRate = Annotated[float, Field(ge=0, lt=1)]

# The share of the old that running means and variances keep in each step. Keras's 0.99 has
# forgotten the initial values after some 300 steps, and 2,000 photographs make 63 an epoch: until
# then the validation images would be scored with statistics of no network at all. 0.9, which
# PyTorch takes, needs 30.
BATCH_NORM_MOMENTUM = 0.9

# y = scale * x + offset, on raw pixels x in 0..255.
SCALINGS: dict[Scaling, tuple[float, float]] = {
    "raw": (1.0, 0.0),
    "unit": (1 / 255, 0.0),
    "per256": (1 / 256, 0.0),
    "centred": (1 / 127, -1.0),
}


def layer_seed(seed: int, name: str) -> int:
    """Returns the seed, 0..2^31-1, of the layer `name` in a run with seed `seed`."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:4], "big") >> 1


def scaling_layer(scaling: Scaling) -> "keras.layers.Layer":
    """Returns the first layer of a model: raw pixels 0..255 in, scaled pixels out, same shape."""
    scale, offset = SCALINGS[scaling]
    return keras.layers.Rescaling(scale, offset, name="scaling")


def convolution(
    name: str,
    filters: int,
    kernel_size: int,
    *,
    activation: Activation,
    padding: Padding,
    seed: int,
    data_format: DataFormat = "channels_last",
    stride: int = 1,
    use_bias: bool = True,
) -> "keras.layers.Layer":
    """Returns a square 2-D convolution with a Glorot-uniform kernel.

    Before a batch normalization, which takes every constant away again, it wants no bias.
    """
    return keras.layers.Conv2D(
        filters,
        kernel_size,
        strides=stride,
        use_bias=use_bias,
        padding=padding,
        activation=activation,
        data_format=data_format,
        kernel_initializer=keras.initializers.GlorotUniform(seed=layer_seed(seed, name)),
        name=name,
    )


def separable_convolution(
    name: str, filters: int, kernel_size: int, *, seed: int
) -> "keras.layers.Layer":
    """Returns a padded convolution of each channel alone, then a 1x1 one over all channels.

    Both have Glorot-uniform kernels and neither a bias, as before a batch normalization.
    """
    depthwise, pointwise = (
        keras.initializers.GlorotUniform(seed=layer_seed(seed, f"{name}/{part}"))
        for part in ("depthwise", "pointwise")
    )
    return keras.layers.SeparableConv2D(
        filters,
        kernel_size,
        padding="same",
        use_bias=False,
        depthwise_initializer=depthwise,
        pointwise_initializer=pointwise,
        name=name,
    )


def batch_normalization(name: str) -> "keras.layers.Layer":
    """Returns a layer that normalises each channel over the batch (arXiv:1502.03167)."""
    return keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=name)


def dense(name: str, units: int, *, activation: Activation, seed: int) -> "keras.layers.Layer":
    """Returns a fully connected layer with a bias and Glorot-uniform kernel."""
    return keras.layers.Dense(
        units,
        activation=activation,
        kernel_initializer=keras.initializers.GlorotUniform(seed=layer_seed(seed, name)),
        name=name,
    )


def dropout(name: str, rate: float, *, seed: int) -> "keras.layers.Layer":
    """Returns a Dropout layer that sets the share `rate`, 0..1, of its input to zero."""
    return keras.layers.Dropout(rate, seed=layer_seed(seed, name), name=name)


def class_probabilities(num_classes: int, *, seed: int) -> "keras.layers.Layer":
    """Returns the head: float32 probabilities, also under mixed precision.

    Softmax `(batch, num_classes)`; for two classes a single sigmoid `(batch, 1)`, the probability
    of class 1.
    """
    return keras.layers.Dense(
        1 if num_classes == 2 else num_classes,
        activation="sigmoid" if num_classes == 2 else "softmax",
        dtype="float32",
        kernel_initializer=keras.initializers.GlorotUniform(seed=layer_seed(seed, "predictions")),
        name="predictions",
    )


def sequential(
    name: str, image_shape: Sequence[int], layers: Sequence["keras.layers.Layer"]
) -> "keras.Model":
    """Returns the uncompiled model that applies `layers` in turn to raw pixels.

    Args:
        name: Name of the model.
        image_shape: Height, width and channels of an image, in pixels.
        layers: The layers, the scaling first.

    Raises:
        ConfigError: If a layer leaves nothing of the image; the layer and the shapes are named.
    """
    pixels = keras.Input(tuple(image_shape), name="pixels")
    outputs = pixels
    for layer in layers:
        before = outputs.shape[1:]
        try:
            outputs = layer(outputs)
        except ValueError as error:
            if "output size would be zero" not in str(error):
                raise
            raise ConfigError(
                f"model: layer {layer.name} has nothing left to work on: its input has shape "
                f"{before}; use larger images than {tuple(image_shape)}, a smaller kernel or "
                "fewer pooling layers"
            ) from error
    return keras.Model(pixels, outputs, name=name)
