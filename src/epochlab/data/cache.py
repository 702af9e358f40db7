"""Results on disk that can be made again, found by everything that they depend on."""

import contextlib
import hashlib
import json
import math
import mmap
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from epochlab.data.cache_entries import ABOUT, Kind, cache_folder, make_room, name_beside
from epochlab.errors import DataError, EnvironmentFault
from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy_import("numpy")

# Bytes read of a mapped file before its pages are given back. A small read maps all 64 KiB around
# it, so several times as much may count as memory of this process.
MAPPED_BYTES = 64 * 2**20

Opened = TypeVar("Opened")


def find_or_make(
    kind: Kind,
    key: "hashlib._Hash",
    about: Mapping[str, Any],
    open_entry: Callable[[Path], Opened | None],
    fill: Callable[[Path], None],
    *,
    size: int = 0,
    limit: int | None = None,
) -> Opened:
    """Returns an entry of the cache, made now if it is not there.

    An entry is made beside its place and renamed, so that it is whole or absent, and two runs that
    make the same one at once do no harm. One that cannot be opened is made again, and said so.

    Args:
        kind: What it is; entries of a kind share a folder and a limit.
        key: Hash of everything that the entry depends on.
        about: The same for a person to read, as JSON takes it.
        open_entry: From the entry's folder to what is returned, or None if it is not whole.
        fill: Writes the entry into an empty folder.
        size: Bytes that the new entry will take.
        limit: Bytes that all entries of this kind may take, or None. Those that were used longest
            ago make room for a new one.

    Raises:
        EnvironmentFault: If the cache cannot be written, or the entry is there and this user may
            not read it.
        DataError: If the entry cannot be read though it was just written.
    """
    folder = cache_folder() / kind
    place = folder / key.hexdigest()
    opened = open_entry(place)
    if opened is None:
        _check_rights(place)
        if place.exists():
            print(f"{place}: is damaged; made again", flush=True)
        if limit is not None:
            make_room(kind, limit - size)
        _make(place, about, open_entry, fill)
        opened = open_entry(place)
    if opened is None:
        raise DataError(f"{place}: cannot be read right after it was written; check this disk")
    with contextlib.suppress(OSError):
        os.utime(place)  # used now: the last to make room
    return opened


@contextlib.contextmanager
def new_array(
    file: Path, dtype: str, shape: tuple[int, ...]
) -> "Iterator[Callable[[np.ndarray], None]]":
    """Gives a function that appends pieces to a new `.npy` file.

    The whole file's bytes are reserved first, so that a full disk is known before any work. It is
    written, not mapped: a mapping would hold all of it in memory.

    Args:
        file: The file to make.
        dtype: Of the array.
        shape: Of the whole array; the pieces are to fill it along the first axis.

    Raises:
        OSError: If there is no room for it.
    """
    header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
    with file.open("wb") as opened:
        np.lib.format.write_array_header_2_0(opened, header)
        size = opened.tell() + math.prod(shape) * np.dtype(dtype).itemsize
        if hasattr(os, "posix_fallocate"):
            opened.flush()
            os.posix_fallocate(opened.fileno(), 0, size)

        def append(piece: "np.ndarray") -> None:
            opened.write(np.ascontiguousarray(piece, dtype).data)

        yield append
        if opened.tell() != size:
            raise ValueError(f"{file}: {opened.tell()} bytes were written, expected {size}")


def open_array(file: Path, dtype: str, shape: tuple[int, ...]) -> "np.memmap | None":
    """Returns the `.npy` file mapped into memory for reading, or None if it is not that array."""
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return array if array.shape == shape and array.dtype == dtype else None


def mapped_reader(array: "np.memmap") -> "Callable[[np.ndarray], np.ndarray]":
    """Returns a function from positions, int64 `(m,)`, to copies of those rows of `array`.

    What a process has read of a mapped file counts as its memory until the system wants it back. So
    after every `MAPPED_BYTES` the pages are given back; the system still holds them, and the next
    read maps them again without going to the disk. It may be called from any thread.
    """
    read = 0
    row_bytes = array.nbytes // max(1, len(array))
    pages: mmap.mmap = array._mmap  # type: ignore[attr-defined]

    def read_rows(positions: "np.ndarray") -> "np.ndarray":
        nonlocal read
        rows = np.asarray(array[positions])
        read += row_bytes * len(rows)
        if read > MAPPED_BYTES and hasattr(mmap, "MADV_DONTNEED"):
            pages.madvise(mmap.MADV_DONTNEED)
            read = 0
        return rows

    return read_rows


def _check_rights(place: Path) -> None:
    """Tells an entry that this user may not read from one that is damaged or absent."""
    try:
        for file in place.iterdir():
            file.open("rb").close()
    except PermissionError as error:
        raise EnvironmentFault(
            f"{error.filename}: you have no rights to read this part of the cache "
            f"({error.strerror}); have its owner run chmod -R a+rX on it, or name another folder "
            "with EPOCHLAB_CACHE"
        ) from error
    except OSError:
        return  # damaged or absent


def _make(
    place: Path,
    about: Mapping[str, Any],
    open_entry: Callable[[Path], object | None],
    fill: Callable[[Path], None],
) -> None:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        # Not by tempfile.mkdtemp, whose folders are for one user alone: others may share the cache.
        beside = name_beside(place)
        beside.mkdir()
    except OSError as error:
        raise EnvironmentFault(
            f"{place.parent}: the cache cannot be written ({error.strerror}); name another folder "
            "with EPOCHLAB_CACHE"
        ) from error
    try:
        fill(beside)
        (beside / ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        # A whole entry is another run's equal one, which it may be about to open: it stays, and the
        # rename fails.
        if place.exists() and open_entry(place) is None:
            shutil.rmtree(place, ignore_errors=True)
        with contextlib.suppress(OSError):
            beside.rename(place)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
