"""Where images come from: a folder or a zip, listed without following or opening anything."""

import os
import stat
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from epochlab.errors import DataError

# Folders below SOURCE that are looked into: PetImages/Cat/N.jpg needs two, a wrapping folder one.
MAXIMUM_DEPTH = 3
# What operating systems leave in folders and zips. It is no part of any dataset.
IGNORED_NAMES = frozenset({".DS_Store", "Thumbs.db", "desktop.ini", "__MACOSX"})

_CHUNK_BYTES = 2**20


@dataclass(frozen=True)
class SourceFile:
    """One regular file of a source.

    Attributes:
        path: Where it lies below the source, with `/` between folders.
        size: Bytes, unpacked.
        member: Its entry where the source is a zip.
    """

    path: str
    size: int
    member: zipfile.ZipInfo | None = None


@dataclass(frozen=True)
class Source:
    """A folder or a zip: everything in it that may be used, in an order of its own making.

    Attributes:
        place: The folder or the zip.
        files: Its regular files, sorted by path, whatever order the file system has.
        folders: Paths of its folders, the empty ones too, sorted.
        skipped: Path and reason of what is left alone: links, pipes, devices, hidden folders.
        archive: The opened zip, or None for a folder.
    """

    place: Path
    files: tuple[SourceFile, ...]
    folders: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    archive: zipfile.ZipFile | None = None

    def read(self, file: SourceFile) -> Iterator[bytes]:
        """Yields the bytes of `file` in pieces.

        Raises:
            DataError: If it cannot be read, or a zip's data or checksum is wrong.
        """
        name = f"{self.place}: {shown(file.path)}"
        try:
            with self._open(file) as opened:
                while chunk := opened.read(_CHUNK_BYTES):
                    yield chunk
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise DataError(
                f"{name}: the zip is damaged there ({error}); fetch the archive again"
            ) from error
        except OSError as error:
            raise DataError(
                f"{name}: cannot be read ({error.strerror or error}); change its rights, or give "
                "another source"
            ) from error

    def _open(self, file: SourceFile) -> BinaryIO:
        if self.archive is not None and file.member is not None:
            return cast(BinaryIO, self.archive.open(file.member))
        # The file may have been exchanged since it was listed, for a link or a pipe without writer.
        opened = os.fdopen(
            os.open(self.place / file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb"
        )
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            opened.close()
            raise DataError(
                f"{self.place}: {shown(file.path)}: is no regular file any more; start again"
            )
        return opened


def shown(name: str) -> str:
    """Returns `name` as one printable line: newlines and bytes that are not UTF-8 are escaped."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in name
    )


def list_shown(names: Sequence[str], most: int) -> str:
    """Returns the first `most` names as `shown` writes them, and dots where there are more."""
    more = ", ..." if len(names) > most else ""
    return ", ".join(map(shown, names[:most])) + more


def list_folder(place: Path) -> Source:
    """Lists the folder at `place` without following links or opening anything but folders.

    Raises:
        DataError: If a folder cannot be read.
    """
    files, folders, skipped = [], [], []
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        for name, status in _entries(place / folder):
            path = f"{folder}/{name}" if folder else name
            reason = _reason_to_skip(path, status.st_mode)
            if reason is not None:
                skipped.append((path, reason))
            elif stat.S_ISDIR(status.st_mode):
                folders.append(path)
                waiting.append(path)
            else:
                files.append(SourceFile(path, status.st_size))
    files.sort(key=lambda file: file.path)
    return Source(place, tuple(files), tuple(sorted(folders)), tuple(sorted(skipped)))


def _entries(folder: Path) -> list[tuple[str, os.stat_result]]:
    try:
        with os.scandir(folder) as listing:
            return [
                (entry.name, entry.stat(follow_symlinks=False))
                for entry in listing
                if not is_ignored(entry.name)
            ]
    except OSError as error:
        raise DataError(
            f"{shown(str(folder))}: cannot be listed ({error.strerror}); change its rights, or "
            "give another folder"
        ) from error


def is_ignored(name: str) -> bool:
    """Tells what an operating system left there, by the name of one file or folder."""
    # macOS keeps what other file systems cannot hold in a second file with this prefix.
    return name in IGNORED_NAMES or name.startswith("._")


def reason_to_skip_folder(path: str) -> str | None:
    """Returns why the folder at `path` below the source is not looked into, None if it is."""
    if path.rpartition("/")[2].startswith("."):
        return "hidden folder"
    if path.count("/") >= MAXIMUM_DEPTH:
        return f"lies more than {MAXIMUM_DEPTH} folders deep"
    return None


def _reason_to_skip(path: str, mode: int) -> str | None:
    if stat.S_ISDIR(mode):
        return reason_to_skip_folder(path)
    kinds = {
        stat.S_IFREG: None,
        stat.S_IFLNK: "symbolic link, never followed",
        stat.S_IFIFO: "named pipe, never opened",
        stat.S_IFSOCK: "socket, never opened",
        stat.S_IFBLK: "device, never opened",
        stat.S_IFCHR: "device, never opened",
    }
    return kinds.get(stat.S_IFMT(mode), "not a regular file")
