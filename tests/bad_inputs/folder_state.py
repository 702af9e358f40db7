"""What lies in a folder, and what has changed in it since."""

import hashlib
import stat
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path

# Larger files are known by size and time alone.
HASHED_BYTES = 2**20

State = Mapping[str, tuple]


def read_state(folder: Path) -> State:
    """Returns path -> kind, size, time and content of all that lies below `folder`."""
    return {str(path.relative_to(folder)): _describe(path) for path in folder.rglob("*")}


def list_changes(before: State, after: State, allowed: Sequence[str]) -> list[str]:
    """Returns what has been added, removed or changed although no pattern allows it."""
    paths = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    # A folder's own entry changes with what is in it, which is told by itself.
    return sorted(path for path in paths if not any(fnmatch(path, glob) for glob in allowed))


def _describe(path: Path) -> tuple:
    status = path.lstat()
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFLNK:
        return kind, path.readlink()
    if kind != stat.S_IFREG:
        return (kind,)
    content = b""
    if status.st_size <= HASHED_BYTES:
        content = hashlib.sha256(path.read_bytes()).digest()
    return kind, status.st_size, status.st_mtime_ns, content
