"""A folder of train, validation and test folders, each with a folder per class."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, PositiveInt

from epochlab.config import Section
from epochlab.data.augment import AugmentConfig
from epochlab.data.cache import mapped_reader
from epochlab.data.checking.skip_list import check_entries, read_skip_list
from epochlab.data.decoding import Aspect, ColorMode, Interpolation
from epochlab.data.image_files import ImageFiles, hash_files
from epochlab.data.images import ImageData, Split, StoredImages
from epochlab.data.listing import SPLITS, ListedImages, list_images
from epochlab.data.pixel_cache import StoredPixels, store_pixels
from epochlab.data.repeats import check_repeats
from epochlab.data.sources import list_shown, shown
from epochlab.errors import DataError
from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy_import("numpy")

# More bad files than this are no accident: something is wrong with the whole folder.
MAXIMUM_BAD_SHARE = 0.1
LISTED_FILES = 10
# With this few training images a class is not learned, whatever its accuracy says.
TINY_CLASS = 2


class DirectoryConfig(Section):
    """Which images to train on, how they come to one size, and how they are changed.

    Attributes:
        path: A folder with `train`, `validation` and `test`, each with one folder per class, as
            `epochlab prepare` makes it. `validation` may be absent.
        class_names: The classes that `path` must have, in any order, or None for whatever is there.
            The order of the classes is always alphabetical.
        limit: At most this many images per split, with the class shares kept, or None for all.
        skip_list: A `skip.json` from `epochlab check-data`: files to leave out; or None.
        on_bad: Whether a file that cannot be decoded ends the run, or is left out and recorded.
        image_size: Height and width that every image is brought to, in pixels.
        color_mode: Three channels or one.
        interpolation: How pixels between pixels are computed.
        aspect: What happens to images of another shape: `stretch`, `crop` or `pad`.
        cache_limit: GiB of disk for decoded pixels. A larger dataset is decoded anew in each pass.
        class_weight: `balanced` weighs each class in the loss as if all had as many images, None
            counts every image alike.
        augment: How training images are changed in each pass, or None.
    """

    path: str
    class_names: tuple[str, ...] | None
    limit: PositiveInt | None
    skip_list: str | None
    on_bad: Literal["error", "skip"]
    image_size: tuple[PositiveInt, PositiveInt]
    color_mode: ColorMode
    interpolation: Interpolation
    aspect: Aspect
    cache_limit: Annotated[float, Field(ge=0)]
    class_weight: Literal["balanced"] | None
    augment: AugmentConfig | None


def load_directory(config: DirectoryConfig) -> ImageData:
    """Lists a directory of images, and decodes and resizes each file once.

    The pixels are kept in a cache file that is found again by content and settings, and mapped into
    memory; those of a dataset that is too large for the cache are decoded when they are needed.
    Classes are those of the training split, in alphabetical order.

    Args:
        config: Which folder, and how the images come to one size.

    Raises:
        ConfigError: If `limit` is smaller than the number of classes.
        DataError: If the folder is not of this layout, holds the same images in several splits, or
            a file cannot be decoded and `on_bad` is `error`, or too many cannot. All such files are
            named, or the first ten. If the skip list is of another folder.
    """
    root = Path(config.path)
    listed, unmatched = _list_images(config, root)
    files = ImageFiles(
        root,
        listed.paths,
        hash_files(root, listed.paths),
        config.image_size,
        config.color_mode,
        config.interpolation,
        config.aspect,
    )
    stored = store_pixels(
        list(zip(files.paths, files.hashes, strict=True)),
        config.model_dump(include={"color_mode", "interpolation", "aspect"}),
        files.image_shape,
        files.decode,
        int(config.cache_limit * 2**30),
        shown(str(root.absolute())),
    )
    _check_bad_files(config, len(listed.paths), stored)
    # Only now: files that are left out are no repeats, as several downloads of 0 bytes would be.
    repeats = check_repeats(config.path, listed, files.hashes, stored.bad)
    splits = {name: _make_split(listed, files, stored, name) for name in SPLITS}
    train, test = splits["train"], splits["test"]
    assert train is not None and test is not None  # list_images has made sure
    return ImageData(
        train=train,
        validation=splits["validation"],
        test=test,
        class_names=tuple(map(shown, listed.class_names)),
        source=config.path,
        fingerprint=_fingerprint(files),
        skipped={shown(path): why for path, why in {**listed.skipped, **stored.bad}.items()},
        warnings=(*unmatched, *repeats, *_tiny_classes(train, listed.class_names)),
        file_hashes=dict(zip(map(shown, files.paths), files.hashes, strict=True)),
        class_weights=_class_weights(config, train.labels),
    )


def _list_images(config: DirectoryConfig, root: Path) -> tuple[ListedImages, list[str]]:
    """Lists the images to use, and warns of a skip list that names others."""
    if config.skip_list is None:
        return list_images(root, config.class_names).limited(config.limit), []
    skip_list = Path(config.skip_list)
    skip = read_skip_list(skip_list)
    listed = list_images(root, config.class_names, skip)
    warnings = check_entries(
        skip_list, len(skip), listed.unmatched, shown(config.path), listed.paths[0]
    )
    return listed.limited(config.limit), warnings


def _fingerprint(files: ImageFiles) -> str:
    lines = (f"{path}\0{digest}\n" for path, digest in zip(files.paths, files.hashes, strict=True))
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _check_bad_files(config: DirectoryConfig, num_files: int, stored: StoredPixels) -> None:
    if not stored.bad:
        return
    names = [f"  {shown(path)}: {reason}" for path, reason in sorted(stored.bad.items())]
    more = [f"  and {len(names) - LISTED_FILES:,} more"] if len(names) > LISTED_FILES else []
    table = "\n".join(names[:LISTED_FILES] + more)
    share = len(stored.bad) / num_files
    if config.on_bad == "error":
        raise DataError(
            f"{config.path}: {len(stored.bad)} files cannot be decoded; mend or remove them, or "
            f"leave them out with data.on_bad: skip\n{table}"
        )
    if share > MAXIMUM_BAD_SHARE:
        raise DataError(
            f"{config.path}: {len(stored.bad)} of {num_files} files cannot be decoded "
            f"({share:.0%}), too many to leave out; look at the folder\n{table}"
        )


def _make_split(
    listed: ListedImages, files: ImageFiles, stored: StoredPixels, name: str
) -> Split | None:
    positions = np.array(
        [
            position
            for position, (path, split) in enumerate(zip(listed.paths, listed.splits, strict=True))
            if split == name and path not in stored.bad
        ],
        np.int64,
    )
    if not len(positions):
        return None
    labels = np.array(listed.labels, np.int32)[positions]
    lost = sorted(set(range(len(listed.class_names))) - set(labels.tolist()))
    if lost:
        words = ", ".join(shown(listed.class_names[label]) for label in lost[:LISTED_FILES])
        raise DataError(
            f"{files.root}/{name}: no image that can be decoded is left of {words}; mend the files "
            "that `epochlab check-data` names, or remove the class from every split"
        )
    names = tuple(shown(listed.paths[position]) for position in positions)
    read = files.read if stored.pixels is None else mapped_reader(stored.pixels)
    images = StoredImages(read, positions, files.image_shape, stored.identity)
    return Split(images, labels, names)


def _tiny_classes(train: Split, class_names: Sequence[str]) -> list[str]:
    counts = np.bincount(train.labels, minlength=len(class_names))
    tiny = [
        f"{name} ({count})"
        for name, count in zip(class_names, counts, strict=True)
        if count <= TINY_CLASS
    ]
    words = list_shown(tiny, LISTED_FILES)
    return [f"classes with hardly any training images: {words}"] if tiny else []


def _class_weights(config: DirectoryConfig, labels: "np.ndarray") -> Mapping[int, float] | None:
    """Returns n / (num_classes * n_class) for each class, as scikit-learn's `balanced` does."""
    if config.class_weight is None:
        return None
    counts = np.bincount(labels)
    weights = len(labels) / (len(counts) * counts)
    return {label: float(weight) for label, weight in enumerate(weights)}
