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
    Hdf5Source,
    check_count,
    has_names,
    read_names,
    read_text,
    shown,
    step,
)
from epochlab.models.hdf5_trial import find_fault

if TYPE_CHECKING:
    import h5py
    import numpy as np
else:
    h5py = lazy_import("h5py")
    np = lazy_import("numpy")

REMEDY = "give a file that model.save_weights wrote, or set model.weights to imagenet or none"


@dataclass(frozen=True, eq=False)
class StoredWeight:
    """One array of a file, not read yet.

    Attributes:
        name: Its name in the layer, as `kernel`; in a `.weights.h5` its position.
        place: Where it lies in the layer, as `block1_conv1/kernel`.
        dataset: The array in the file.
    """

    name: str
    place: str
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
    """An opened weights file.

    Attributes:
        source: The file.
        layers: The layers that have weights, in the file's order.
        model_config: The description of the model in a file that holds a whole model: JSON, which
            is not trusted and nothing is made of.
    """

    source: Hdf5Source
    layers: tuple[StoredLayer, ...]
    model_config: str | None

    @property
    def path(self) -> Path:
        """The file's path."""
        return self.source.path


@contextlib.contextmanager
def open_weights_file(path: str | Path, remedy: str = REMEDY) -> Iterator[WeightsFile]:
    """Opens a `.h5` of Keras 2 or 3 or a `.weights.h5` and lists its layers; no array is read.

    Args:
        path: The file. A whole model saved as `.h5` will do as well, if the layers are its own.
        remedy: What a person can do if the file is no good: the end of each message.

    Raises:
        RunError: If the file is missing, no HDF5, damaged, of another layout, or holds something
            that can point out of it: links, external or virtual arrays.
    """
    source = Hdf5Source(Path(path).expanduser(), remedy)
    _check_kind(source)
    if fault := find_fault(source.path):
        raise source.error(f"is damaged or cut off ({fault})")
    with contextlib.ExitStack() as stack:
        try:
            root = stack.enter_context(h5py.File(source.path, "r"))
            layers = tuple(layer for layer in _list_layers(source, root) if layer.weights)
            model_config = read_text(root, "model_config")
        except RunError:
            raise
        except Exception as error:  # HDF5 raises whatever it stumbles on in a damaged file
            raise source.error(f"is damaged or cut off ({error})") from error
        yield WeightsFile(source, layers, model_config)


def read_array(source: Hdf5Source, stored: StoredWeight) -> "np.ndarray":
    """Reads one array, float32; its shape must have been compared with the expected one before.

    Raises:
        RunError: If the file is damaged there.
    """
    try:
        return np.asarray(stored.dataset[()], np.float32)
    except Exception as error:
        raise source.error(f"{shown(stored.place)} is damaged ({error})") from error


def _check_kind(source: Hdf5Source) -> None:
    """Refuses what is no HDF5 file, by its first bytes."""
    path = source.path
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise source.error("is no regular file")
        with path.open("rb") as opened:
            start = opened.read(512)
        if h5py.is_hdf5(path):
            return
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise source.error(f"cannot be read ({reason})") from error
    if not start:
        kind = "is empty (0 bytes)"
    elif start.startswith(b"PK"):
        kind = "is a zip, as .keras files are"
    elif start.startswith(b"version https://git-lfs"):
        kind = "is only Git LFS's pointer to a file"
    else:
        is_text = start.isascii() and b"\0" not in start
        kind = "is a text file" if is_text else "is no HDF5 file, or its beginning is damaged"
    raise source.error(f"{kind}; expected HDF5 (.h5)")


def _list_layers(source: Hdf5Source, root: "h5py.File") -> Iterator[StoredLayer]:
    group = root
    if not has_names(root, "layer_names") and "model_weights" in root:
        group = step(source, root, "model_weights")
    if has_names(group, "layer_names"):
        return _list_legacy(source, group)
    if "layers" in root:
        return _list_keras3(source, step(source, root, "layers"))
    found = ", ".join(shown(name) for name in list(root)[:8]) or "nothing"
    raise source.error(
        f"is no weights file of Keras: expected layer_names or layers at the top, found {found}"
    )


def _list_legacy(source: Hdf5Source, group: "h5py.Group") -> Iterator[StoredLayer]:
    """Yields the layers of a `.h5`: the attributes name them and their arrays, in order."""
    for name in read_names(source, group, "layer_names"):
        layer = step(source, group, name)
        weights = []
        for place in read_names(source, layer, "weight_names"):
            # As in block1_conv1/kernel:0, and of old block1_conv1_W_1:0.
            weight_name = place.rpartition("/")[2].partition(":")[0]
            array = step(source, layer, place, to_array=True)
            weights.append(StoredWeight(weight_name, place, array))
        yield StoredLayer(name, None, tuple(weights))


def _list_keras3(source: Hdf5Source, group: "h5py.Group") -> Iterator[StoredLayer]:
    """Yields the layers of a `.weights.h5`: `layers/conv2d_3/vars/0`."""
    check_count(source, len(group), "layers")
    for key in map(str, group):
        layer = step(source, group, key)
        if "vars" not in layer:
            continue
        variables = step(source, layer, "vars")
        check_count(source, len(variables), key)
        name = read_text(variables, "name")
        kind, number = split_number(key)
        weights = [
            StoredWeight(position, position, step(source, variables, position, to_array=True))
            for position in sorted(variables, key=lambda text: (len(text), text))
        ]
        yield StoredLayer(
            name,
            (kind.replace("_", ""), number),
            tuple(weights),
        )
