"""One kernel per variable for an optimizer's update, instead of Keras's dozen operations."""

from functools import partial
from typing import TYPE_CHECKING, Any

from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
else:
    keras = lazy_import("keras")
    tf = lazy_import("tensorflow")


def fuse_updates(optimizer: "keras.Optimizer") -> None:
    """Makes Adam, RMSprop or SGD update each variable in one pass over its memory.

    Keras writes an update as a dozen operations, each of which reads and writes whole arrays. The
    kernels that TensorFlow has for the old optimizers do the same arithmetic at once, with a result
    that differs by rounding. They are elementwise: the same gradients always give the same bits.
    The optimizer stays an object of Keras's class with Keras's variables, so that checkpoints and
    `model.h5` show no difference.

    Args:
        optimizer: The optimizer, built; one that no kernel knows stays as it is.
    """
    match optimizer:
        case keras.optimizers.Adam(amsgrad=False):
            optimizer.update_step = partial(_update_adam, optimizer)
        case keras.optimizers.RMSprop(centered=False):
            optimizer.update_step = partial(_update_rmsprop, optimizer, _find_momentums(optimizer))
        case keras.optimizers.SGD():
            optimizer.update_step = partial(_update_sgd, optimizer)


def _update_adam(optimizer: Any, gradient: Any, variable: Any, learning_rate: Any) -> None:
    place, dtype = optimizer._get_variable_index(variable), variable.dtype
    beta_1, beta_2 = (tf.constant(beta, dtype) for beta in (optimizer.beta_1, optimizer.beta_2))
    step = tf.cast(optimizer.iterations + 1, dtype)
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=optimizer._momentums[place].value.handle,
        v=optimizer._velocities[place].value.handle,
        beta1_power=tf.pow(beta_1, step),
        beta2_power=tf.pow(beta_2, step),
        lr=tf.cast(learning_rate, dtype),
        beta1=beta_1,
        beta2=beta_2,
        epsilon=tf.constant(optimizer.epsilon, dtype),
        grad=tf.cast(gradient, dtype),
    )


def _find_momentums(optimizer: Any) -> list[Any]:
    """Returns RMSprop's momentums; without momentum, room for what its kernel writes into them.

    That is no state of the training: each step overwrites it.
    """
    if optimizer.momentum > 0:
        return [momentum.value for momentum in optimizer._momentums]
    return [tf.Variable(tf.zeros_like(each.value)) for each in optimizer._velocities]


def _update_rmsprop(
    optimizer: Any, momentums: list[Any], gradient: Any, variable: Any, learning_rate: Any
) -> None:
    place, dtype = optimizer._get_variable_index(variable), variable.dtype
    tf.raw_ops.ResourceApplyRMSProp(
        var=variable.handle,
        ms=optimizer._velocities[place].value.handle,
        mom=momentums[place].handle,
        lr=tf.cast(learning_rate, dtype),
        rho=tf.constant(optimizer.rho, dtype),
        momentum=tf.constant(optimizer.momentum, dtype),
        epsilon=tf.constant(optimizer.epsilon, dtype),
        grad=tf.cast(gradient, dtype),
    )


def _update_sgd(optimizer: Any, gradient: Any, variable: Any, learning_rate: Any) -> None:
    learning_rate = tf.cast(learning_rate, variable.dtype)
    gradient = tf.cast(gradient, variable.dtype)
    if optimizer.momentum == 0:
        tf.raw_ops.ResourceApplyGradientDescent(
            var=variable.handle, alpha=learning_rate, delta=gradient
        )
        return
    place = optimizer._get_variable_index(variable)
    tf.raw_ops.ResourceApplyKerasMomentum(
        var=variable.handle,
        accum=optimizer.momentums[place].value.handle,
        lr=learning_rate,
        grad=gradient,
        momentum=tf.constant(optimizer.momentum, variable.dtype),
        use_nesterov=optimizer.nesterov,
    )
