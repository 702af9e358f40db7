"""A prepared folder on disk: built beside its place, whole or not at all."""

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from epochlab.data.sources import Source, SourceFile, shown
from epochlab.errors import DataError, EnvironmentFault


@contextlib.contextmanager
def build_folder(wanted: Path) -> Iterator[Path]:
    """Gives an empty folder beside `wanted`, and renames it to `wanted` after the block.

    What an interrupted call left there is removed. When the block fails, nothing stays.

    Raises:
        EnvironmentFault: If the folder cannot be written, or another call is making it just now.
        DataError: If `wanted` has come into being meanwhile.
    """
    beside = wanted.with_name(f".{wanted.name}.epochlab-preparing")
    made = [folder for folder in wanted.parents if not folder.exists()]
    try:
        wanted.parent.mkdir(parents=True, exist_ok=True)
        with _claim(beside, wanted):
            try:
                yield beside
                _sync(beside)
                _rename(beside, wanted)
            except BaseException:
                shutil.rmtree(beside, ignore_errors=True)
                raise
        _sync(wanted.parent)
    except BaseException as error:
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        if isinstance(error, OSError):
            raise EnvironmentFault(
                f"{wanted}: cannot be written ({os.strerror(error.errno or 0)}); free some space, "
                "change the rights, or choose another DEST"
            ) from error
        raise


@contextlib.contextmanager
def _claim(beside: Path, wanted: Path) -> Iterator[None]:
    """Makes `beside`, or empties what a dead call left there; refuses while its maker lives."""
    beside.mkdir(exist_ok=True)
    # The lock is the folder's own, so it goes with the process, however that ends.
    descriptor = os.open(beside, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise EnvironmentFault(
                f"{wanted}: another `epochlab prepare` is making it just now; wait for its end"
            ) from error
        except OSError:
            pass  # Some network file systems lock no folders; the rename is still all or nothing.
        for entry in list(os.scandir(beside)):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)
        yield
    finally:
        os.close(descriptor)


def _rename(beside: Path, wanted: Path) -> None:
    try:
        beside.rename(wanted)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        raise DataError(
            f"{wanted}: came into being meanwhile; look at it, then start again"
        ) from error


def place_files(
    source: Source, files: Mapping[str, SourceFile], folder: Path, link: bool
) -> tuple[dict[str, dict[str, Any]], dict[str, int]]:
    """Links, copies or extracts `files`, which maps paths in `folder` to the source's files.

    Returns:
        Size, SHA-256 and origin of each, and how many are hard links and copies.

    Raises:
        DataError: If a file cannot be read, is damaged, or changes meanwhile.
        EnvironmentFault: If the disk has not enough space for copies.
    """
    if not link:
        _check_space(folder, sum(file.size for file in files.values()))
    records, storage = {}, {"links": 0, "copies": 0}
    for parent in sorted({(folder / path).parent for path in files}):
        parent.mkdir(parents=True)
    for path, file in files.items():
        linked = link and _make_link(source.place / file.path, folder / path)
        storage["links" if linked else "copies"] += 1
        digest, size = hashlib.sha256(), 0
        with contextlib.nullcontext() if linked else (folder / path).open("xb") as copy:
            for chunk in source.read(file):
                digest.update(chunk)
                size += len(chunk)
                if copy is not None:
                    copy.write(chunk)
        if size != file.size:
            raise DataError(
                f"{source.place}: {shown(file.path)}: has {size} bytes where {file.size} were "
                "listed; it is damaged or being written; look at it, then start again"
            )
        records[path] = {"size": size, "sha256": digest.hexdigest(), "source": file.path}
    return records, storage


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise EnvironmentFault(
            f"{folder.parent}: the images need {needed:,} bytes, {free:,} are free; free some "
            "space, or choose a DEST on another disk"
        )


def _make_link(original: Path, target: Path) -> bool:
    try:
        os.link(original, target, follow_symlinks=False)
    except OSError:
        # Another file system, or one without hard links. Where it is something else, the copy that
        # is tried now fails too, and tells the cause.
        return False
    return True


def sync_folder(folder: Path, files: Iterable[str]) -> None:
    """Puts `files` and all folders below `folder` on disk.

    Done after all are written, when the system has most of it on disk already: an fsync after each
    file would wait thousands of times.
    """
    for path in files:
        _sync(folder / path)
    for path, _, _ in os.walk(folder, topdown=False):
        _sync(Path(path))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
