"""Labelled images: the form in which every loader hands its data on."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from epochlab.errors import ConfigError, DataError
from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy_import("numpy")


@dataclass(frozen=True, eq=False)
class StoredImages:
    """Images on disk that are read when they are indexed, as an array would be.

    Attributes:
        read: From positions, int64 `(m,)`, to raw pixels, `(m, height, width, channels)`. It may be
            called from any thread.
        positions: What `read` takes for each image, int64 `(n,)`.
        image_shape: Height, width and channels of every image, in pixels.
        identity: Hash of everything that the values depend on, positions aside.
        dtype: Of the values: `uint8` pixels, or `float32` features that take an image's place.
        failures: What went wrong in `read`, where only TensorFlow could see it.
    """

    read: "Callable[[np.ndarray], np.ndarray]"
    positions: "np.ndarray"
    image_shape: tuple[int, int, int]
    identity: str
    dtype: str = "uint8"
    failures: list[DataError] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """`(n, height, width, channels)`."""
        return (len(self.positions), *self.image_shape)

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, key: "np.ndarray | slice | list[int]") -> "np.ndarray":
        """Reads the images that `key` selects."""
        try:
            return self.read(self.positions[key])
        except DataError as error:
            self.failures.append(error)
            raise

    def select(self, indices: "np.ndarray") -> "StoredImages":
        """Returns the images at `indices`, int64 `(m,)`, in that order, without reading them."""
        return replace(self, positions=self.positions[indices])


@dataclass(frozen=True, eq=False)
class Split:
    """One split of a dataset.

    Attributes:
        images: Raw pixels, uint8 `(n, height, width, channels)`, 0..255, in memory or on disk.
        labels: Class indices, int32 `(n,)`, 0..num_classes-1.
        names: What identifies each image in a table: a position in the source, or a file.
        variants: How many augmented variants of each image there are: variant v of image i is
            `images[v * len(labels) + i]`.
    """

    images: "np.ndarray | StoredImages"
    labels: "np.ndarray"
    names: tuple[str, ...]
    variants: int = 1

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: "np.ndarray") -> "Split":
        """Returns the images at `indices`, int64 `(m,)`, in that order."""
        names = tuple(self.names[index] for index in indices)
        images = self.images
        images = images.select(indices) if isinstance(images, StoredImages) else images[indices]
        return Split(images, self.labels[indices], names)


@dataclass(frozen=True, eq=False)
class ImageData:
    """Training, validation and test images of one dataset.

    Attributes:
        train: The images to learn from.
        validation: The images to watch while learning, or None.
        test: The images that are scored once, at the end.
        class_names: One name per class index.
        source: Where the data comes from, for a person to read.
        fingerprint: SHA-256 over everything in the source, hexadecimal.
        skipped: Files that were left out, each with the reason.
        warnings: What a person should know about the data before trusting a result.
        file_hashes: SHA-256 of each file that was read, by its name; of a source in one file, none.
        class_weights: Weight of each class in the loss, or None for equal ones.
    """

    train: Split
    validation: Split | None
    test: Split
    class_names: tuple[str, ...]
    source: str
    fingerprint: str
    skipped: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    file_hashes: Mapping[str, str] = field(default_factory=dict)
    class_weights: Mapping[int, float] | None = None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every image, in pixels."""
        height, width, channels = self.train.images.shape[1:]
        return height, width, channels

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    @property
    def splits(self) -> dict[str, Split]:
        """The splits that exist, by name, in the order train, validation, test."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in named.items() if split is not None}

    def describe(self) -> dict[str, object]:
        """Returns what `data.json` records: source, fingerprint, shape, images per class."""
        return {
            "source": self.source,
            "sha256": self.fingerprint,
            "image_shape": list(self.image_shape),
            "class_names": list(self.class_names),
            "images": {name: len(split) for name, split in self.splits.items()},
            "images_per_class": {
                name: dict(
                    zip(
                        self.class_names,
                        np.bincount(split.labels, minlength=self.num_classes).tolist(),
                        strict=True,
                    )
                )
                for name, split in self.splits.items()
            },
            "skipped": dict(self.skipped),
            "warnings": list(self.warnings),
        }


def split_sha256(split: Split) -> str:
    """Returns a hash of what is in the images of `split` and of their order, hexadecimal."""
    images = split.images
    if isinstance(images, StoredImages):
        return hashlib.sha256(images.identity.encode() + images.positions.tobytes()).hexdigest()
    return array_sha256(images)


def limit_split(split: Split, limit: int | None, num_classes: int) -> Split:
    """Returns at most `limit` images of `split`, with its class shares kept.

    The first images of each class are taken, in their old order; the rounding goes to the classes
    with the largest remainders, as in an election by quotas, but every class that `split` has
    keeps at least one image.

    Raises:
        ConfigError: If `limit` is too small for one image of each class.
    """
    if limit is None or limit >= len(split):
        return split
    return split.take(limit_positions(split.labels, limit, num_classes))


def limit_positions(labels: "np.ndarray", limit: int | None, num_classes: int) -> "np.ndarray":
    """Returns the positions of at most `limit` images, int64, ascending, as in `limit_split`.

    Args:
        labels: Class indices, integers `(n,)`.
        limit: At most this many, or None for all.
        num_classes: How many classes there are.

    Raises:
        ConfigError: If `limit` is too small for one image of each class.
    """
    if limit is None or limit >= len(labels):
        return np.arange(len(labels))
    if limit < num_classes:
        raise ConfigError(
            f"data.limit: {limit} is too small for {num_classes} classes; "
            f"give at least {num_classes}, or null for all images"
        )
    counts = np.bincount(labels, minlength=num_classes)
    exact = counts * limit / len(labels)
    quotas = np.maximum(np.floor(exact).astype(np.int64), (counts > 0).astype(np.int64))
    for label in np.argsort(-(exact - quotas), kind="stable")[: max(0, limit - quotas.sum())]:
        quotas[label] += 1
    while quotas.sum() > limit:
        quotas[np.argmax(quotas)] -= 1
    chosen = [np.flatnonzero(labels == label)[:quota] for label, quota in enumerate(quotas)]
    return np.sort(np.concatenate(chosen))


def array_sha256(array: "np.ndarray") -> str:
    """Returns the SHA-256 of the bytes of `array` in C order, hexadecimal."""
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
