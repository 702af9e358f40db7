"""The loss of a classifier with integer labels, with or without label smoothing."""

from functools import partial
from typing import TYPE_CHECKING, Any

from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import keras
else:
    keras = lazy_import("keras")


def build_loss(
    num_outputs: int, *, from_logits: bool, label_smoothing: float
) -> "keras.losses.Loss":
    """Returns the cross-entropy, smoothed as Szegedy et al. do it (arXiv:1512.00567, section 7).

    With smoothing s it is (1 - s) times the plain one, plus s times the mean over all classes of
    -log p. Keras has that for one-hot labels and for a sigmoid. For integer labels the loss here
    computes it, but is for Keras its own plain one: that is what `model.h5` tells of it, so that
    the file loads without Epochlab.

    Args:
        num_outputs: Outputs of the model: one per class, or 1 for a sigmoid.
        from_logits: Whether the model ends in logits instead of probabilities.
        label_smoothing: The share s, 0 to below 1; 0 gives Keras's own plain losses.
    """
    if num_outputs == 1:
        return keras.losses.BinaryCrossentropy(
            from_logits=from_logits, label_smoothing=label_smoothing
        )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)
    if label_smoothing > 0:
        loss.fn = partial(
            _smoothed_crossentropy, num_classes=num_outputs, label_smoothing=label_smoothing
        )
    return loss


def _smoothed_crossentropy(
    labels: Any,
    outputs: Any,
    from_logits: bool,
    *,
    num_classes: int,
    label_smoothing: float,
    **_: Any,
) -> Any:
    """Takes the place of `keras.losses.sparse_categorical_crossentropy`: the loss of each image."""
    labels = keras.ops.cast(labels, "int32")  # which Keras makes float32 for every loss
    return keras.losses.categorical_crossentropy(
        keras.ops.one_hot(labels, num_classes, dtype=outputs.dtype),
        outputs,
        from_logits=from_logits,
        label_smoothing=label_smoothing,
    )
