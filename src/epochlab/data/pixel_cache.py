"""Decoded pixels on disk, found again by the content of the files and the settings."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epochlab.errors import DataError
from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy_import("numpy")

# Counts up when decoding or resizing changes, so that no older pixels are taken for new ones.
FORMAT = 1
THREADS = 4


@dataclass(frozen=True, eq=False)
class StoredPixels:
    """The pixels of a list of files.

    Attributes:
        pixels: uint8 `(n, height, width, channels)` in the order of the files, mapped into memory;
            zeros for bad files.
        bad: Path of each file that cannot be decoded -> reason.
    """

    pixels: "np.ndarray"
    bad: Mapping[str, str]


def cache_folder() -> Path:
    """Returns where decoded pixels are kept: `$EPOCHLAB_CACHE`, or the user's cache folder."""
    if given := os.environ.get("EPOCHLAB_CACHE"):
        return Path(given)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "epochlab"
    with contextlib.suppress(RuntimeError):
        return Path.home() / ".cache" / "epochlab"
    return Path(tempfile.gettempdir()) / "epochlab-cache"


def store_pixels(
    files: Sequence[tuple[str, str]],
    settings: Mapping[str, Any],
    image_shape: tuple[int, int, int],
    decode: Callable[[str], "np.ndarray"],
) -> StoredPixels:
    """Returns the pixels of `files`, from the cache or, the first time, by `decode`.

    An entry is made beside its place and renamed, so that it is whole or absent, and two runs that
    make the same one at once do no harm. An entry that is damaged is made again.

    Args:
        files: Path and SHA-256 of each file.
        settings: Everything else that the pixels depend on, as JSON takes it.
        image_shape: Height, width and channels of every image.
        decode: From a path to uint8 pixels of that shape; raises DataError with the reason.
    """
    digest = hashlib.sha256(json.dumps([FORMAT, settings, image_shape]).encode())
    for path, sha256 in files:
        digest.update(f"{path}\0{sha256}\n".encode("utf-8", "surrogateescape"))
    place = cache_folder() / "pixels" / digest.hexdigest()
    shape = (len(files), *image_shape)
    stored = _open_entry(place, shape)
    if stored is not None:
        return stored
    _make_entry(place, [path for path, _ in files], shape, decode)
    stored = _open_entry(place, shape)
    if stored is None:
        raise DataError(f"{place}: cannot be read right after it was written; check this disk")
    return stored


def _open_entry(place: Path, shape: tuple[int, ...]) -> StoredPixels | None:
    try:
        pixels = np.load(place / "pixels.npy", mmap_mode="r", allow_pickle=False)
        bad = json.loads((place / "bad.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, EOFError):
        return None
    if pixels.shape != shape or pixels.dtype != np.uint8 or not isinstance(bad, dict):
        return None
    return StoredPixels(pixels, bad)


def _make_entry(
    place: Path,
    paths: Sequence[str],
    shape: tuple[int, ...],
    decode: Callable[[str], "np.ndarray"],
) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=".making-", dir=place.parent))
    try:
        bad = _fill(beside / "pixels.npy", paths, shape, decode)
        text = json.dumps(dict(sorted(bad.items())))
        (beside / "bad.json").write_text(text, encoding="utf-8")
        # A whole entry is another run's equal one, which it may be about to open: it stays, and the
        # rename fails.
        if place.exists() and _open_entry(place, shape) is None:
            shutil.rmtree(place, ignore_errors=True)
        with contextlib.suppress(OSError):
            beside.rename(place)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _fill(
    file: Path,
    paths: Sequence[str],
    shape: tuple[int, ...],
    decode: Callable[[str], "np.ndarray"],
) -> dict[str, str]:
    """Writes the pixels of all files to `file`; returns the reasons of those that are bad."""
    pixels = np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=shape)
    bad: dict[str, str] = {}

    def decode_into_place(position: int) -> None:
        try:
            pixels[position] = decode(paths[position])
        except DataError as error:
            bad[paths[position]] = str(error)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(decode_into_place, range(len(paths))))
    pixels.flush()
    return bad
