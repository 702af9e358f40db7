"""From images to the `tf.data` pipelines that a model trains and is scored on."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from epochlab.data.augment import AugmentConfig, augment_batch
from epochlab.data.images import Split, StoredImages
from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf
else:
    tf = lazy_import("tensorflow")

# Batches made ready while the model works, and augmented at the same time.
PREFETCHED = 2
AUGMENTING_THREADS = 2

# Images in memory are gathered for several batches at once, up to this many batches and bytes:
# beside the step of a small network, what the calls into `tf.data` take would show.
GROUPED_BATCHES = 50
GROUPED_BYTES = 8 * 2**20

# Scoring keeps no activations for a backward pass, so its batches may be larger than training's, as
# long as the images are small.
EVALUATION_IMAGES = 500
EVALUATION_PIXELS = 2**20


def count_steps(num_images: int, batch_size: int) -> int:
    """Returns the batches of one pass over the images; the last one may be smaller."""
    return -(-num_images // batch_size)


def count_images(num_images: int, batch_size: int, steps: int) -> int:
    """Returns how many images `steps` batches hold, pass after pass."""
    passes, rest = divmod(steps, count_steps(num_images, batch_size))
    return passes * num_images + min(rest * batch_size, num_images)


def training_batches(
    split: Split,
    *,
    batch_size: int,
    seed: int,
    first_step: int = 0,
    augment: AugmentConfig | None = None,
) -> "tf.data.Dataset":
    """Returns the shuffled batches of pass after pass over the images, without end.

    Order and augmentation of a pass are pure functions of `(seed, pass, index)`, so a run that
    starts at step 700 sees what an uninterrupted one sees there. `tf.data.Dataset.shuffle` cannot
    do this: it counts its own iterations and starts over in a new process.

    Args:
        split: The training images.
        batch_size: Images per batch; the last batch of a pass takes what is left.
        seed: Seed of the run.
        first_step: Batches already done.
        augment: How the images are changed, or None for as they are.

    Returns:
        A dataset of `(images, labels)`: `(batch, height, width, channels)`, 0..255, uint8 or, if
        augmented, float32; int32 `(batch,)`. Each pass has `count_steps(len(split), batch_size)`
        batches.
    """
    first_pass, done = divmod(first_step, count_steps(len(split), batch_size))
    images_in_whole_batches = len(split) // batch_size * batch_size
    group = batch_size * _count_grouped(split.images, batch_size)
    labels = tf.constant(split.labels)
    read = _reader(split.images)

    def shuffled_pass(number: "tf.Tensor") -> "tf.data.Dataset":
        order = tf.random.experimental.stateless_shuffle(
            tf.range(len(split), dtype=tf.int64),
            seed=tf.stack([tf.constant(seed, tf.int64), number]),
        )

        def load(start: "tf.Tensor", end: "tf.Tensor | int") -> "tuple[tf.Tensor, ...]":
            indices = order[start:end]
            # Pass after pass goes through the variants.
            images = read(indices + len(split) * (number % split.variants))
            batch = images, tf.gather(labels, indices)
            if augment is None:
                return batch
            return *batch, tf.fill(tf.shape(indices), number), indices

        def load_group(start: "tf.Tensor") -> "tf.data.Dataset":
            values = load(start, tf.minimum(start + group, images_in_whole_batches))
            return tf.data.Dataset.from_tensor_slices(
                tuple(tf.reshape(each, (-1, batch_size, *each.shape[1:])) for each in values)
            )

        first = tf.where(number == first_pass, tf.constant(done * batch_size, tf.int64), 0)
        whole = tf.data.Dataset.range(first, images_in_whole_batches, group).flat_map(load_group)
        if images_in_whole_batches == len(split):
            return whole
        rest = tf.data.Dataset.range(images_in_whole_batches, len(split), batch_size)
        return whole.concatenate(rest.map(lambda start: load(start, len(split))))

    batches = tf.data.Dataset.counter(start=first_pass).flat_map(shuffled_pass)
    if augment is not None:
        batches = batches.map(
            lambda images, labels, passes, indices: (
                augment_batch(images, indices, passes, augment, seed),
                labels,
            ),
            num_parallel_calls=AUGMENTING_THREADS,
        )
    return batches.prefetch(PREFETCHED)


def evaluation_batches(
    split: Split, *, augment: AugmentConfig | None = None, variant: int = 0, seed: int = 0
) -> "tf.data.Dataset":
    """Returns the images of `split` once, in their own order.

    Args:
        split: The images.
        augment: How they are changed, or None for as they are.
        variant: The pass of training as which they are augmented.
        seed: Seed of the run.

    Returns:
        A finite dataset of `(images, labels)` as in `training_batches`.
    """
    height, width = split.images.shape[1:3]
    batch_size = max(1, min(EVALUATION_IMAGES, EVALUATION_PIXELS // (height * width)))
    labels = tf.constant(split.labels)
    read = _reader(split.images)

    def load(indices: "tf.Tensor") -> "tuple[tf.Tensor, tf.Tensor]":
        images = read(indices)
        if augment is not None:
            images = augment_batch(images, indices, variant, augment, seed)
        return images, tf.gather(labels, indices)

    return tf.data.Dataset.range(len(split)).batch(batch_size).map(load).prefetch(PREFETCHED)


def augmented_examples(
    split: Split, augment: AugmentConfig, *, seed: int, passes: int
) -> "tuple[np.ndarray, np.ndarray]":
    """Returns the first image of `split`, and the same as it looks in the first `passes` passes.

    Returns:
        uint8 `(height, width, channels)` and `(passes, height, width, channels)`, 0..255.
    """
    original = split.images[:1]
    changed = augment_batch(
        tf.repeat(original, passes, axis=0),
        tf.zeros([passes], tf.int64),
        tf.range(passes, dtype=tf.int64),
        augment,
        seed,
    )
    return original[0], tf.saturate_cast(tf.round(changed), tf.uint8).numpy()


@contextlib.contextmanager
def data_errors(*splits: Split | None) -> Iterator[None]:
    """Raises what went wrong while an image was read, not TensorFlow's report of it.

    Raises:
        DataError: If a file changed or went away after it was listed.
    """
    try:
        yield
    except tf.errors.OpError as error:
        for images in (split.images for split in splits if split is not None):
            if isinstance(images, StoredImages) and images.failures:
                raise images.failures[0] from error
        raise


def _count_grouped(images: "np.ndarray | StoredImages", batch_size: int) -> int:
    """Returns how many batches are read at once; from disk only one, or the model would wait."""
    if isinstance(images, StoredImages):
        return 1
    return max(1, min(GROUPED_BATCHES, GROUPED_BYTES // (batch_size * images[0].nbytes)))


def _reader(images: "np.ndarray | StoredImages") -> "Callable[[tf.Tensor], tf.Tensor]":
    """Returns the function, for use inside a dataset, from indices to pixels.

    Also where they are an array: as a constant TensorFlow would hold it once more, or twice.
    """

    def read(indices: "tf.Tensor") -> "tf.Tensor":
        values = tf.numpy_function(images.__getitem__, [indices], images.dtype, stateful=False)
        return tf.ensure_shape(values, (None, *images.shape[1:]))

    return read
