"""A folder of train, validation and test folders, each with a folder per class."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import PositiveInt

from epochlab.config import Section
from epochlab.data.decoding import (
    Aspect,
    ColorMode,
    Interpolation,
    decode_image,
    resize_image,
)
from epochlab.data.images import ImageData, Split, limit_split
from epochlab.data.listing import SPLITS, ListedImages, list_images
from epochlab.data.pixel_cache import THREADS, StoredPixels, store_pixels
from epochlab.data.sources import shown
from epochlab.errors import DataError
from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy_import("numpy")

# More bad files than this are no accident: something is wrong with the whole folder.
MAXIMUM_BAD_SHARE = 0.1
LISTED_FILES = 10


class DirectoryConfig(Section):
    """Which images to train on, and how they come to one size.

    Attributes:
        path: A folder with `train`, `validation` and `test`, each with one folder per class, as
            `epochlab prepare` makes it. `validation` may be absent.
        limit: At most this many images per split, with the class shares kept, or None for all.
        image_size: Height and width that every image is brought to, in pixels.
        color_mode: Three channels or one.
        interpolation: How pixels between pixels are computed.
        aspect: What happens to images of another shape: `stretch`, `crop` or `pad`.
        on_bad: Whether a file that cannot be decoded ends the run, or is left out and recorded.
    """

    path: str
    limit: PositiveInt | None
    image_size: tuple[PositiveInt, PositiveInt]
    color_mode: ColorMode
    interpolation: Interpolation
    aspect: Aspect
    on_bad: Literal["error", "skip"]


def load_directory(config: DirectoryConfig) -> ImageData:
    """Reads a directory of images, decoding and resizing each file once.

    The pixels are kept in a cache file that is found again by content and settings, and mapped into
    memory. Classes are those of the training split, in alphabetical order.

    Args:
        config: Which folder, and how the images come to one size.

    Raises:
        DataError: If the folder is not of this layout, or a file cannot be decoded and `on_bad` is
            `error`, or too many cannot. All such files are named, or the first ten.
    """
    root = Path(config.path)
    listed = list_images(root)
    hashes = _hash_files(root, listed.paths)
    settings = config.model_dump(
        include={"image_size", "color_mode", "interpolation", "aspect"}, mode="json"
    )

    def decode(path: str) -> "np.ndarray":
        image = decode_image((root / path).read_bytes(), config.color_mode)
        return resize_image(image, config.image_size, config.interpolation, config.aspect)

    channels = 3 if config.color_mode == "rgb" else 1
    stored = store_pixels(
        list(zip(listed.paths, hashes, strict=True)),
        settings,
        (*config.image_size, channels),
        decode,
    )
    _check_bad_files(config, listed, stored)
    splits = {name: _make_split(listed, stored, name, config.limit) for name in SPLITS}
    train, test = splits["train"], splits["test"]
    assert train is not None and test is not None  # list_images has made sure
    return ImageData(
        train=train,
        validation=splits["validation"],
        test=test,
        class_names=listed.class_names,
        source=config.path,
        fingerprint=_fingerprint(listed, hashes),
        skipped={**listed.skipped, **stored.bad},
    )


def _hash_files(root: Path, paths: Sequence[str]) -> list[str]:
    def hash_file(path: str) -> str:
        try:
            return hashlib.sha256((root / path).read_bytes()).hexdigest()
        except OSError as error:
            raise DataError(f"{root / path}: cannot be read ({error.strerror})") from error

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(hash_file, paths))


def _fingerprint(listed: ListedImages, hashes: Sequence[str]) -> str:
    lines = (f"{path}\0{digest}\n" for path, digest in zip(listed.paths, hashes, strict=True))
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _check_bad_files(config: DirectoryConfig, listed: ListedImages, stored: StoredPixels) -> None:
    if not stored.bad:
        return
    names = [f"  {shown(path)}: {reason}" for path, reason in sorted(stored.bad.items())]
    more = [f"  and {len(names) - LISTED_FILES:,} more"] if len(names) > LISTED_FILES else []
    table = "\n".join(names[:LISTED_FILES] + more)
    share = len(stored.bad) / len(listed.paths)
    if config.on_bad == "error":
        raise DataError(
            f"{config.path}: {len(stored.bad)} files cannot be decoded; mend or remove them, or "
            f"leave them out with data.on_bad: skip\n{table}"
        )
    if share > MAXIMUM_BAD_SHARE:
        raise DataError(
            f"{config.path}: {len(stored.bad)} of {len(listed.paths)} files cannot be decoded "
            f"({share:.0%}), too many to leave out; look at the folder\n{table}"
        )


def _make_split(
    listed: ListedImages, stored: StoredPixels, name: str, limit: int | None
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
    if len(np.unique(labels)) != len(listed.class_names):
        raise DataError(f"{name}: a class has no image left that can be decoded")
    names = tuple(listed.paths[position] for position in positions)
    split = Split(stored.pixels[positions], labels, names)
    return limit_split(split, limit, len(listed.class_names))
