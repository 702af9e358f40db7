"""Files that are either whole or absent."""

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from epochlab.errors import EnvironmentFault


@contextlib.contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Gives a path beside `path` to write to, and renames it to `path` once it is on disk.

    A crash, a full disk or an exception in the block leaves the old `path` as it was and no
    half-written file behind.

    Args:
        path: The file to create or replace. Its folder must exist.

    Yields:
        The temporary path, in the same folder and with the same suffix as `path`.

    Raises:
        EnvironmentFault: If the disk is full or the folder cannot be written.
    """
    beside = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield beside
        with beside.open("rb") as written:
            os.fsync(written.fileno())
        beside.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM):
            raise EnvironmentFault(_cannot_write(path, error)) from error
        raise
    finally:
        beside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes `text` as UTF-8 to `path`, whole or not at all."""
    with replace_file(path) as beside:
        beside.write_text(text, encoding="utf-8", newline="")


def check_writable(folder: Path) -> None:
    """Finds out, before any work is done, whether `folder` can be made and written.

    Nothing is left behind: the nearest existing folder above takes a temporary file for a moment.

    Raises:
        EnvironmentFault: If `folder` is a file, lies below one, or cannot be written.
    """
    existing = folder.absolute()
    while not os.path.lexists(existing):
        existing = existing.parent
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise EnvironmentFault(_cannot_write(folder, error)) from error


def _cannot_write(path: Path, error: OSError) -> str:
    remedies = {
        errno.ENOSPC: "free some space on this disk, or choose another folder with --out",
        errno.ENOTDIR: "a file stands in the way; choose another folder with --out",
    }
    remedy = remedies.get(
        error.errno or 0, "choose a folder that you may write to with --out, or change its rights"
    )
    return f"{path}: cannot be written ({os.strerror(error.errno or 0)}); {remedy}"


def _sync_folder(folder: Path) -> None:
    """Puts a rename on disk. Windows and some network file systems refuse; they lose nothing."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
