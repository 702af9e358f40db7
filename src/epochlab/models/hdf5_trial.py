"""An HDF5 file that is not trusted, read through once by a process that may die of it.

HDF5 is C, and its parser trusts what it reads: fuzzing found files of 30 kB on which it never
comes to an end, or takes memory without need, and others are known that crash it. None of that can
be stopped from Python in the same process.
"""

import contextlib
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

# What any file may take, of computing time and memory, and what its bytes may on top of that.
SECONDS, BYTES_PER_SECOND = 2, 10_000_000
MEMORY, MEMORY_PER_BYTE = 256 * 2**20, 4
# On a machine that is busy with other work, or a system that does not count computing time.
WAITED_SECONDS = 60
# An array may declare this many times the size of the file, as where files are read for good.
GROWTH = 10
PART_BYTES = 2**24
ENDLESS = "HDF5 does not come to its end"


def find_fault(path: Path) -> str | None:
    """Returns what is wrong with a file that HDF5 cannot read to its end, or None.

    Args:
        path: A regular file. Its groups, attributes and arrays of numbers are read, in a process of
            its own, within bounds on memory and time that follow from the file's size.
    """
    seconds = _seconds(path)
    command = [sys.executable, __file__, os.path.abspath(path)]
    try:
        finished = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=WAITED_SECONDS + 4 * seconds,
        )
    except subprocess.TimeoutExpired:
        return ENDLESS
    if finished.returncode == 0:
        return None
    if -finished.returncode == getattr(signal, "SIGXCPU", None):
        return ENDLESS
    said = finished.stdout.decode(errors="replace").strip()
    return said or f"HDF5 died of it, with {finished.returncode}"


def _seconds(path: str | Path) -> int:
    return SECONDS + math.ceil(os.path.getsize(path) / BYTES_PER_SECOND)


def _read_through(path: str) -> None:
    import h5py

    largest = GROWTH * os.path.getsize(path)

    def visit(_name: str, item: "h5py.Group | h5py.Dataset") -> None:
        for attribute in item.attrs:
            item.attrs[attribute]
        # Any other array is refused later, unread.
        if (
            isinstance(item, h5py.Dataset)
            and not (item.external or item.is_virtual)
            and item.dtype.kind == "f"
            and item.nbytes <= largest
        ):
            row = max(1, item.nbytes // max(1, item.shape[0])) if item.shape else 0
            count = max(1, PART_BYTES // row) if row else 1
            for first in range(0, item.shape[0] if item.shape else 1, count):
                item[first : first + count] if item.shape else item[()]

    with h5py.File(path, "r") as opened:
        visit("/", opened)
        opened.visititems(visit)


def _bound_process(path: str) -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        bound = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY
        bound += MEMORY_PER_BYTE * os.path.getsize(path)
        resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        seconds = math.ceil(time.process_time()) + _seconds(path)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))


def _main() -> int:
    import h5py  # noqa: F401, so that it does not count as the file's memory

    path = sys.argv[1]
    _bound_process(path)
    try:
        _read_through(path)
    except Exception as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())
