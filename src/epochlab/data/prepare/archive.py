"""Images in a zip that comes from anywhere: every member is judged before anything is written."""

import contextlib
import os
import re
import stat
import struct
import unicodedata
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from epochlab.data.sources import (
    Source,
    SourceFile,
    is_ignored,
    list_folder,
    reason_to_skip_folder,
    shown,
)
from epochlab.errors import DataError

# Far above the whole Kaggle set (25,000 members, 0.8 GiB), far below what fills a disk unseen.
MAXIMUM_MEMBERS = 500_000
MAXIMUM_BYTES = 64 * 2**30
# zipfile reads the whole directory of an archive into memory at once, about ten times its size.
MAXIMUM_DIRECTORY_BYTES = 64 * 2**20
# Photographs hardly shrink (ratio 1 to 3); deflate reaches 1,032 on zeros, and bombs live there.
MAXIMUM_RATIO = 100
# A tiny drawing on a plain ground may well shrink by more, and does no harm.
RATIO_EXEMPT_BYTES = 2**20


# No file system takes longer names, and checking every folder of a name costs its length squared.
MAXIMUM_NAME_LENGTH = 1024

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@contextlib.contextmanager
def open_source(place: Path) -> Iterator[Source]:
    """Lists a folder or a zip; a zip stays open inside the block.

    Raises:
        DataError: If there is neither at `place`, or the zip is damaged or could do harm.
    """
    try:
        mode = place.stat().st_mode
    except OSError as error:
        raise DataError(
            f"{place}: cannot be read ({error.strerror}); give a folder or a zip of images"
        ) from error
    if stat.S_ISDIR(mode):
        yield list_folder(place)
    elif stat.S_ISREG(mode):
        with _open_zip(place) as archive:
            yield _list_zip(place, archive)
    else:
        raise DataError(f"{place}: is neither a folder nor a file; give a folder or a zip")


def _open_zip(place: Path) -> zipfile.ZipFile:
    try:
        with place.open("rb") as opened:
            _check_directory_size(place, opened)
        return zipfile.ZipFile(place)
    # A name that claims to be UTF-8 and is not raises UnicodeDecodeError.
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, struct.error) as error:
        raise DataError(
            f"{place}: is no whole zip archive ({error}); fetch it again, or give a folder"
        ) from error
    except OSError as error:
        raise DataError(
            f"{place}: cannot be read ({error.strerror}); give a zip or a folder that you may read"
        ) from error


def _check_directory_size(place: Path, opened: BinaryIO) -> None:
    """Refuses an archive of far too many members before zipfile reads all their entries."""
    size = opened.seek(0, os.SEEK_END)
    # The end record is 22 bytes and a comment of at most 65,535; before it the 64-bit one.
    opened.seek(max(0, size - 22 - 65_535 - 76))
    tail = opened.read()
    end = tail.rfind(b"PK\5\6")
    large_end = tail.rfind(b"PK\6\6", 0, max(end, 0))
    declared = 0
    if end >= 0 and len(tail) >= end + 16:
        declared = struct.unpack_from("<L", tail, end + 12)[0]
    if large_end >= 0 and len(tail) >= large_end + 48:
        declared = struct.unpack_from("<Q", tail, large_end + 40)[0]
    if declared > MAXIMUM_DIRECTORY_BYTES:
        raise DataError(
            f"{place}: its list of members takes {declared:,} bytes, more than the "
            f"{MAXIMUM_DIRECTORY_BYTES:,} allowed; unpack it by hand and give the folder"
        )


def _list_zip(place: Path, archive: zipfile.ZipFile) -> Source:
    """Lists an archive whose members have all been found harmless; nothing is written yet.

    Raises:
        DataError: If a member could write outside DEST, clashes with another, is a link, is
            encrypted, or the archive is a bomb. The message names the member.
    """
    _check_bulk(place, archive.infolist())
    kinds: dict[str, tuple[str, bool]] = {}
    files, folders, skipped = [], set(), []
    for member in archive.infolist():
        path = _checked_path(place, member)
        parts = path.split("/")
        above = ["/".join(parts[:end]) for end in range(1, len(parts))]
        for folder in above:
            _register(place, kinds, folder, is_folder=True)
        if path:
            _register(place, kinds, path, is_folder=member.is_dir())
        if member.is_dir():
            above.append(path)
        reason = next(filter(None, map(reason_to_skip_folder, above)), None)
        if any(map(is_ignored, parts)):
            continue
        if reason is not None:
            skipped.append((path, reason))
            continue
        folders.update(filter(None, above))
        if not member.is_dir():
            files.append(SourceFile(path, member.file_size, member))
    files.sort(key=lambda file: file.path)
    return Source(place, tuple(files), tuple(sorted(folders)), tuple(sorted(skipped)), archive)


