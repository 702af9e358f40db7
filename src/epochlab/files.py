"""Files that are either whole or absent."""

import contextlib
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from epochlab.errors import EnvironmentFault

# What the machine is to blame for, wherever it shows itself.
MACHINE_FAULTS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
)
# In the name of a file that is still being written.
TEMPORARY = ".tmp."


@contextlib.contextmanager
def replace_file(path: Path, *, size: int | None = None) -> Iterator[Path]:
    """Gives a path beside `path` to write to, and renames it to `path` once it is on disk.

    A crash, a full disk or an exception in the block leaves the old `path` as it was and no
    half-written file behind.

    Args:
        path: The file to create or replace. Its folder must exist.
        size: About how many bytes it will take, if that is known: with less room nothing is begun.

    Yields:
        The temporary path, in the same folder and with the same suffixes as `path`.

    Raises:
        EnvironmentFault: If the disk is full or the folder cannot be written.
    """
    beside = path.with_name(f".{os.getpid()}{TEMPORARY}{path.name}")
    try:
        if size is not None and shutil.disk_usage(path.parent).free < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        yield beside
        with beside.open("rb") as written:
            os.fsync(written.fileno())
        beside.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        if error.errno in MACHINE_FAULTS:
            raise EnvironmentFault(_cannot_write(path, error, size)) from error
        raise
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


def remove_temporary(folder: Path) -> list[Path]:
    """Removes what processes that were killed left half-written in `folder` and below.

    Only for a folder that no other process writes in.

    Returns:
        What was removed.
    """
    left = sorted(folder.rglob(f".*{TEMPORARY}*"))
    for path in left:
        path.unlink(missing_ok=True)
    return left


def make_folder(folder: Path, *, parents: bool = True) -> None:
    """Makes `folder` unless it is there.

    Args:
        folder: The folder.
        parents: Whether those above it are made, too.

    Raises:
        EnvironmentFault: If that cannot be.
        FileNotFoundError: If the folder above it is not there and is not to be made.
    """
    try:
        folder.mkdir(parents=parents, exist_ok=True)
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not parents:
            raise
        raise EnvironmentFault(_cannot_write(folder, error)) from error


def write_text(path: Path, text: str) -> None:
    """Writes `text` as UTF-8 to `path`, whole or not at all."""
    with replace_file(path) as beside:
        beside.write_text(text, encoding="utf-8", newline="")


def format_json(value: Mapping[str, Any]) -> str:
    """Returns `value` as the text of a JSON file, readable by people too."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def check_writable(folder: Path) -> None:
    """Finds out, before any work is done, whether `folder` can be made and written.

    Nothing is left behind: the nearest existing folder above takes a temporary file for a moment.

    Raises:
        EnvironmentFault: If `folder` is a file, lies below one, has too long a path, or cannot be
            written.
    """
    existing = folder.absolute()
    try:
        while not _is_there(existing):
            existing = existing.parent
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise EnvironmentFault(_cannot_write(folder, error)) from error


def _is_there(path: Path) -> bool:
    """Tells it as `os.path.lexists` does, but not of a path that can never be there."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _cannot_write(path: Path, error: OSError, size: int | None = None) -> str:
    remedies = {
        errno.ENOSPC: f"{_room(path, size)}free some space on this disk, or choose another folder "
        "with --out",
        errno.ENOTDIR: "a file stands in the way; choose another folder with --out",
        errno.EEXIST: "a file stands in the way; choose another folder with --out",
        errno.ENAMETOOLONG: "choose a folder with a shorter path with --out",
    }
    remedy = remedies.get(
        error.errno or 0, "choose a folder that you may write to with --out, or change its rights"
    )
    return f"{path}: cannot be written ({os.strerror(error.errno or 0)}); {remedy}"


def _room(path: Path, size: int | None) -> str:
    """Returns how many bytes are needed and free, as far as that is known."""
    with contextlib.suppress(OSError):
        free = f"{shutil.disk_usage(path.parent).free:,} bytes are free"
        return f"{free}; " if size is None else f"{size:,} bytes are needed, {free}; "
    return ""


def _sync_folder(folder: Path) -> None:
    """Puts a rename on disk. Windows and some network file systems refuse; they lose nothing."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
