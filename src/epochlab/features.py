"""The frozen part of a network, run once over each image; what it gives is kept by content."""

import hashlib
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import NonNegativeFloat, PositiveInt

from epochlab.config import Section
from epochlab.data.augment import AugmentConfig
from epochlab.data.batches import data_errors, evaluation_batches
from epochlab.data.cache import find_or_make, mapped_reader, new_array, open_array
from epochlab.data.images import ImageData, Split, StoredImages, split_sha256
from epochlab.files import replace_file
from epochlab.hashing import weights_sha256
from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf
else:
    np = lazy_import("numpy")
    tf = lazy_import("tensorflow")

# Counts up when what is computed changes, so that no older features are taken for new ones.
FORMAT = 1
FEATURES = "features.npy"
# Images copied at a time.
COPIED = 256
# Where there is no terminal.
SAID_EVERY_SECONDS = 20.0


class FeaturesConfig(Section):
    """How the output of the frozen layers is computed and kept.

    Attributes:
        variants: With augmentation, how many augmented passes over the training images are kept and
            gone through in turn; None augments anew in each pass and runs the frozen layers each
            time. Without augmentation there is one pass whatever this says.
        precision: What the frozen layers compute in, as in `training.precision`. The features are
            kept in float32.
        cache_limit: GiB of disk for features.
        save_parts: Whether the run folder also gets the features, as `features_SPLIT.npy`, and the
            weights that were trained on them, as `head.weights.h5`.
    """

    variants: PositiveInt | None
    precision: Literal["float32", "mixed_bfloat16", "auto"]
    cache_limit: NonNegativeFloat
    save_parts: bool


def compute_features(
    bottom: "keras.Model",
    data: ImageData,
    config: FeaturesConfig,
    *,
    identity: str,
    augment: AugmentConfig | None,
    seed: int,
) -> ImageData:
    """Returns `data` with the outputs of `bottom` in place of the images.

    Each split's features are an entry of the cache, keyed by the images, the weights, the layers,
    the precision, and for augmented ones by augmentation, seed and number of variants.

    Args:
        bottom: The frozen layers: raw pixels in, features `(batch, rows, columns, filters)` out.
        data: The images.
        config: How the features are computed and kept.
        identity: What `bottom` is made of: backbone, layer, preprocessing.
        augment: How training images are changed, or None.
        seed: Seed of the run.

    Raises:
        DataError: If an image file changed or went away.
    """
    rows, columns, filters = bottom.output_shape[1:]
    forward = tf.function(
        lambda images: tf.cast(bottom(images, training=False), tf.float32),
        input_signature=[tf.TensorSpec((None, *data.image_shape), tf.float32)],
    )
    frozen = _Frozen(
        forward,
        (rows, columns, filters),
        [FORMAT, identity, weights_sha256(bottom), config.precision],
        {"source": data.source, "network": identity, "precision": config.precision},
        int(config.cache_limit * 2**30),
    )
    with data_errors(*data.splits.values()):
        return replace(
            data,
            train=frozen.compute("train", data.train, config.variants, augment, seed),
            validation=data.validation and frozen.compute("validation", data.validation),
            test=frozen.compute("test", data.test),
        )


def save_parts(folder: Path, features: ImageData, top: "keras.Model") -> None:
    """Writes what was computed once and what was trained on it, each as a file of its own.

    Args:
        folder: Takes `features_SPLIT.npy` for each split, float32 `(n, rows, columns, filters)`,
            and `head.weights.h5`, for `top.load_weights`.
        features: The features.
        top: The layers above them.
    """
    with replace_file(folder / "head.weights.h5") as beside:
        top.save_weights(beside)
    for name, split in features.splits.items():
        with replace_file(folder / f"features_{name}.npy") as beside:
            images = split.images
            with new_array(beside, "float32", tuple(images.shape)) as append:
                for first in range(0, len(images), COPIED):
                    append(images[first : first + COPIED])


@dataclass(frozen=True, eq=False)
class _Frozen:
    """The frozen layers.

    Attributes:
        forward: From pixels, float32 `(batch, height, width, channels)`, to float32 features.
        shape: Of the features of one image.
        key: All that the features depend on, images and augmentation aside.
        about: The same for a person.
        limit: Bytes of disk for features.
    """

    forward: "Callable[[tf.Tensor], tf.Tensor]"
    shape: tuple[int, int, int]
    key: Sequence[Any]
    about: Mapping[str, Any]
    limit: int

    def compute(
        self,
        name: str,
        split: Split,
        variants: int | None = None,
        augment: AugmentConfig | None = None,
        seed: int = 0,
    ) -> Split:
        """Returns `split` with features for images, from the cache if they are there."""
        key = [*self.key, split_sha256(split)]
        variants = (variants or 1) if augment is not None else 1
        if augment is not None:
            key += [augment.model_dump_json(), seed, variants]
        digest = hashlib.sha256(json.dumps(key).encode())
        shape = (variants * len(split), *self.shape)
        size = 4 * math.prod(shape)

        def fill(folder: Path) -> None:
            with (
                new_array(folder / FEATURES, "float32", shape) as append,
                _progress(f"features of {name}", shape[0]) as advance,
            ):
                for variant in range(variants):
                    batches = evaluation_batches(split, augment=augment, variant=variant, seed=seed)
                    for images, _ in batches:
                        append(self.forward(tf.cast(images, tf.float32)).numpy())
                        advance(len(images))

        array = find_or_make(
            "features",
            digest,
            {**self.about, "split": name, "images": len(split), "variants": variants},
            lambda folder: open_array(folder / FEATURES, "float32", shape),
            fill,
            size=size,
            limit=max(size, self.limit),
        )
        images = StoredImages(
            mapped_reader(array), np.arange(len(array)), self.shape, digest.hexdigest(), "float32"
        )
        return Split(images, split.labels, split.names, variants)


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Says how many images per second go through and how long it will take.

    On a terminal that is a bar, elsewhere a line now and then.
    """
    started = said = time.perf_counter()
    done = 0

    def speed() -> float:
        return done / (time.perf_counter() - started)

    def say(count: int) -> None:
        nonlocal done, said
        done += count
        if time.perf_counter() - said > SAID_EVERY_SECONDS:
            said = time.perf_counter()
            print(
                f"{what}: {done:,} of {total:,} images, {speed():,.1f} per second, "
                f"{(total - done) / speed():,.0f} s left",
                flush=True,
            )

    if sys.stdout.isatty():
        from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

        columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda count: bar.advance(task, count)
            done = total
    else:
        yield say
    print(f"{what}: {total:,} images, {speed():,.1f} per second", flush=True)
