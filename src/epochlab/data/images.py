"""Labelled images in memory: the form in which every loader hands its data on."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from epochlab.errors import ConfigError
from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy_import("numpy")


@dataclass(frozen=True, eq=False)
class Split:
    """One split of a dataset.

    Attributes:
        images: Raw pixels, uint8 `(n, height, width, channels)`, 0..255.
        labels: Class indices, int32 `(n,)`, 0..num_classes-1.
        names: What identifies each image in a table: a position in the source, or a file.
    """

    images: "np.ndarray"
    labels: "np.ndarray"
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: "np.ndarray") -> "Split":
        """Returns the images at `indices`, int64 `(m,)`, in that order."""
        names = tuple(self.names[index] for index in indices)
        return Split(self.images[indices], self.labels[indices], names)


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
    """

    train: Split
    validation: Split | None
    test: Split
    class_names: tuple[str, ...]
    source: str
    fingerprint: str
    skipped: Mapping[str, str] = field(default_factory=dict)

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
        }


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
    if limit < num_classes:
        raise ConfigError(
            f"data.limit: {limit} is too small for {num_classes} classes; "
            f"give at least {num_classes}, or null for all images"
        )
    counts = np.bincount(split.labels, minlength=num_classes)
    exact = counts * limit / len(split)
    quotas = np.maximum(np.floor(exact).astype(np.int64), (counts > 0).astype(np.int64))
    for label in np.argsort(-(exact - quotas), kind="stable")[: max(0, limit - quotas.sum())]:
        quotas[label] += 1
    while quotas.sum() > limit:
        quotas[np.argmax(quotas)] -= 1
    chosen = [np.flatnonzero(split.labels == label)[:quota] for label, quota in enumerate(quotas)]
    return split.take(np.sort(np.concatenate(chosen)))


def array_sha256(array: "np.ndarray") -> str:
    """Returns the SHA-256 of the bytes of `array` in C order, hexadecimal."""
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
