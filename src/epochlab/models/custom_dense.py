"""A small network of hand-written Dense layers that ends in logits."""

from typing import TYPE_CHECKING

from pydantic import PositiveInt

from epochlab.config import Section
from epochlab.lazy_import import lazy_import
from epochlab.models.layers import Activation, Scaling, layer_seed, scaling_layer, sequential

if TYPE_CHECKING:
    import keras
else:
    keras = lazy_import("keras")


class CustomDenseConfig(Section):
    """The `model` section of the network of hand-written layers.

    Attributes:
        scaling: What happens to the pixels first.
        dense_units: Units of each hidden layer.
        activation: Activation of the hidden layers.
    """

    scaling: Scaling
    dense_units: tuple[PositiveInt, ...]
    activation: Activation


def build_custom_dense(
    config: CustomDenseConfig, image_shape: tuple[int, int, int], num_classes: int, seed: int
) -> "keras.Model":
    """Builds the network.

    Args:
        config: The `model` section.
        image_shape: Height, width and channels of an image, in pixels.
        num_classes: Number of classes, at least 2.
        seed: Seed of the run.

    Returns:
        An uncompiled model: raw pixels 0..255 `(batch, height, width, channels)` in, float32 logits
        `(batch, num_classes)` out, without a softmax.
    """
    from epochlab.models.dense_layer import Dense  # loads Keras, so only once it is needed

    def make_layer(name: str, units: int, activation: str, dtype: str | None) -> Dense:
        initializer = keras.initializers.GlorotUniform(seed=layer_seed(seed, name))
        return Dense(units, activation, initializer, name=name, dtype=dtype)

    hidden = [
        make_layer(f"dense{index}", units, config.activation, None)
        for index, units in enumerate(config.dense_units, 1)
    ]
    layers = [
        scaling_layer(config.scaling),
        keras.layers.Flatten(name="flatten"),
        *hidden,
        make_layer("logits", num_classes, "linear", "float32"),
    ]
    return sequential("custom_dense", image_shape, layers)
