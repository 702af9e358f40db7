"""Small residual networks: blocks of two convolutions, each block added to what came into it."""

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
)

if TYPE_CHECKING:
    import keras
else:
    keras = lazy_import("keras")

KERNEL_SIZE = 3


class ResidualConfig(Section):
    """The `model` section of a small residual network.

    Attributes:
        scaling: What happens to the pixels first.
        stem_filters: Filters of the first convolution, before all blocks.
        stem_kernel_size: Side of its square kernels, in pixels.
        stem_stride: Pixels from one of its positions to the next; 2 halves height and width.
        stem_pooling: Whether 3x3 max pooling of stride 2 follows it.
        filters: Filters of the convolutions of each stage.
        blocks: Blocks of each stage.
        strides: For each stage, the stride of its first block.
        dropout: Dropout rate before the head, 0..1; 0 adds no layer.
        activation: Activation after each normalisation and after each sum.
    """

    scaling: Scaling
    stem_filters: PositiveInt
    stem_kernel_size: PositiveInt
    stem_stride: PositiveInt
    stem_pooling: bool
    filters: Annotated[tuple[PositiveInt, ...], Field(min_length=1)]
    blocks: tuple[PositiveInt, ...]
    strides: tuple[PositiveInt, ...]
    dropout: DropoutRate
    activation: Activation

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        for name in ("blocks", "strides"):
            given, expected = len(getattr(self, name)), len(self.filters)
            if given != expected:
                raise ValueError(
                    f"{name} has {given} entries, filters has {expected}; give one for each stage"
                )
        return self

    @model_validator(mode="after")
    def _check_strides(self) -> Self:
        for name, stride, size in (
            ("stem_stride", self.stem_stride, self.stem_kernel_size),
            ("strides", max(self.strides), KERNEL_SIZE),
        ):
            if stride > size:
                raise ValueError(
                    f"{name} goes {stride} pixels on, a kernel sees {size}; give at most {size}, "
                    "or pixels between would never be seen"
                )
        return self


def build_residual(
    config: ResidualConfig, image_shape: tuple[int, int, int], num_classes: int, seed: int
) -> "keras.Model":
    """Builds a residual network of basic blocks (He et al., arXiv:1512.03385, figure 2 and 3).

    Convolutions are padded, so that images of any size will do; before the head stands the mean
    over all positions.

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
    outputs = _normalized(
        outputs, "stem", config.stem_filters, config.stem_kernel_size, config.stem_stride, seed
    )
    outputs = keras.layers.Activation(config.activation, name="stem_activation")(outputs)
    if config.stem_pooling:
        pooling = keras.layers.MaxPooling2D(3, strides=2, padding="same", name="stem_pool")
        outputs = pooling(outputs)
    stages = zip(config.filters, config.blocks, config.strides, strict=True)
    for stage, (filters, blocks, stride) in enumerate(stages, 1):
        for block in range(1, blocks + 1):
            name = f"stage{stage}_block{block}"
            first_stride = stride if block == 1 else 1
            outputs = _residual_block(outputs, name, filters, first_stride, config.activation, seed)
    outputs = keras.layers.GlobalAveragePooling2D(name="mean")(outputs)
    if config.dropout > 0:
        outputs = dropout("dropout", config.dropout, seed=seed)(outputs)
    outputs = class_probabilities(num_classes, seed=seed)(outputs)
    return keras.Model(pixels, outputs, name="residual")


def _residual_block(
    inputs: "keras.KerasTensor",
    name: str,
    filters: int,
    stride: int,
    activation: Activation,
    seed: int,
) -> "keras.KerasTensor":
    """Adds two convolutions to their input; a 1x1 convolution fits that where the shape changes.

    Where the block has a stride, the input is averaged before that convolution instead of passing
    over pixels (He et al., arXiv:1812.01187, figure 2c). Besides, TensorFlow 2.21 with oneDNN
    aborts the process in the gradient of a 1x1 convolution with a stride from 4 to 6 channels.
    """
    outputs = _normalized(inputs, f"{name}_1", filters, KERNEL_SIZE, stride, seed)
    outputs = keras.layers.Activation(activation, name=f"{name}_1_activation")(outputs)
    outputs = _normalized(outputs, f"{name}_2", filters, KERNEL_SIZE, 1, seed)
    shortcut = inputs
    if stride != 1:
        pooling = keras.layers.AveragePooling2D(
            stride, padding="same", name=f"{name}_shortcut_pool"
        )
        shortcut = pooling(shortcut)
    if stride != 1 or inputs.shape[-1] != filters:
        shortcut = _normalized(shortcut, f"{name}_shortcut", filters, 1, 1, seed)
    outputs = keras.layers.Add(name=f"{name}_sum")([shortcut, outputs])
    return keras.layers.Activation(activation, name=f"{name}_activation")(outputs)


def _normalized(
    inputs: "keras.KerasTensor", name: str, filters: int, kernel_size: int, stride: int, seed: int
) -> "keras.KerasTensor":
    """Applies a convolution and the normalisation of its output."""
    layer = convolution(
        f"{name}_conv",
        filters,
        kernel_size,
        activation="linear",
        padding="same",
        seed=seed,
        stride=stride,
        use_bias=False,
    )
    return batch_normalization(f"{name}_norm")(layer(inputs))
