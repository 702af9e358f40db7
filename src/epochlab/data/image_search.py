"""Which image files the paths on a command line mean: listed without opening, read with care."""

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from epochlab.data.listing import IMAGE_SUFFIXES
from epochlab.data.sources import is_ignored, shown
from epochlab.errors import DataError

LISTED_FILES = 10
# Larger than any image of the most pixels that are decoded: four bytes each, as in a BMP.
MAXIMUM_BYTES = 2**30 + 2**20


@dataclass(frozen=True)
class FoundImages:
    """The image files that were asked for.

    Attributes:
        files: Where each file really is -> its path as it was asked for, in the order given; those
            of a folder in the order of their paths.
        unreadable: Folder that cannot be listed -> reason.
        left_out: How many files and folders inside folders were left alone: hidden ones, links,
            pipes, devices, and what has no image's suffix.
    """

    files: Mapping[str, Path]
    unreadable: Mapping[Path, str]
    left_out: int


def find_images(paths: Sequence[Path]) -> FoundImages:
    """Lists the image files that `paths` name, without opening them.

    A file that is named is taken whatever its suffix. A folder is searched to any depth for files
    with an image's suffix; links, pipes and devices in it are never followed or opened. A file that
    is found twice counts once.

    Raises:
        DataError: If a path is not there, is neither file nor folder, or nothing is found.
    """
    wrong = [f"{shown(str(path))}: {why}" for path in paths if (why := _reason_to_refuse(path))]
    if wrong:
        more = [f"and {len(wrong) - LISTED_FILES:,} more"] if len(wrong) > LISTED_FILES else []
        raise DataError("; ".join(wrong[:LISTED_FILES] + more) + "; give image files or folders")
    files: dict[str, Path] = {}
    unreadable: dict[Path, str] = {}
    left_out = 0
    for path in paths:
        real = os.path.realpath(path)
        if not path.is_dir():
            files.setdefault(real, path)
            continue
        below, skipped, others = _walk(path)
        unreadable |= skipped
        left_out += others
        for name in sorted(below):
            files.setdefault(os.path.join(real, name), path / name)
    if not files:
        reasons = "".join(f"; {shown(str(path))} {why}" for path, why in unreadable.items())
        raise DataError(
            f"{', '.join(shown(str(path)) for path in paths[:LISTED_FILES])}: no image files found"
            f"{reasons}; expected files that end in {' '.join(IMAGE_SUFFIXES)}"
        )
    return FoundImages(files, unreadable, left_out)


def read_image(place: str) -> bytes:
    """Returns the bytes of the file at `place`, a key of `FoundImages.files`.

    Raises:
        DataError: If it cannot be read, or is too large; the message is the reason alone.
    """
    try:
        # It may have been exchanged since it was listed, for a link or a pipe without writer.
        descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as opened:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise DataError("is no regular file any more")
            if status.st_size > MAXIMUM_BYTES:
                raise DataError(f"has {status.st_size:,} bytes; at most {MAXIMUM_BYTES:,} are read")
            return opened.read()
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})") from error


def _reason_to_refuse(path: Path) -> str | None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "no such file or folder"
    except (OSError, ValueError) as error:
        return f"cannot be looked at ({getattr(error, 'strerror', None) or error})"
    return None if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else "neither a file nor a folder"


def _walk(root: Path) -> tuple[list[str], dict[Path, str], int]:
    """Returns the images' paths below `root`, the folders that cannot be listed, other entries."""
    images: list[str] = []
    unreadable: dict[Path, str] = {}
    left_out = 0
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(root / folder) as listing:
                entries = list(listing)
        except OSError as error:
            unreadable[root / folder] = f"cannot be listed ({error.strerror})"
            continue
        for entry in entries:
            hidden = entry.name.startswith(".")
            if is_ignored(entry.name):
                continue
            if not hidden and entry.is_dir(follow_symlinks=False):
                folders.append(os.path.join(folder, entry.name))
            elif (
                not hidden
                and entry.is_file(follow_symlinks=False)
                and entry.name.lower().endswith(IMAGE_SUFFIXES)
            ):
                images.append(os.path.join(folder, entry.name))
            else:
                left_out += 1
    return images, unreadable, left_out
