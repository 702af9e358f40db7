"""Multilayer perceptrons."""

from typing import TYPE_CHECKING, Self

from pydantic import PositiveInt, model_validator

from epochlab.config import Section
from epochlab.lazy_import import lazy_import
from epochlab.models.layers import (
    Activation,
    DropoutRate,
    Scaling,
    class_probabilities,
    dense,
    dropout,
    scaling_layer,
    sequential,
)

if TYPE_CHECKING:
    import keras
else:
    keras = lazy_import("keras")


class MLPConfig(Section):
    """Blocks of Dense, activation and Dropout, before a softmax.

    Attributes:
        scaling: What happens to the pixels first.
        dense_units: Width of each block. None leaves the Dense layer of a block out: what remains
            is an activation that follows another one, which one article has by mistake.
        activation: Activation of every block.
        dropout: Dropout rate after each block, 0..1; 0 adds no layer. As long as `dense_units`.
    """

    scaling: Scaling
    dense_units: tuple[PositiveInt | None, ...]
    activation: Activation
    dropout: tuple[DropoutRate, ...]

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if len(self.dropout) != len(self.dense_units):
            raise ValueError(
                f"dropout has {len(self.dropout)} rates for the {len(self.dense_units)} blocks of "
                "dense_units; give one rate per block"
            )
        return self


def build_mlp(
    config: MLPConfig, image_shape: tuple[int, int, int], num_classes: int, seed: int
) -> "keras.Model":
    """Builds a multilayer perceptron on the flattened pixels.

    Args:
        config: The `model` section.
        image_shape: Height, width and channels of an image, in pixels.
        num_classes: Number of classes, at least 2.
        seed: Seed of the run.

    Returns:
        An uncompiled model: raw pixels 0..255 `(batch, height, width, channels)` in, float32 class
        probabilities `(batch, num_classes)` out.
    """
    layers = [scaling_layer(config.scaling), keras.layers.Flatten(name="flatten")]
    for index, (units, rate) in enumerate(zip(config.dense_units, config.dropout, strict=True), 1):
        if units is None:
            layers.append(keras.layers.Activation(config.activation, name=f"activation{index}"))
        else:
            layers.append(dense(f"dense{index}", units, activation=config.activation, seed=seed))
        if rate > 0:
            layers.append(dropout(f"dropout{index}", rate, seed=seed))
    layers.append(class_probabilities(num_classes, seed=seed))
    return sequential("mlp", image_shape, layers)
