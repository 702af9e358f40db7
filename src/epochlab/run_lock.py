"""One process at a time in a run folder."""

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from epochlab.errors import RunError

LOCK = "run.lock"


@contextlib.contextmanager
def lock_run(folder: Path) -> Iterator[None]:
    """Holds `folder` for this process.

    The lock is the kernel's: it ends with the process, however that ends, so that there is no stale
    one to guess about and a reused process number does no harm. The file says who holds it, for the
    message that a second process gets. Where a network file system keeps each host's locks to
    itself, the file alone speaks for another host; it is removed when a process ends as it should.

    Args:
        folder: The run folder.

    Raises:
        RunError: If another process holds it.
    """
    path = folder / LOCK
    with _locked(path) as opened:
        holder = _read(opened)
        host = socket.gethostname()
        if holder and holder.get("host") != host:
            raise RunError(
                f"{_held(path, holder)}; on this host ({host}) nobody can tell whether it still "
                f"runs: if it does not, delete {path}"
            )
        opened.seek(0)
        opened.truncate()
        opened.write(json.dumps({"pid": os.getpid(), "host": host, "since": _now()}) + "\n")
        opened.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def is_locked(folder: Path) -> bool:
    """Tells whether a process of this host is at work in the run at `folder`."""
    return is_held(folder / LOCK)


def is_held(path: Path) -> bool:
    """Tells whether a process of this host has locked the file at `path`."""
    try:
        with path.open("rb") as opened:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _locked(path: Path) -> IO[str]:
    """Opens and locks the file at `path`.

    Raises:
        RunError: If another process holds it.
    """
    while True:
        opened = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between opening and locking, the one before may have removed the file.
            if path.exists() and os.path.samestat(os.fstat(opened.fileno()), path.stat()):
                return opened
        except BlockingIOError:
            with opened:
                raise RunError(_held(path, _read(opened))) from None
        opened.close()


def _held(path: Path, holder: dict[str, Any]) -> str:
    who = (
        f"process {holder.get('pid')} on {holder.get('host')} since {holder.get('since')}"
        if holder
        else "another process"
    )
    return f"{path.parent}: {who} is at work in this run; wait for it, or stop it"


def _read(opened: IO[str]) -> dict[str, Any]:
    """Returns who the file says holds the lock; nothing if it says nothing that can be read."""
    opened.seek(0)
    try:
        holder = json.loads(opened.read() or "{}")
    except ValueError:  # killed while it wrote
        return {}
    return holder if isinstance(holder, dict) else {}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
