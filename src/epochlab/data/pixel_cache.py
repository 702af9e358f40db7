"""Decoded pixels on disk, found again by the content of the files and the settings."""

import contextlib
import hashlib
import json
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epochlab.errors import DataError
from epochlab.lazy_import import lazy_import
from epochlab.quiet import held_back_stderr

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy_import("numpy")

# Counts up when decoding or resizing changes, so that no older pixels are taken for new ones.
FORMAT = 1
THREADS = 4
# Files handed to the threads at a time: Ctrl-C waits for no more than these.
SUBMITTED = 256


@dataclass(frozen=True, eq=False)
class StoredPixels:
    """The pixels of a list of files.

    Attributes:
        pixels: uint8 `(n, height, width, channels)` in the order of the files, mapped into memory;
            zeros for bad files. None if they are too large for the cache.
        bad: Path of each file that cannot be decoded -> reason.
    """

    pixels: "np.ndarray | None"
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
    decode: Callable[[int], "np.ndarray"],
    limit: int,
) -> StoredPixels:
    """Returns the pixels of `files`, from the cache or, the first time, by `decode`.

    An entry is made beside its place and renamed, so that it is whole or absent, and two runs that
    make the same one at once do no harm. An entry that is damaged is made again. The entries that
    were used longest ago make room for a new one.

    Args:
        files: Path and SHA-256 of each file.
        settings: Everything else that the pixels depend on, as JSON takes it.
        image_shape: Height, width and channels of every image.
        decode: From a position in `files` to uint8 pixels of that shape; raises DataError with the
            reason.
        limit: Bytes that all entries together may take. If these pixels alone take more, only the
            reasons of the bad files are kept, and `pixels` is None.
    """
    digest = hashlib.sha256(json.dumps([FORMAT, settings, image_shape]).encode())
    for path, sha256 in files:
        digest.update(f"{path}\0{sha256}\n".encode("utf-8", "surrogateescape"))
    shape = (len(files), *image_shape)
    size = math.prod(shape)
    with_pixels = size <= limit
    folder = cache_folder() / ("pixels" if with_pixels else "checked")
    place = folder / digest.hexdigest()
    stored = _open_entry(place, shape, with_pixels)
    if stored is None:
        if with_pixels:
            _make_room(folder, limit - size)
        _make_entry(place, [path for path, _ in files], shape if with_pixels else None, decode)
        stored = _open_entry(place, shape, with_pixels)
    if stored is None:
        raise DataError(f"{place}: cannot be read right after it was written; check this disk")
    with contextlib.suppress(OSError):
        os.utime(place)  # used now: the last to make room
    return stored


def _make_room(folder: Path, limit: int) -> None:
    """Removes the entries used longest ago until the others take at most `limit` bytes.

    A run that has a removed one open goes on: its mapping holds the bytes.
    """
    if not folder.is_dir():
        return
    entries = []
    for place in folder.iterdir():
        with contextlib.suppress(OSError):
            size = sum(file.stat().st_size for file in place.iterdir())
            entries.append((place.stat().st_mtime_ns, size, place))
    total = sum(size for _, size, _ in entries)
    for _, size, place in sorted(entries):
        if total <= limit:
            return
        if place.name.startswith("."):
            continue  # another run is making it
        shutil.rmtree(place, ignore_errors=True)
        total -= size


def _open_entry(place: Path, shape: tuple[int, ...], with_pixels: bool) -> StoredPixels | None:
    try:
        bad = json.loads((place / "bad.json").read_text(encoding="utf-8"))
        if not isinstance(bad, dict):
            return None
        if not with_pixels:
            return StoredPixels(None, bad)
        pixels = np.load(place / "pixels.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if pixels.shape != shape or pixels.dtype != np.uint8:
        return None
    return StoredPixels(pixels, bad)


def _make_entry(
    place: Path,
    paths: Sequence[str],
    shape: tuple[int, ...] | None,
    decode: Callable[[int], "np.ndarray"],
) -> None:
    """Makes the entry at `place`, with the pixels if their `shape` is given."""
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=".making-", dir=place.parent))
    try:
        pixels = None
        if shape is not None:
            pixels = np.lib.format.open_memmap(
                beside / "pixels.npy", mode="w+", dtype=np.uint8, shape=shape
            )
        bad = _decode_all(paths, pixels, decode)
        if pixels is not None:
            pixels.flush()
        text = json.dumps(dict(sorted(bad.items())))
        (beside / "bad.json").write_text(text, encoding="utf-8")
        # A whole entry is another run's equal one, which it may be about to open: it stays, and the
        # rename fails.
        if place.exists() and _open_entry(place, shape or (), shape is not None) is None:
            shutil.rmtree(place, ignore_errors=True)
        with contextlib.suppress(OSError):
            beside.rename(place)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _decode_all(
    paths: Sequence[str], pixels: "np.ndarray | None", decode: Callable[[int], "np.ndarray"]
) -> dict[str, str]:
    """Decodes every file, into `pixels` if there are any; returns the reasons of the bad ones."""
    bad: dict[str, str] = {}

    def decode_one(position: int) -> None:
        try:
            decoded = decode(position)
        except DataError as error:
            bad[paths[position]] = str(error)
        else:
            if pixels is not None:
                pixels[position] = decoded

    with (
        held_back_stderr(),
        _progress(len(paths)) as advance,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        for first in range(0, len(paths), SUBMITTED):
            positions = range(first, min(first + SUBMITTED, len(paths)))
            list(pool.map(decode_one, positions))
            advance(len(positions))
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
