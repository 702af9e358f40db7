"""From images in memory to the `tf.data` pipelines that a model trains and is scored on."""

from typing import TYPE_CHECKING

from epochlab.data.images import Split
from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_import("tensorflow")

# Scoring keeps no activations for a backward pass, so its batches may be larger than training's.
EVALUATION_BATCH_SIZE = 500


def count_steps(num_images: int, batch_size: int) -> int:
    """Returns the batches of one epoch; the last one may be smaller."""
    return -(-num_images // batch_size)


def training_batches(
    split: Split, *, batch_size: int, seed: int, first_epoch: int = 0
) -> "tf.data.Dataset":
    """Returns the shuffled batches of every epoch from `first_epoch` on, without end.

    The order within an epoch is a pure function of `(seed, epoch)`, so a run that starts at epoch 7
    sees what an uninterrupted one sees there. `tf.data.Dataset.shuffle` cannot do this: it counts
    its own iterations and starts over in a new process.

    Args:
        split: The training images.
        batch_size: Images per batch; the last batch of an epoch takes what is left.
        seed: Seed of the run.
        first_epoch: Epochs already done.

    Returns:
        A dataset of `(images, labels)`: uint8 `(batch, height, width, channels)`, int32 `(batch,)`.
        Each epoch has `count_steps(len(split), batch_size)` batches.
    """
    images, labels = tf.constant(split.images), tf.constant(split.labels)

    def shuffled_epoch(epoch: "tf.Tensor") -> "tf.data.Dataset":
        order = tf.random.experimental.stateless_shuffle(
            tf.range(len(split)), seed=tf.stack([tf.constant(seed, tf.int64), epoch])
        )
        return tf.data.Dataset.from_tensor_slices(order).batch(batch_size)

    return (
        tf.data.Dataset.counter(start=first_epoch)
        .flat_map(shuffled_epoch)
        .map(lambda indices: (tf.gather(images, indices), tf.gather(labels, indices)))
        .prefetch(2)
    )


def evaluation_batches(split: Split) -> "tf.data.Dataset":
    """Returns the images of `split` once, in their own order.

    Returns:
        A finite dataset of `(images, labels)` as in `training_batches`.
    """
    images, labels = tf.constant(split.images), tf.constant(split.labels)
    return (
        tf.data.Dataset.range(len(split))
        .batch(EVALUATION_BATCH_SIZE)
        .map(lambda indices: (tf.gather(images, indices), tf.gather(labels, indices)))
        .prefetch(2)
    )
