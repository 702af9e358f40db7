"""Decoded pixels on disk, found again by the content of the files and the settings."""

import contextlib
import hashlib
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epochlab.data.cache import find_or_make, new_array, open_array
from epochlab.data.image_files import UnsteadyFileError
from epochlab.data.threads import map_in_threads
from epochlab.errors import DataError
from epochlab.lazy_import import lazy_import
from epochlab.quiet import held_back_stderr

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy_import("numpy")

# Counts up when decoding or resizing changes, or what makes a file bad, so that no older pixels are
# taken for new ones. In format 1 a file that could not be read for a moment was bad for good.
FORMAT = 2

PIXELS, BAD = "pixels.npy", "bad.json"


@dataclass(frozen=True, eq=False)
class StoredPixels:
    """The pixels of a list of files.

    Attributes:
        pixels: uint8 `(n, height, width, channels)` in the order of the files, mapped into memory;
            zeros for bad files. None if they are too large for the cache.
        bad: Path of each file that cannot be decoded -> reason.
        identity: Hash of the files and of all settings, hexadecimal.
    """

    pixels: "np.memmap | None"
    bad: Mapping[str, str]
    identity: str


def store_pixels(
    files: Sequence[tuple[str, str]],
    settings: Mapping[str, Any],
    image_shape: tuple[int, int, int],
    decode: Callable[[int], "np.ndarray"],
    limit: int,
    source: str,
) -> StoredPixels:
    """Returns the pixels of `files`, from the cache or, the first time, by `decode`.

    Args:
        files: Path and SHA-256 of each file.
        settings: Everything else that the pixels depend on, as JSON takes it.
        image_shape: Height, width and channels of every image.
        decode: From a position in `files` to uint8 pixels of that shape; raises DataError with the
            reason, or UnsteadyFileError.
        limit: Bytes that all pixels in the cache may take. If these alone take more, only the
            reasons of the bad files are kept, and `pixels` is None.
        source: Where the files lie, for a person who looks at the cache.

    Raises:
        UnsteadyFileError: If `decode` does. Nothing is kept then: the hash is not that of the file
            that failed.
    """
    key = hashlib.sha256(json.dumps([FORMAT, settings, image_shape]).encode())
    for path, sha256 in files:
        key.update(f"{path}\0{sha256}\n".encode("utf-8", "surrogateescape"))
    shape = (len(files), *image_shape)
    with_pixels = math.prod(shape) <= limit
    paths = [path for path, _ in files]

    def fill(folder: Path) -> None:
        if with_pixels:
            with new_array(folder / PIXELS, "uint8", shape) as append:
                bad = _decode_all(paths, image_shape, decode, append)
        else:
            bad = _decode_all(paths, image_shape, decode, lambda _: None)
        (folder / BAD).write_text(json.dumps(dict(sorted(bad.items()))), encoding="utf-8")

    return find_or_make(
        "pixels" if with_pixels else "checked",
        key,
        {"source": source, "images": len(files), "image_shape": image_shape, **settings},
        lambda folder: _open_entry(folder, shape, with_pixels, key.hexdigest()),
        fill,
        size=math.prod(shape) if with_pixels else 0,
        limit=limit if with_pixels else None,
    )


def _open_entry(
    folder: Path, shape: tuple[int, ...], with_pixels: bool, identity: str
) -> StoredPixels | None:
    try:
        bad = json.loads((folder / BAD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    pixels = open_array(folder / PIXELS, "uint8", shape) if with_pixels else None
    if not isinstance(bad, dict) or (with_pixels and pixels is None):
        return None
    return StoredPixels(pixels, bad, identity)


def _decode_all(
    paths: Sequence[str],
    image_shape: tuple[int, int, int],
    decode: Callable[[int], "np.ndarray"],
    append: "Callable[[np.ndarray], None]",
) -> dict[str, str]:
    """Decodes every file and appends its pixels; returns the reasons of the bad ones."""
    bad: dict[str, str] = {}

    def decode_one(position: int) -> "np.ndarray":
        try:
            return decode(position)
        except UnsteadyFileError:
            raise
        except DataError as error:
            bad[paths[position]] = str(error)
            return np.zeros(image_shape, np.uint8)

    with held_back_stderr(), _progress(len(paths)) as advance:
        for pixels in map_in_threads(decode_one, range(len(paths))):
            append(pixels)
            advance(1)
    return bad


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """Says that something takes its time; on a terminal with a bar and the time left."""
    if not sys.stdout.isatty():
        print(f"decoding {total:,} images, once", flush=True)
        yield lambda _: None
        return
    from rich.progress import Progress

    with Progress(transient=True) as bar:
        task = bar.add_task(f"decoding {total:,} images, once", total=total)
        yield lambda count: bar.advance(task, count)
