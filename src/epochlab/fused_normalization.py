"""One kernel for a training step's batch normalization, instead of Keras's dozen operations."""

from functools import partial
from typing import TYPE_CHECKING, Any

from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
else:
    keras = lazy_import("keras")
    tf = lazy_import("tensorflow")


def fuse_normalization(model: "keras.Model") -> None:
    """Makes the batch normalizations of `model` read each batch as few times as can be.

    Keras writes the means, the variances and what they are for as a dozen operations, in float32
    also under mixed precision, and each reads and writes the whole batch. TensorFlow has a kernel
    for all of it, whose result differs by rounding. Only training steps take it: validation,
    scores and predictions are Keras's to the bit, as is a layer that is frozen. The layers stay
    objects of Keras's class with Keras's variables, so that checkpoints and `model.h5` show no
    difference.

    Args:
        model: The model; layers whose settings the kernel does not know stay as they are.
    """
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization) and _is_known(layer):
            layer.call = partial(_normalize, layer, layer.call)


def _is_known(layer: Any) -> bool:
    """Whether the kernel can do what `layer` does, and does not do it already."""
    return (
        "call" not in vars(layer)
        and layer.input_spec.ndim == 4
        and layer.axis in (-1, 3)
        and layer.center
        and layer.scale
        and not layer.renorm
        and not layer.synchronized
    )


def _normalize(
    layer: Any, keras_own: Any, inputs: Any, training: bool | None = None, mask: Any = None
) -> Any:
    """Stands for `BatchNormalization.call`, whose other half is `keras_own`."""
    if not (training and layer.trainable) or mask is not None:
        return keras_own(inputs, training=training, mask=mask)
    nothing = tf.zeros((0,), tf.float32)  # the kernel finds the means and variances itself
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=inputs,
        scale=layer.gamma.value,
        offset=layer.beta.value,
        mean=nothing,
        variance=nothing,
        epsilon=layer.epsilon,
        is_training=True,
    )
    # The kernel's variance estimates that of all images, with a divisor of n - 1; Keras keeps that
    # of the batch, with n.
    count = tf.cast(tf.size(inputs) // tf.shape(inputs)[-1], variance.dtype)
    variance *= (count - 1) / count
    for running, of_batch in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
        running.assign(running * layer.momentum + of_batch * (1 - layer.momentum))
    return outputs
