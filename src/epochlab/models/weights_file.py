"""Weights files of Keras, opened without trusting them: nothing in them is executed or followed."""

import contextlib
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from epochlab.errors import RunError
from epochlab.lazy_import import lazy_import
from epochlab.models.backbone_layers import split_number
from epochlab.models.hdf5_access import (
    REMEDY,
    check_count,
    has_names,
    read_names,
    shown,
    step,
)

if TYPE_CHECKING:
    import h5py
    import numpy as np
else:
    h5py = lazy_import("h5py")
    np = lazy_import("numpy")


@dataclass(frozen=True, eq=False)
class StoredWeight:
    """One array of a file, not read yet.

    Attributes:
        name: Its name in the layer, as `kernel`; in a `.weights.h5` its position.
        dataset: The array in the file.
    """

    name: str
    dataset: "h5py.Dataset"


@dataclass(frozen=True, eq=False)
class StoredLayer:
    """One layer of a file.

    Attributes:
        name: The layer's name; a `.weights.h5` of an early Keras 3 has none.
        key: In a `.weights.h5` its class and its position among the layers of that class.
        weights: Its arrays, in the layer's own order.
    """

    name: str | None
    key: tuple[str, int] | None
    weights: tuple[StoredWeight, ...]


@dataclass(frozen=True)
class WeightsFile:
    """An opened weights file: the layers that have weights, in the file's order."""

    path: Path
    layers: tuple[StoredLayer, ...]


@contextlib.contextmanager
def open_weights_file(path: str | Path) -> Iterator[WeightsFile]:
    """Opens a `.h5` of Keras 2 or 3 or a `.weights.h5` and lists its layers; no array is read.

    Args:
        path: The file. A whole model saved as `.h5` will do as well, if the layers are its own.

    Raises:
        RunError: If the file is missing, no HDF5, damaged, of another layout, or holds something
            that can point out of it: links, external or virtual arrays.
    """
    path = Path(path).expanduser()
    _check_kind(path)
    with contextlib.ExitStack() as stack:
        try:
            root = stack.enter_context(h5py.File(path, "r"))
            layers = tuple(layer for layer in _list_layers(path, root) if layer.weights)
        except RunError:
            raise
        except Exception as error:  # HDF5 raises whatever it stumbles on in a damaged file
            raise RunError(f"{path}: damaged or cut off ({error}); fetch it again") from error
        yield WeightsFile(path, layers)


def read_array(path: Path, stored: StoredWeight) -> "np.ndarray":
    """Reads one array, float32; its shape must have been compared with the expected one before.

    Raises:
        RunError: If the file is damaged there.
    """
    try:
        return np.asarray(stored.dataset[()], np.float32)
    except Exception as error:
        place = shown(str(stored.dataset.name))
        raise RunError(f"{path}: {place} is damaged ({error}); fetch the file again") from error


def _check_kind(path: Path) -> None:
    """Refuses what is no HDF5 file, by its first bytes."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise RunError(f"{path}: is no regular file; {REMEDY}")
        with path.open("rb") as opened:
            start = opened.read(512)
        if h5py.is_hdf5(path):
            return
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RunError(f"{path}: cannot be read ({reason}); {REMEDY}") from error
    if not start:
        kind = "is empty (0 bytes)"
    elif start.startswith(b"PK"):
        kind = "is a zip, as .keras files are"
    elif start.startswith(b"version https://git-lfs"):
        kind = "is only Git LFS's pointer to a file"
    else:
        is_text = start.isascii() and b"\0" not in start
        kind = "is a text file" if is_text else "is no HDF5 file, or its beginning is damaged"
    raise RunError(f"{path}: {kind}; expected HDF5 (.h5); {REMEDY}")


def _list_layers(path: Path, root: "h5py.File") -> Iterator[StoredLayer]:
    group = root
    if not has_names(root, "layer_names") and "model_weights" in root:
        group = step(path, root, "model_weights")
    if has_names(group, "layer_names"):
        return _list_legacy(path, group)
    if "layers" in root:
        return _list_keras3(path, step(path, root, "layers"))
    found = ", ".join(shown(name) for name in list(root)[:8]) or "nothing"
    raise RunError(
        f"{path}: is no weights file of Keras: expected layer_names or layers at the top, found "
        f"{found}; {REMEDY}"
    )


def _list_legacy(path: Path, group: "h5py.Group") -> Iterator[StoredLayer]:
    """Yields the layers of a `.h5`: the attributes name them and their arrays, in order."""
    for name in read_names(path, group, "layer_names"):
        layer = step(path, group, name)
        weights = []
        for place in read_names(path, layer, "weight_names"):
            # As in block1_conv1/kernel:0, and of old block1_conv1_W_1:0.
            weight_name = place.rpartition("/")[2].partition(":")[0]
            weights.append(StoredWeight(weight_name, step(path, layer, place, to_array=True)))
        yield StoredLayer(name, None, tuple(weights))


def _list_keras3(path: Path, group: "h5py.Group") -> Iterator[StoredLayer]:
    """Yields the layers of a `.weights.h5`: `layers/conv2d_3/vars/0`."""
    check_count(path, len(group), "layers")
    for key in map(str, group):
        layer = step(path, group, key)
        if "vars" not in layer:
            continue
        variables = step(path, layer, "vars")
        check_count(path, len(variables), key)
        name = variables.attrs.get("name")
        kind, number = split_number(key)
        weights = [
            StoredWeight(position, step(path, variables, position, to_array=True))
            for position in sorted(variables, key=lambda text: (len(text), text))
        ]
        yield StoredLayer(
            name if isinstance(name, str) else None,
            (kind.replace("_", ""), number),
            tuple(weights),
        )
