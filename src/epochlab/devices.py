"""Several GPUs of one host, each with a copy of the network and a part of every batch."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from epochlab.lazy_import import lazy_import
from epochlab.quiet import held_back_stderr

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf
else:
    np = lazy_import("numpy")
    tf = lazy_import("tensorflow")


def use_all_devices() -> None:
    """Makes every model that is built from now on in this process train on all devices.

    Those are the GPUs or, without any, the logical CPU devices. With a single one nothing changes.
    """
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    names = [device.name.removeprefix("/device:") for device in devices]
    print(f"devices: {', '.join(names)}", flush=True)
    if len(devices) > 1:
        with held_back_stderr():  # it logs the devices, and of CPUs that they are no GPUs
            strategy = tf.distribute.MirroredStrategy([device.name for device in devices])
        tf.distribute.experimental_set_strategy(strategy)


def count_parts() -> int:
    """Returns into how many parts a batch is split: the number of devices that train."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def split_training(model: "keras.Model") -> None:
    """Makes `fit` do on several devices what it does on one; on one, this changes nothing.

    Args:
        model: The compiled model.
    """
    if count_parts() > 1:
        _build(model)
        model.compute_loss = _weighed(model.compute_loss)
        model.call = _never_empty(model.call)


def parts(variable: "keras.Variable") -> Sequence[Any]:
    """Returns the variables that `variable` is made of, one per device, or on one device itself."""
    return getattr(variable.value, "values", (variable,))


def _build(model: "keras.Model") -> None:
    """Builds loss and metrics, on a blank image.

    Keras would build them on the first batch, averaged over the devices. That fails where the
    batch does not divide evenly, and Keras averages it even if there is nothing left to build.
    """
    image = np.zeros((1, *model.input_shape[1:]), np.float32)
    model._maybe_symbolic_build(data_batch=(image, np.zeros(1, np.int32)))
    model._maybe_symbolic_build = lambda iterator=None, data_batch=None: None


def _weighed(compute_loss: Any) -> Any:
    """Returns `compute_loss` with the gradient that an uneven batch has on one device.

    Keras takes the mean over the images of each part, and the mean of those means. Where a batch
    does not divide evenly, as at the end of a pass, images in a small part would count for more
    than the others.
    """

    def compute_weighed_loss(
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> "tf.Tensor":
        loss = compute_loss(x, y, y_pred, sample_weight, training)
        if not training:
            return loss
        images = tf.cast(tf.shape(y)[0], loss.dtype)
        replica = tf.distribute.get_replica_context()
        share = images / replica.all_reduce(tf.distribute.ReduceOp.SUM, images)

        # The gradient alone: the mean that Keras records is weighed by the images already.
        @tf.custom_gradient
        def weigh(value: "tf.Tensor") -> tuple["tf.Tensor", Any]:
            return value, lambda upstream: upstream * share * count_parts()

        return weigh(loss)

    return compute_weighed_loss


def _never_empty(call: Any) -> Any:
    """Returns `call` with a blank image for a part of a batch that has got none.

    On such a part convolutions fail on the CPU, with oneDNN, and BatchNormalization would average
    over nothing. The blank image's output is dropped again.
    """

    def call_padded(inputs: "tf.Tensor", **settings: Any) -> "tf.Tensor":
        images = tf.shape(inputs)[0]
        padding = [[0, tf.cast(images == 0, tf.int32)], *[[0, 0]] * (len(inputs.shape) - 1)]
        return call(tf.pad(inputs, padding), **settings)[:images]

    return call_padded