def _check_bulk(place: Path, members: list[zipfile.ZipInfo]) -> None:
    """Refuses bombs: too many members, too many bytes, overlapping or over-packed members."""
    unpacked = sum(member.file_size for member in members)
    packed = place.stat().st_size
    if len(members) > MAXIMUM_MEMBERS:
        problem = f"holds {len(members):,} members, more than the {MAXIMUM_MEMBERS:,} allowed"
    elif unpacked > MAXIMUM_BYTES:
        problem = f"unpacks to {unpacked:,} bytes, more than the {MAXIMUM_BYTES:,} allowed"
    elif unpacked > max(MAXIMUM_RATIO * packed, RATIO_EXEMPT_BYTES):
        problem = f"unpacks to more than {MAXIMUM_RATIO} times its size, as no photographs do"
    else:
        problem = _find_bad_member(members)
    if problem is not None:
        raise DataError(f"{place}: {problem}; unpack it by hand, look at it, and give the folder")


def _find_bad_member(members: list[zipfile.ZipInfo]) -> str | None:
    free_from = 0
    for member in sorted(members, key=lambda member: member.header_offset):
        allowed = max(MAXIMUM_RATIO * member.compress_size, RATIO_EXEMPT_BYTES)
        if member.file_size > allowed:
            return f"{shown(member.filename)} unpacks to {member.file_size:,} bytes, far too many"
        if member.header_offset < free_from:
            return f"{shown(member.filename)} shares its bytes with another member"
        free_from = member.header_offset + 30 + member.compress_size
    return None


def _checked_path(place: Path, member: zipfile.ZipInfo) -> str:
    """Returns the member's path below the root, empty for the root itself."""
    name = _member_name(member)
    parts = [part for part in name.split("/") if part not in ("", ".")]
    file_type = stat.S_IFMT(member.external_attr >> 16)
    problem = None
    if name.startswith("/") or re.match("[A-Za-z]:", name):
        problem = "has an absolute path"
    elif not parts and not member.is_dir():
        problem = "has no name"
    elif len(name) > MAXIMUM_NAME_LENGTH:
        problem = f"has a name of more than {MAXIMUM_NAME_LENGTH:,} letters"
    elif ".." in parts:
        problem = "leads out of its folder with .."
    elif "\\" in name or "\0" in member.orig_filename:
        problem = "has a backslash or a NUL in its name"
    elif file_type == stat.S_IFLNK:
        problem = "is a symbolic link"
    elif file_type not in (0, stat.S_IFREG, stat.S_IFDIR):
        problem = "is no regular file"
    elif member.flag_bits & 0x1:
        problem = "is encrypted"
    elif member.compress_type not in _METHODS and not member.is_dir():
        problem = f"is packed by method {member.compress_type}, and only store and deflate are read"
    if problem is not None:
        raise DataError(
            f"{place}: the member {shown(name)} {problem}; nothing was written; pack the images "
            "anew as plain files, or unpack by hand and give the folder"
        )
    return "/".join(parts)


def _member_name(member: zipfile.ZipInfo) -> str:
    """Undoes zipfile's guess: macOS writes UTF-8 names without the flag that says so."""
    if not member.flag_bits & 0x800:
        with contextlib.suppress(UnicodeError):
            return member.filename.encode("cp437").decode("utf-8")
    return member.filename


def _register(
    place: Path, kinds: dict[str, tuple[str, bool]], path: str, *, is_folder: bool
) -> None:
    """Refuses a path that some file system takes for one that is there already."""
    key = unicodedata.normalize("NFC", path).casefold()
    known_path, known_folder = kinds.get(key, (path, is_folder))
    if known_folder != is_folder:
        problem = f"is a file and a folder at once (also: {shown(known_path)})"
    elif known_path != path:
        problem = f"differs from {shown(known_path)} in case or accents only"
    elif key in kinds and not is_folder:
        problem = "is there twice"
    else:
        kinds[key] = (path, is_folder)
        return
    raise DataError(
        f"{place}: the member {shown(path)} {problem}; nothing was written; pack "
        "the images anew under different names"
    )
