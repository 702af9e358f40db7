"""A fully connected layer written by hand, to show what a Keras layer class consists of.

This module imports Keras at once. To open a saved model that holds this layer, import it first:
`import epochlab.models.dense_layer`, then `keras.models.load_model(path)`.
"""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="epochlab")
class Dense(keras.layers.Layer):
    """Computes `activation(inputs @ kernel + bias)`, as `keras.layers.Dense` does.

    Args:
        units: Length of the output's last axis, at least 1.
        activation: Name of a Keras activation, or a function; None computes no activation.
        kernel_initializer: First values of the kernel.
        bias_initializer: First values of the bias.
        **kwargs: What every layer takes: `name`, `dtype`, `trainable`.

    Input shape: `(batch, ..., features)`, floating point. Output shape: `(batch, ..., units)`.
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if units < 1:
            raise ValueError(f"units must be at least 1. Received: units={units}")
        self.units = units
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.input_spec = keras.layers.InputSpec(min_ndim=2)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates `kernel`, `(features, units)`, and `bias`, `(units,)`."""
        self.kernel = self.add_weight(
            name="kernel",
            shape=(input_shape[-1], self.units),
            initializer=self.kernel_initializer,
        )
        self.bias = self.add_weight(
            name="bias", shape=(self.units,), initializer=self.bias_initializer
        )

    def call(self, inputs: Any) -> Any:
        """Returns the layer's output for `inputs`, `(batch, ..., features)`."""
        return self.activation(ops.matmul(inputs, self.kernel) + self.bias)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns `input_shape` with its last axis replaced by `units`."""
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make an equal layer."""
        return {
            **super().get_config(),
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }
