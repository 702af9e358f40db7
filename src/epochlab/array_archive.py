"""`.npz` files that are not trusted: what they declare is checked before any memory is taken."""

import math
import stat
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import zipfile

    import numpy as np
else:
    np = lazy_import("numpy")
    zipfile = lazy_import("zipfile")

MAXIMUM_ARRAYS = 100_000
# A larger array is no bomb as long as it does not grow more than this when it is unpacked: of
# photographs and digits it is 1 to 20 times, of a bomb 1,000 times.
HARMLESS_BYTES = 256 * 2**20
LARGEST_RATIO = 100


class ArchiveFault(Exception):
    """Why an archive cannot be used; the message follows the name of the file."""


def read_arrays(
    path: Path, names: tuple[str, ...] | None = None, *, maximum_bytes: int
) -> "dict[str, np.ndarray]":
    """Reads the arrays of an `.npz` file, once all that it declares of them has been checked.

    Args:
        path: The file.
        names: The arrays to read; whatever else is in the file is left alone. None reads all.
        maximum_bytes: What they may take in memory together.

    Returns:
        The arrays by their names.

    Raises:
        ArchiveFault: If it is no such file, damaged, larger than that when it is unpacked, holds
            Python objects, or lacks one of `names`.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ArchiveFault("is no regular file")
        with zipfile.ZipFile(path) as archive:
            members = _find_members(archive, names)
            _check_sizes(archive, members.values(), maximum_bytes)
            return {name: _read_array(archive, member) for name, member in members.items()}
    except ArchiveFault:
        raise
    except Exception as error:  # zipfile, its decoders and numpy raise whatever they stumble on
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise ArchiveFault(f"cannot be read ({ascii(reason)[1:-1]})") from error


def _find_members(
    archive: "zipfile.ZipFile", names: tuple[str, ...] | None
) -> "dict[str, zipfile.ZipInfo]":
    members: dict[str, zipfile.ZipInfo] = {}
    if len(archive.infolist()) > MAXIMUM_ARRAYS:
        raise ArchiveFault(f"holds {len(archive.infolist()):,} files; expected a few arrays")
    for member in archive.infolist():
        name = member.filename.removesuffix(".npy")
        if name in members:
            raise ArchiveFault(f"holds {name!a} twice")
        members[name] = member
    if names is None:
        return members
    missing = [name for name in names if name not in members]
    if missing:
        found = ", ".join(ascii(name)[1:-1][:80] for name in list(members)[:8]) or "nothing"
        raise ArchiveFault(f"lacks {', '.join(missing)}, has {found}")
    return {name: members[name] for name in names}


def _declared_bytes(archive: "zipfile.ZipFile", member: "zipfile.ZipInfo") -> int:
    """Returns the bytes of an array in memory, by its header, which must agree with the archive."""
    name = ascii(member.filename)
    with archive.open(member) as opened:
        version = np.lib.format.read_magic(opened)
        readers = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        if version not in readers:
            raise ArchiveFault(f"{name} is an array of format {version}")
        shape, _, dtype = readers[version](opened)
        if dtype.hasobject:
            raise ArchiveFault(f"{name} holds Python objects, which are not loaded")
        nbytes = dtype.itemsize * math.prod(shape)
        # Else numpy takes memory for what is declared before it finds out that the file ends.
        if min(shape, default=0) < 0 or opened.tell() + nbytes != member.file_size:
            raise ArchiveFault(
                f"{name} declares {dtype} {shape}, which its {member.file_size:,} bytes do not hold"
            )
    return nbytes


def _check_sizes(
    archive: "zipfile.ZipFile", members: "Collection[zipfile.ZipInfo]", maximum_bytes: int
) -> None:
    """Refuses what would fill the memory, and what grows as only a bomb does."""
    total = sum(_declared_bytes(archive, member) for member in members)
    if total > maximum_bytes:
        raise ArchiveFault(f"declares {total:,} bytes, over {maximum_bytes:,}")
    packed = sum(member.compress_size for member in members)
    if total > max(HARMLESS_BYTES, LARGEST_RATIO * packed):
        raise ArchiveFault(
            f"grows from {packed:,} to {total:,} bytes when it is unpacked, as no images do"
        )


def _read_array(archive: "zipfile.ZipFile", member: "zipfile.ZipInfo") -> "np.ndarray":
    with archive.open(member) as opened:
        return np.lib.format.read_array(opened, allow_pickle=False)
