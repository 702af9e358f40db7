"""MNIST, and every `.npz` file in the layout that Keras gave it."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, PositiveInt

from epochlab.array_archive import ArchiveFault, read_arrays
from epochlab.config import Section
from epochlab.data.augment import AugmentConfig
from epochlab.data.images import ImageData, Split, array_sha256, limit_split
from epochlab.data.sources import list_shown
from epochlab.errors import DataError
from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy_import("numpy")

ARRAY_NAMES = ("x_train", "y_train", "x_test", "y_test")

# Of the arrays' own bytes, not of the archive: the same for every way of packing them.
MNIST_SHA256 = {
    "x_train": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
    "y_train": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
    "x_test": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    "y_test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
}

# Far above any dataset that fits in memory, far below what a hostile header can declare.
MAXIMUM_BYTES = 16 * 2**30
LISTED_CLASSES = 10


class MnistConfig(Section):
    """Which images to train on.

    Attributes:
        path: An `.npz` file with the arrays `x_train, y_train, x_test, y_test`, or None for the
            MNIST that ships with Epochlab.
        limit: At most this many images per split, with the class shares kept, or None for all.
        validation_fraction: The last part of the training images, 0..1, kept for validation, as
            `validation_split` of Keras does. 0 trains on all images, without validation.
        augment: How training images are changed in each pass, or None for as they are.
    """

    path: str | None
    limit: PositiveInt | None
    validation_fraction: Annotated[float, Field(ge=0, lt=1)]
    augment: AugmentConfig | None


def load_mnist(config: MnistConfig) -> ImageData:
    """Reads MNIST or a file in its layout. The pixels stay uint8.

    Args:
        config: Which file, how much of it, and how much of the training set is validation.

    Returns:
        Images of shape `(n, height, width, channels)`; a file without a channel axis gets one.
        The classes are named by their numbers.

    Raises:
        DataError: If the file is missing, damaged, or not in this layout; or if the validation
            images are all that there are of a class, as in a file that is sorted by label.
        ConfigError: If `data.limit` is smaller than the number of classes.
    """
    if config.path is None:
        source = "MNIST, shipped with Epochlab"
        arrays = _read_arrays(Path(__file__).with_name("mnist.npz"))
    else:
        source = config.path
        arrays = _read_arrays(Path(config.path))
    digests = {name: array_sha256(arrays[name]) for name in ARRAY_NAMES}
    if config.path is None:
        _check_shipped(digests)
    train, test = _make_split(arrays, "train", source), _make_split(arrays, "test", source)
    num_classes = _count_classes(train, test, source)
    train, validation = _split_off_tail(train, config.validation_fraction, source)
    warnings = _check_split_classes(train, validation, num_classes, config, source)
    return ImageData(
        train=limit_split(train, config.limit, num_classes),
        validation=validation and limit_split(validation, config.limit, num_classes),
        test=limit_split(test, config.limit, num_classes),
        class_names=tuple(str(label) for label in range(num_classes)),
        source=source,
        fingerprint=hashlib.sha256("".join(digests.values()).encode()).hexdigest(),
        warnings=warnings,
    )


def _read_arrays(path: Path) -> dict[str, "np.ndarray"]:
    """Reads the four arrays; every way in which that can fail becomes one message."""
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file" if not path.exists() else "no file"
        raise DataError(
            f"data.path: {path}: {found}; give an .npz file, or null for the shipped MNIST"
        )
    try:
        return read_arrays(path, ARRAY_NAMES, maximum_bytes=MAXIMUM_BYTES)
    except ArchiveFault as fault:
        raise DataError(
            f"{path}: {fault}; expected an .npz file with the arrays {', '.join(ARRAY_NAMES)}; "
            "fetch or make the file again"
        ) from fault


def _check_shipped(digests: dict[str, str]) -> None:
    damaged = [name for name in ARRAY_NAMES if digests[name] != MNIST_SHA256[name]]
    if damaged:
        raise DataError(
            f"the shipped MNIST is damaged: SHA-256 of {', '.join(damaged)} differs; "
            "install epochlab again"
        )


def _make_split(arrays: dict[str, "np.ndarray"], name: str, source: str) -> Split:
    """Checks one pair of arrays and gives the images their channel axis."""
    images, labels = arrays[f"x_{name}"], arrays[f"y_{name}"]
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or 0 in images.shape:
        raise DataError(
            f"{source}: x_{name} is {images.dtype} of shape {images.shape}; expected uint8 pixels "
            "0..255 of shape (images, height, width) or (images, height, width, channels)"
        )
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.shape[-1] not in (1, 3):
        raise DataError(
            f"{source}: x_{name} has {images.shape[-1]} channels (shape {images.shape}); expected "
            "1 (grey) or 3 (RGB) as the last axis"
        )
    if labels.shape == (len(images), 1):
        labels = labels[:, 0]
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape != (len(images),):
        raise DataError(
            f"{source}: y_{name} is {labels.dtype} of shape {labels.shape}; expected one whole "
            f"number per image, shape ({len(images)},)"
        )
    if labels.min() < 0 or labels.max() > 2**31 - 1:
        raise DataError(
            f"{source}: y_{name} goes from {labels.min()} to {labels.max()}; "
            "expected class numbers from 0 upwards"
        )
    names = tuple(str(index) for index in range(len(images)))
    return Split(images, labels.astype(np.int32), names)


def _count_classes(train: Split, test: Split, source: str) -> int:
    """Returns how many classes there are, once train and test are known to agree."""
    if train.images.shape[1:] != test.images.shape[1:]:
        raise DataError(
            f"{source}: training images have shape {train.images.shape[1:]}, test images "
            f"{test.images.shape[1:]}; expected the same"
        )
    present = np.unique(train.labels)
    num_classes = int(present[-1]) + 1
    if len(present) != num_classes:
        absent = np.setdiff1d(np.arange(min(num_classes, 10_000)), present)[:10]
        raise DataError(
            f"{source}: y_train has {len(present)} different classes up to {num_classes - 1}, so "
            f"{', '.join(map(str, absent))} never occur; number the classes 0, 1, 2, ..."
        )
    if num_classes < 2:
        raise DataError(f"{source}: y_train has one class only; expected two or more")
    foreign = np.setdiff1d(test.labels, present)
    if len(foreign):
        raise DataError(
            f"{source}: y_test has classes that y_train lacks: {', '.join(map(str, foreign[:10]))}"
        )
    return num_classes


def _split_off_tail(train: Split, fraction: float, source: str) -> tuple[Split, Split | None]:
    """Parts the last `fraction` of the training images off, rounding as Keras does."""
    if fraction == 0:
        return train, None
    first = int(len(train) * (1.0 - fraction))
    if first == 0 or first == len(train):
        raise DataError(
            f"data.validation_fraction: {fraction} of the {len(train)} training images in {source} "
            "leaves an empty split; give another fraction, or 0 for none"
        )
    indices = np.arange(len(train))
    return train.take(indices[:first]), train.take(indices[first:])


def _check_split_classes(
    train: Split, validation: Split | None, num_classes: int, config: MnistConfig, source: str
) -> tuple[str, ...]:
    """Refuses a split that leaves a class without training images, and warns of one not validated.

    A limit takes none away: it keeps an image of each class that a split has.
    """
    if validation is None:
        return ()
    tail = f"data.validation_fraction: {config.validation_fraction} takes the last"
    if absent := _name_absent(train, num_classes):
        raise DataError(
            f"{source}: {tail} {len(validation):,} training images, among them all of {absent}; "
            f"expected every class among the first {len(train):,}; give a smaller fraction, or 0 "
            "for no validation, or shuffle the images of the file together with their labels"
        )
    if absent := _name_absent(validation, num_classes):
        return (
            f"no validation images of {absent}: {tail} {len(validation):,} training images, and "
            "the file is not shuffled",
        )
    return ()


def _name_absent(split: Split, num_classes: int) -> str:
    """Returns `class 7` or `classes 7, 8` of those without an image, or nothing."""
    absent = np.flatnonzero(np.bincount(split.labels, minlength=num_classes) == 0)
    if not len(absent):
        return ""
    names = list_shown([str(label) for label in absent], LISTED_CLASSES)
    return f"{'class' if len(absent) == 1 else 'classes'} {names}"
