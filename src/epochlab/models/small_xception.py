"""Small networks like Xception: separable convolutions in blocks, each added to what came in."""

from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, PositiveInt, model_validator

from epochlab.config import Section
from epochlab.lazy_import import lazy_import
from epochlab.models.layers import (
    Activation,
    DropoutRate,
    Scaling,
    batch_normalization,
    class_probabilities,
    convolution,
    dropout,
    scaling_layer,
    separable_convolution,
)

if TYPE_CHECKING:
    import keras
else:
    keras = lazy_import("keras")

KERNEL_SIZE = 3


class SmallXceptionConfig(Section):
    """The `model` section of a small network like Xception.

    Attributes:
        scaling: What happens to the pixels first.
        stem_filters: Filters of the first convolution, before all blocks.
        stem_kernel_size: Side of its square kernels, in pixels.
        stem_stride: Pixels from one of its positions to the next; 2 halves height and width.
        filters: Filters of each block; a block halves height and width.
        dropout: Dropout rate before the head, 0..1; 0 adds no layer.
        activation: Activation after each normalisation.
    """

    scaling: Scaling
    stem_filters: PositiveInt
    stem_kernel_size: PositiveInt
    stem_stride: PositiveInt
    filters: Annotated[tuple[PositiveInt, ...], Field(min_length=1)]
    dropout: DropoutRate
    activation: Activation

    @model_validator(mode="after")
    def _check_stride(self) -> Self:
        if self.stem_stride > self.stem_kernel_size:
            raise ValueError(
                f"stem_stride goes {self.stem_stride} pixels on, a kernel sees "
                f"{self.stem_kernel_size}; give at most {self.stem_kernel_size}, or pixels "
                "between would never be seen"
            )
        return self


def build_small_xception(
    config: SmallXceptionConfig, image_shape: tuple[int, int, int], num_classes: int, seed: int
) -> "keras.Model":
    """Builds a network of blocks of two separable convolutions (Chollet, arXiv:1610.02357).

    After Chollet's "Deep Learning with Python", second edition, section 9.3.5, with two changes:
    normalisation and activation stand after the last block, too, as in networks whose blocks begin
    with them (He et al., arXiv:1603.05027), and shortcuts average four positions where the book
    takes one of them. Convolutions are padded, so that images of any size will do.

    Args:
        config: The `model` section.
        image_shape: Height, width and channels of an image, in pixels.
        num_classes: Number of classes, at least 2.
        seed: Seed of the run.

    Returns:
        An uncompiled model: raw pixels 0..255 `(batch, height, width, channels)` in, float32
        class probabilities out, as `class_probabilities` gives them.
    """
    pixels = keras.Input(tuple(image_shape), name="pixels")
    outputs = scaling_layer(config.scaling)(pixels)
    stem = _unbiased_convolution(
        "stem_conv", config.stem_filters, config.stem_kernel_size, config.stem_stride, seed
    )
    outputs = stem(outputs)
    for block, filters in enumerate(config.filters, 1):
        outputs = _block(outputs, f"block{block}", filters, config.activation, seed)
    outputs = _activated(outputs, "end", config.activation)
    outputs = keras.layers.GlobalAveragePooling2D(name="mean")(outputs)
    if config.dropout > 0:
        outputs = dropout("dropout", config.dropout, seed=seed)(outputs)
    outputs = class_probabilities(num_classes, seed=seed)(outputs)
    return keras.Model(pixels, outputs, name="small_xception")


def _block(
    inputs: "keras.KerasTensor", name: str, filters: int, activation: Activation, seed: int
) -> "keras.KerasTensor":
    """Adds two separable convolutions, pooled, to a 1x1 convolution of their input.

    The input is averaged before that convolution instead of passing over pixels (He et al.,
    arXiv:1812.01187, figure 2c). Besides, TensorFlow 2.21 with oneDNN aborts the process in the
    gradient of a 1x1 convolution with a stride from 4 to 6 channels.
    """
    outputs = inputs
    for part in (f"{name}_1", f"{name}_2"):
        outputs = _activated(outputs, part, activation)
        outputs = separable_convolution(f"{part}_conv", filters, KERNEL_SIZE, seed=seed)(outputs)
    pooling = keras.layers.MaxPooling2D(KERNEL_SIZE, strides=2, padding="same", name=f"{name}_pool")
    shortcut_pooling = keras.layers.AveragePooling2D(
        2, padding="same", name=f"{name}_shortcut_pool"
    )
    shortcut = _unbiased_convolution(f"{name}_shortcut_conv", filters, 1, 1, seed)
    summed = keras.layers.Add(name=f"{name}_sum")
    return summed([pooling(outputs), shortcut(shortcut_pooling(inputs))])


def _activated(
    inputs: "keras.KerasTensor", name: str, activation: Activation
) -> "keras.KerasTensor":
    """Normalises over the batch, then applies the activation."""
    outputs = batch_normalization(f"{name}_norm")(inputs)
    return keras.layers.Activation(activation, name=f"{name}_activation")(outputs)


def _unbiased_convolution(
    name: str, filters: int, kernel_size: int, stride: int, seed: int
) -> "keras.layers.Layer":
    return convolution(
        name,
        filters,
        kernel_size,
        activation="linear",
        padding="same",
        seed=seed,
        stride=stride,
        use_bias=False,
    )
