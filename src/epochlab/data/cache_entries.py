"""What the cache on disk holds: its entries, and which go to make room."""

import contextlib
import json
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

Kind = Literal["pixels", "checked", "features"]

ABOUT = "about.json"
# The cache may be a folder that holds other things too: nothing is listed or removed but what has
# the name of an entry, which is a SHA-256, or of one in the making.
ENTRY_NAME = re.compile(r"[0-9a-f]{64}")
MAKING_NAME = re.compile(r"\.making-[0-9a-z_]{8}")
# What is still in the making when it is a day old was left by a process that died.
ABANDONED_SECONDS = 24 * 60 * 60


@dataclass(frozen=True)
class Entry:
    """One result in the cache.

    Attributes:
        place: Its folder.
        kind: What it is.
        size: Bytes on disk.
        used: When it was last used, seconds since 1970.
    """

    place: Path
    kind: Kind
    size: int
    used: float

    @property
    def about(self) -> Mapping[str, Any]:
        """What it was made of, for a person to read; empty if that cannot be read."""
        with contextlib.suppress(OSError, ValueError):
            return json.loads((self.place / ABOUT).read_text(encoding="utf-8"))
        return {}


def cache_folder() -> Path:
    """Returns where results are kept: `$EPOCHLAB_CACHE`, or the user's cache folder."""
    if given := os.environ.get("EPOCHLAB_CACHE"):
        return Path(given)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "epochlab"
    with contextlib.suppress(RuntimeError):
        return Path.home() / ".cache" / "epochlab"
    return Path(tempfile.gettempdir()) / "epochlab-cache"


def name_beside(place: Path) -> Path:
    """Returns the folder in which an entry is made before it is renamed to `place`."""
    return place.with_name(f".making-{secrets.token_hex(4)}")


def list_entries(kind: Kind | None = None) -> list[Entry]:
    """Returns the whole entries of the cache, or those of one kind, the latest used last.

    Whatever else lies in the cache's folder is left out.
    """
    found = []
    for one, place in _find_folders(kind, ENTRY_NAME):
        with contextlib.suppress(OSError):
            if (place / ABOUT).is_file():
                size = sum(file.stat().st_size for file in place.iterdir())
                found.append(Entry(place, one, size, place.stat().st_mtime))
    return sorted(found, key=lambda entry: (entry.used, entry.place))


def make_room(kind: Kind | None, limit: int) -> list[Entry]:
    """Removes the entries used longest ago until the others take at most `limit` bytes.

    A run that has a removed one open goes on: its mapping holds the bytes. Entries of other users
    that this one may not remove stay.

    Args:
        kind: Which entries; None are those of every kind.
        limit: Bytes that may stay.

    Returns:
        The entries that were removed.
    """
    for _, place in _find_folders(kind, MAKING_NAME):
        with contextlib.suppress(OSError):
            if time.time() - place.stat().st_mtime > ABANDONED_SECONDS:
                shutil.rmtree(place, ignore_errors=True)
    entries = list_entries(kind)
    total = sum(entry.size for entry in entries)
    removed = []
    for entry in entries:
        if total <= limit:
            break
        if _remove(entry.place):
            total -= entry.size
            removed.append(entry)
    return removed


def _find_folders(kind: Kind | None, name: re.Pattern[str]) -> Iterator[tuple[Kind, Path]]:
    """Yields folders of such a name, each with its kind. No link is followed."""
    for one in get_args(Kind) if kind is None else (kind,):
        for place in (cache_folder() / one).glob("*"):
            with contextlib.suppress(OSError):
                if name.fullmatch(place.name) and stat.S_ISDIR(place.lstat().st_mode):
                    yield one, place


def _remove(place: Path) -> bool:
    """Removes an entry and tells whether that could be.

    It is renamed first. If this process dies half-way, what is left has the name of one in the
    making and goes after a day; without `about.json` it would be no entry, and stay for good.
    """
    # In a folder that users share one may be allowed to rename what one may not empty.
    if not os.access(place, os.W_OK | os.X_OK):
        return False
    beside = name_beside(place)
    try:
        place.rename(beside)
    except OSError:
        return False
    shutil.rmtree(beside, ignore_errors=True)
    return True
