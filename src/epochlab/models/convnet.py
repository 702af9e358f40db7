"""Small convolutional networks: convolutions, poolings, then dense layers."""

from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, PositiveInt, model_validator

from epochlab.config import Section
from epochlab.lazy_import import lazy_import
from epochlab.models.layers import (
    Activation,
    DropoutRate,
    Padding,
    Scaling,
    batch_normalization,
    class_probabilities,
    convolution,
    dense,
    dropout,
    scaling_layer,
    sequential,
)

if TYPE_CHECKING:
    import keras
else:
    keras = lazy_import("keras")


class ConvNetConfig(Section):
    """The `model` section of a small convnet.

    Attributes:
        scaling: What happens to the pixels first.
        filters: Filters of each convolution.
        kernel_size: Side of the square kernels, in pixels.
        padding: Whether the convolutions keep height and width (`same`) or see whole kernels only
            (`valid`).
        batch_norm: Whether each convolution's output is normalised over the batch before its
            activation (Ioffe and Szegedy, arXiv:1502.03167). It then has no bias of its own.
        pooling: For each convolution, whether 2x2 max pooling follows it.
        flatten_dropout: Dropout rate before the first hidden layer, 0..1; 0 adds no layer.
        dense_units: Units of each hidden layer after the convolutions.
        dropout: Dropout rate after each hidden layer, 0..1; 0 adds no layer.
        activation: Activation of the convolutions and the hidden layers.
    """

    scaling: Scaling
    filters: Annotated[tuple[PositiveInt, ...], Field(min_length=1)]
    kernel_size: PositiveInt
    padding: Padding
    batch_norm: bool
    pooling: tuple[bool, ...]
    flatten_dropout: DropoutRate
    dense_units: tuple[PositiveInt, ...]
    dropout: tuple[DropoutRate, ...]
    activation: Activation

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        for name, per in (("pooling", "filters"), ("dropout", "dense_units")):
            given, expected = len(getattr(self, name)), len(getattr(self, per))
            if given != expected:
                raise ValueError(
                    f"{name} has {given} entries, {per} has {expected}; give one for each"
                )
        return self


def build_convnet(
    config: ConvNetConfig, image_shape: tuple[int, int, int], num_classes: int, seed: int
) -> "keras.Model":
    """Builds a small convnet.

    Args:
        config: The `model` section.
        image_shape: Height, width and channels of an image, in pixels.
        num_classes: Number of classes, at least 2.
        seed: Seed of the run.

    Returns:
        An uncompiled model: raw pixels 0..255 `(batch, height, width, channels)` in, float32
        class probabilities out, as `class_probabilities` gives them.

    Raises:
        ConfigError: If the image is too small for the convolutions and poolings.
    """
    layers = [scaling_layer(config.scaling)]
    for index, (filters, pooled) in enumerate(zip(config.filters, config.pooling, strict=True), 1):
        layers += _convolve(config, index, filters, seed)
        if pooled:
            layers.append(keras.layers.MaxPooling2D(2, name=f"pool{index}"))
    layers.append(keras.layers.Flatten(name="flatten"))
    if config.flatten_dropout > 0:
        layers.append(dropout("flatten_dropout", config.flatten_dropout, seed=seed))
    for index, (units, rate) in enumerate(zip(config.dense_units, config.dropout, strict=True), 1):
        layers.append(dense(f"dense{index}", units, activation=config.activation, seed=seed))
        if rate > 0:
            layers.append(dropout(f"dropout{index}", rate, seed=seed))
    layers.append(class_probabilities(num_classes, seed=seed))
    return sequential("convnet", image_shape, layers)


def _convolve(
    config: ConvNetConfig, index: int, filters: int, seed: int
) -> "list[keras.layers.Layer]":
    """Returns convolution number `index` up to its activation."""
    layer = convolution(
        f"conv{index}",
        filters,
        config.kernel_size,
        activation="linear" if config.batch_norm else config.activation,
        padding=config.padding,
        seed=seed,
        use_bias=not config.batch_norm,
    )
    if not config.batch_norm:
        return [layer]
    return [
        layer,
        batch_normalization(f"norm{index}"),
        keras.layers.Activation(config.activation, name=f"activation{index}"),
    ]
