"""The exact training state at the end of an epoch, or within one, on disk.

One file holds everything that the next step depends on: the weights, the counters of the random
generators inside the layers, the optimizer, the history, and within an epoch its means so far. What
else training needs (the order of the data, whether to stop) is a pure function of seed, step and
history.
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epochlab.array_archive import ArchiveFault, read_arrays
from epochlab.errors import DIVERGED_REMEDY, DivergedError, RunError
from epochlab.files import make_folder, replace_file
from epochlab.hashing import arrays_sha256, as_bytes
from epochlab.history import Epoch, format_place
from epochlab.lazy_import import lazy_import
from epochlab.training_state import first_not_finite, put_back, read_state

if TYPE_CHECKING:
    import keras
    import numpy as np
else:
    np = lazy_import("numpy")

FORMAT = 3
# Far above the state of any network here, far below what a hostile file can declare.
MAXIMUM_BYTES = 64 * 2**30
KEPT = 2
BEST = "best.npz"
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


def save_checkpoint(folder: Path, model: "keras.Model", progress: Progress) -> Path:
    """Writes the state of `model` at `progress`, and drops all but the newest two files.

    The file is written beside, read back and compared, and only then renamed: a failed write never
    costs an older checkpoint.

    Args:
        folder: Where the checkpoints of the run lie; it is made if need be.
        model: The compiled model in training.
        progress: How far it has come, at least one step.

    Returns:
        The path of the new file.

    Raises:
        DivergedError: If a weight is not finite: such a state is not worth keeping.
        EnvironmentFault: If there is no room for it, or the folder cannot be written.
    """
    make_folder(folder)
    state = read_state(model)
    bad = first_not_finite(model, state)
    if bad is not None:
        raise DivergedError(
            f"{folder.parent}: {bad} is no longer finite at {progress.place}; what was saved "
            f"before is kept; {DIVERGED_REMEDY}"
        )
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
    within = f"-step-{progress.step:08d}" if progress.step else ""
    path = folder / f"epoch-{len(progress.history):05d}{within}.npz"
    with replace_file(path, size=sum(array.nbytes for array in arrays.values())) as beside:
        np.savez(beside, allow_pickle=False, **arrays)
        _check_written(beside, arrays)
    drop_old_checkpoints(folder)
    return path


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


def drop_old_checkpoints(folder: Path) -> None:
    """Removes all but the newest two files."""
    for old in list_checkpoints(folder)[KEPT:]:
        old.unlink()


def list_checkpoints(folder: Path) -> list[Path]:
    """Returns the checkpoint files in `folder`, newest first."""
    # One within an epoch is newer than the one at its beginning: `epoch-00003-step-00000040.npz`.
    return sorted(folder.glob("epoch-*.npz"), key=lambda path: path.stem, reverse=True)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A state that was saved, or the beginning, where nothing is.

    Attributes:
        path: The file, or None for the beginning.
        progress: How far the training had come.
        state: Value of each variable of the training's state, in their order.
    """

    path: Path | None
    progress: Progress
    state: "Sequence[np.ndarray]" = ()

    def restore(self, model: "keras.Model") -> None:
        """Puts the state back into `model`, compiled as it was then; the beginning changes nothing.

        Raises:
            RunError: If the state is another model's.
        """
        if self.path is not None:
            put_back(model, self.state, self.path)


def read_newest(folder: Path) -> Checkpoint:
    """Returns the newest whole checkpoint in `folder`, or the beginning if there is none yet.

    A damaged file is passed over with a word on standard output, and the one before it is used.

    Args:
        folder: Where the checkpoints of the run lie.

    Raises:
        RunError: If there are checkpoints but none is whole.
    """
    damaged = []
    for path in list_checkpoints(folder):
        try:
            checkpoint = _read(path)
        except RunError as error:
            damaged.append(str(error))
            continue
        for message in damaged:
            print(f"{message}; going on from {checkpoint.progress.place}", flush=True)
        return checkpoint
    if damaged:
        raise RunError("\n".join([*damaged, "no checkpoint of this run is whole; start a new run"]))
    return Checkpoint(None, Progress())


def _named(kind: str, values: "Iterable[np.ndarray]") -> "Iterator[tuple[str, np.ndarray]]":
    """Gives each value of a kind its name in the file, in order."""
    return ((f"{kind}-{position:05d}", value) for position, value in enumerate(values))


def _arrays(kind: str, arrays: "Mapping[str, np.ndarray]") -> "list[np.ndarray]":
    """Returns what `_named` named."""
    return [arrays[name] for name in sorted(arrays) if name.startswith(kind)]


def keep_best(path: Path) -> None:
    """Keeps the checkpoint at `path` as the best one, whatever is dropped later."""
    with replace_file(path.with_name(BEST), size=path.stat().st_size) as beside:
        shutil.copyfile(path, beside)


def restore_best(folder: Path, model: "keras.Model") -> None:
    """Gives `model` the state that `keep_best` kept, if there is one.

    Raises:
        RunError: If the file is damaged or belongs to another model.
    """
    path = folder / BEST
    if path.exists():
        _read(path).restore(model)


def _read(path: Path) -> Checkpoint:
    """Reads a checkpoint and compares it with the hash that it carries."""
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
    return Checkpoint(path, progress, _arrays(STATE, arrays))


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
