"""One checkpoint as a file: an archive of arrays that says whether it is whole.

It holds everything that the next step depends on: the weights, the counters of the random
generators inside the layers, the optimizer, the history, and within an epoch its means so far. What
else training needs (the order of the data, whether to stop) is a pure function of seed, step and
history.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epochlab.array_archive import ArchiveFault, read_arrays
from epochlab.errors import RunError
from epochlab.files import replace_file
from epochlab.hashing import arrays_sha256, as_bytes
from epochlab.history import Epoch, format_place
from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy_import("numpy")

FORMAT = 3
# Far above the state of any network here, far below what a hostile file can declare.
MAXIMUM_BYTES = 64 * 2**30
# Beginnings of the arrays' names in the file.
STATE, METRICS = "state", "metrics"


@dataclass(eq=False)
class Progress:
    """How far a run has come.

    Attributes:
        history: The epochs done so far.
        phase_starts: The first epoch of each phase that has begun, from 1.
        step: Steps done of the epoch after those; 0 at its beginning.
        seconds: Time that those steps took.
        metrics: State of the metrics after those steps, in the order of the metrics' variables.
    """

    history: list[Epoch] = field(default_factory=list)
    phase_starts: list[int] = field(default_factory=list)
    step: int = 0
    seconds: float = 0.0
    metrics: "list[np.ndarray]" = field(default_factory=list)

    @property
    def place(self) -> str:
        """Where the run stands, for a person."""
        return format_place(len(self.history), self.step)


def write_checkpoint(path: Path, progress: Progress, state: "Sequence[np.ndarray]") -> None:
    """Writes beside, reads back and compares, and only then renames.

    Args:
        path: The file.
        progress: How far training has come.
        state: Value of each variable of the training's state, in their order.

    Raises:
        EnvironmentFault: If there is no room for it, or the folder cannot be written.
        RunError: If what is read back is not what was written.
    """
    arrays = dict(_named(STATE, state)) | dict(_named(METRICS, progress.metrics))
    arrays["header"] = _pack(
        {
            "format": FORMAT,
            "history": [asdict(row) for row in progress.history],
            "phase_starts": progress.phase_starts,
            "step": progress.step,
            "seconds": progress.seconds,
        }
    )
    arrays["sha256"] = _pack(arrays_sha256(arrays))
    with replace_file(path, size=sum(array.nbytes for array in arrays.values())) as beside:
        np.savez(beside, allow_pickle=False, **arrays)
        _check_written(beside, arrays)


def _check_written(path: Path, arrays: "Mapping[str, np.ndarray]") -> None:
    """Reads a file back and compares it with what was to be written, bit for bit.

    Raises:
        RunError: If it is anything else.
    """
    written = _read_arrays(path)
    if written.keys() != arrays.keys() or not all(
        np.array_equal(as_bytes(written[name]), as_bytes(array)) for name, array in arrays.items()
    ):
        raise _not_whole(path, "what was read back is not what was written")


def read_checkpoint(path: Path) -> "tuple[Progress, list[np.ndarray]]":
    """Reads a checkpoint, compares it with the hash that it carries, and returns what was written.

    Raises:
        RunError: If it is not whole, or of another version.
    """
    arrays = _read_arrays(path)
    try:
        sha256 = _unpack(arrays.pop("sha256"))
        header = _unpack(arrays["header"])
        if header["format"] != FORMAT:
            raise ValueError(f"format {header['format']} of another version, not {FORMAT}")
        if sha256 != arrays_sha256(arrays):
            raise ValueError("its hash differs")
        progress = Progress(
            [Epoch(**row) for row in header["history"]],
            header["phase_starts"],
            header["step"],
            header["seconds"],
            _arrays(METRICS, arrays),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _not_whole(path, error) from error
    return progress, _arrays(STATE, arrays)


def count_epochs(path: Path) -> int:
    """Returns how many epochs a checkpoint has, by its header alone.

    Raises:
        RunError: If that cannot be read.
    """
    try:
        header = _unpack(read_arrays(path, ("header",), maximum_bytes=MAXIMUM_BYTES)["header"])
        return len(header["history"])
    except (ArchiveFault, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _not_whole(path, error) from error


def _named(kind: str, values: "Iterable[np.ndarray]") -> "Iterator[tuple[str, np.ndarray]]":
    """Gives each value of a kind its name in the file, in order."""
    return ((f"{kind}-{position:05d}", value) for position, value in enumerate(values))


def _arrays(kind: str, arrays: "Mapping[str, np.ndarray]") -> "list[np.ndarray]":
    """Returns what `_named` named."""
    return [arrays[name] for name in sorted(arrays) if name.startswith(kind)]


def _read_arrays(path: Path) -> "dict[str, np.ndarray]":
    try:
        return read_arrays(path, maximum_bytes=MAXIMUM_BYTES)
    except (ArchiveFault, OSError) as error:
        raise _not_whole(path, error) from error


def _not_whole(path: Path, reason: object) -> RunError:
    return RunError(f"{path}: not a whole checkpoint ({reason})")


def _pack(value: Any) -> "np.ndarray":
    return np.frombuffer(json.dumps(value).encode(), np.uint8)


def _unpack(array: "np.ndarray") -> Any:
    return json.loads(array.tobytes())
