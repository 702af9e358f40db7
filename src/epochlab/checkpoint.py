"""The exact training state at the end of an epoch, on disk.

One file holds everything that the next epoch depends on: the weights, the counters of the random
generators inside the layers, the optimizer, and the history. What else training needs (the order of
the data) is a pure function of seed and epoch.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epochlab.errors import RunError
from epochlab.files import replace_file
from epochlab.hashing import arrays_sha256
from epochlab.history import Epoch, History
from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import zipfile

    import keras
    import numpy as np
else:
    np = lazy_import("numpy")
    zipfile = lazy_import("zipfile")

FORMAT = 2
KEPT = 2
BEST = "best.npz"


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes:
        history: The epochs done so far.
        phase_starts: The first epoch of each phase that has begun, from 1.
    """

    history: list[Epoch] = field(default_factory=list)
    phase_starts: list[int] = field(default_factory=list)


def save_checkpoint(
    folder: Path, model: "keras.Model", history: History, phase_starts: Sequence[int] = (1,)
) -> Path:
    """Writes the state after the last epoch of `history`, and drops all but the newest two files.

    The file is written beside, read back and compared, and only then renamed: a failed write never
    costs an older checkpoint.

    Args:
        folder: Where the checkpoints of the run lie; it is made if need be.
        model: The compiled model in training.
        history: All epochs so far, at least one.
        phase_starts: The first epoch of each phase so far, from 1.

    Returns:
        The path of the new file.
    """
    folder.mkdir(exist_ok=True)
    arrays = {
        f"{position:05d}": np.asarray(variable) for position, variable in enumerate(_state(model))
    }
    header = {
        "format": FORMAT,
        "sha256": arrays_sha256(arrays),
        "history": [asdict(row) for row in history],
        "phase_starts": list(phase_starts),
    }
    path = folder / f"epoch-{history[-1].epoch:05d}.npz"
    with replace_file(path) as beside:
        packed = np.frombuffer(json.dumps(header).encode(), np.uint8)
        np.savez(beside, allow_pickle=False, header=packed, **arrays)
        _read(beside)
    for old in list_checkpoints(folder)[KEPT:]:
        old.unlink()
    return path


def list_checkpoints(folder: Path) -> list[Path]:
    """Returns the checkpoint files in `folder`, newest first."""
    return sorted(folder.glob("epoch-*.npz"), reverse=True)


def restore_checkpoint(folder: Path, model: "keras.Model") -> list[Epoch]:
    """Puts the newest whole checkpoint in `folder` back into `model`.

    A damaged file is passed over with a word on standard output, and the one before it is used.

    Args:
        folder: Where the checkpoints of the run lie.
        model: The compiled model, built as it was when the checkpoint was written.

    Returns:
        The epochs done so far; none if there is no checkpoint yet.

    Raises:
        RunError: If there are checkpoints but none is whole, or it belongs to another model.
    """
    newest = _read_newest(folder)
    if newest is None:
        return []
    path, header, arrays = newest
    _put_back(path, model, arrays)
    return _progress(header).history


def read_progress(folder: Path) -> Progress:
    """Returns how far the newest whole checkpoint in `folder` has come.

    Raises:
        RunError: If there are checkpoints but none is whole.
    """
    newest = _read_newest(folder)
    return Progress() if newest is None else _progress(newest[1])


def _progress(header: dict[str, Any]) -> Progress:
    return Progress([Epoch(**row) for row in header["history"]], header["phase_starts"])


def _read_newest(folder: Path) -> tuple[Path, dict[str, Any], dict[str, "np.ndarray"]] | None:
    """Returns the newest whole checkpoint, its header and its arrays; None if there is none yet."""
    damaged = []
    for path in list_checkpoints(folder):
        try:
            header, arrays = _read(path)
        except RunError as error:
            damaged.append(str(error))
            continue
        for message in damaged:
            print(f"{message}; going on from {path.name}", flush=True)
        return path, header, arrays
    if damaged:
        raise RunError("\n".join([*damaged, "no checkpoint of this run is whole; start a new run"]))
    return None


def keep_best(path: Path) -> None:
    """Keeps the checkpoint at `path` as the best one, whatever is dropped later."""
    with replace_file(path.with_name(BEST)) as beside:
        shutil.copyfile(path, beside)


def restore_best(folder: Path, model: "keras.Model") -> None:
    """Gives `model` the state that `keep_best` kept, if there is one.

    Raises:
        RunError: If the file is damaged or belongs to another model.
    """
    path = folder / BEST
    if path.exists():
        _put_back(path, model, _read(path)[1])


def _state(model: "keras.Model") -> list[Any]:
    """Returns every variable that the next epoch depends on, always in the same order.

    By position, not by name: Keras numbers the names of optimizers and seed generators by what the
    process has made before. Metrics start from zero in every epoch, so they are not state.
    """
    # The optimizer's slots exist only once it is built; until then they would be missing here.
    model.optimizer.build(model.trainable_variables)
    return [
        *model.trainable_variables,
        *model.non_trainable_variables,  # moving averages, counters of the random generators
        *model.optimizer.variables,
    ]


def _read(path: Path) -> tuple[dict[str, Any], dict[str, "np.ndarray"]]:
    """Reads a checkpoint and compares it with the hash that it carries."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        header = json.loads(arrays.pop("header").tobytes())
        whole = header["format"] == FORMAT and header["sha256"] == arrays_sha256(arrays)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise RunError(f"{path}: not a whole checkpoint ({error})") from error
    if not whole:
        raise RunError(f"{path}: not a whole checkpoint (its hash or format differs)")
    return header, arrays


def _put_back(path: Path, model: "keras.Model", arrays: dict[str, "np.ndarray"]) -> None:
    variables = _state(model)
    saved = [arrays[name] for name in sorted(arrays)]
    differing = [
        f"{variable.path} is {variable.shape}, there {array.shape}"
        for variable, array in zip(variables, saved, strict=False)
        if (tuple(variable.shape), str(variable.dtype)) != (array.shape, array.dtype.name)
    ]
    if len(variables) != len(saved):
        differing.append(f"the model has {len(variables)} variables, there are {len(saved)}")
    if differing:
        raise RunError(
            f"{path}: does not fit the model that config.yaml describes: {'; '.join(differing)}; "
            "bring back the config.yaml that the run began with, or start a new run"
        )
    for variable, array in zip(variables, saved, strict=True):
        variable.assign(array)
