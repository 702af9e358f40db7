"""The checkpoints of a run: the newest two and the best one, written, found and put back."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from epochlab.checkpoint_file import Progress, count_epochs, read_checkpoint, write_checkpoint
from epochlab.errors import DIVERGED_REMEDY, DivergedError, RunError
from epochlab.files import make_folder, replace_file
from epochlab.training_state import first_not_finite, put_back, read_state

if TYPE_CHECKING:
    import keras
    import numpy as np

KEPT = 2
BEST_NAME = re.compile(r"best-(\d+)\.npz")


def save_checkpoint(folder: Path, model: "keras.Model", progress: Progress) -> Path:
    """Writes the state of `model` at `progress`, and drops all but the newest two files.

    The file is written beside, read back and compared, and only then renamed: a failed write never
    costs an older checkpoint.

    Args:
        folder: Where the checkpoints of the run lie; it is made if need be, in the run's folder.
        model: The compiled model in training.
        progress: How far it has come, at least one step.

    Returns:
        The path of the new file.

    Raises:
        DivergedError: If a weight is not finite: such a state is not worth keeping.
        EnvironmentFault: If there is no room for it, or the folder cannot be written.
        FileNotFoundError: If the run's folder is not there any more.
    """
    make_folder(folder, parents=False)
    state = read_state(model)
    bad = first_not_finite(model, state)
    if bad is not None:
        raise DivergedError(
            f"{folder.parent}: {bad} is no longer finite at {progress.place}; what was saved "
            f"before is kept; {DIVERGED_REMEDY}"
        )
    within = f"-step-{progress.step:08d}" if progress.step else ""
    path = folder / f"epoch-{len(progress.history):05d}{within}.npz"
    write_checkpoint(path, progress, state)
    drop_old_checkpoints(folder)
    return path


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
            checkpoint = Checkpoint(path, *read_checkpoint(path))
        except RunError as error:
            damaged.append(str(error))
            continue
        for message in damaged:
            print(f"{message}; going on from {checkpoint.progress.place}", flush=True)
        return checkpoint
    if damaged:
        raise RunError("\n".join([*damaged, "no checkpoint of this run is whole; start a new run"]))
    return Checkpoint(None, Progress())


def keep_best(path: Path, phase: int = 1) -> None:
    """Keeps the checkpoint at `path` as the best one of its phase, whatever is dropped later.

    Each phase has a file of its own: where the newest checkpoints are damaged, a run may have to
    begin its newest phase anew, from the best epoch of the one before.
    """
    with replace_file(_best_path(path.parent, phase), size=path.stat().st_size) as beside:
        shutil.copyfile(path, beside)


def drop_best(folder: Path, phase: int) -> None:
    """Removes what `keep_best` kept of a phase that the run can no longer go back to."""
    _best_path(folder, phase).unlink(missing_ok=True)


def _best_path(folder: Path, phase: int) -> Path:
    return folder / f"best-{phase}.npz"


def adopt_best(folder: Path, phase: int, epoch: int | None) -> None:
    """Takes over what a version that had one file for all phases kept, if it is of `epoch`.

    Args:
        folder: Where the checkpoints of the run lie.
        phase: The phase that the run is in.
        epoch: The best one of that phase so far.

    Raises:
        RunError: If the file is damaged.
    """
    old, new = folder / "best.npz", _best_path(folder, phase)
    if old.exists() and not new.exists() and count_epochs(old) == epoch:
        old.rename(new)


def read_best_epoch(folder: Path) -> int | None:
    """Returns the epoch at whose end `keep_best` kept a state of the newest phase, if there is one.

    Raises:
        RunError: If the file is damaged.
    """
    # A copy that somebody made has another name.
    names = (BEST_NAME.fullmatch(path.name) for path in folder.glob("best-*"))
    phases = [int(name[1]) for name in names if name]
    if not phases:
        return None
    return count_epochs(_best_path(folder, max(phases)))


def restore_best(folder: Path, model: "keras.Model", phase: int = 1) -> None:
    """Gives `model` the state that `keep_best` kept of a phase, if there is one.

    Raises:
        RunError: If the file is damaged or belongs to another model.
    """
    path = _best_path(folder, phase)
    if path.exists():
        Checkpoint(path, *read_checkpoint(path)).restore(model)
