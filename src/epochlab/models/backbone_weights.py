"""Compares a weights file with a backbone, tells everything that differs, and loads what fits."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from epochlab.errors import RunError
from epochlab.lazy_import import lazy_import
from epochlab.models.hdf5_access import shown
from epochlab.models.weights_file import StoredLayer, WeightsFile, read_array
from epochlab.models.weights_matching import ExpectedLayer, Mismatch, match_layers

if TYPE_CHECKING:
    import h5py
    import keras
    import numpy as np
else:
    np = lazy_import("numpy")

# HDF5 unpacks whole chunks, whatever the array's own size is.
SMALL_CHUNK = 2**20


def load_backbone_weights(
    weights_file: WeightsFile, expected: Sequence[ExpectedLayer], backbone: "keras.Model"
) -> tuple[str, ...]:
    """Gives `backbone` the weights in the file, if all of them fit.

    The file is compared with the whole network, so that a file fits whatever the output layer is.
    One that has the network's own classifier on top is taken, and the classifier left out. Exactly
    the arrays that were checked are assigned; the file is not read twice.

    Args:
        weights_file: The opened file.
        expected: What the whole network, without classifier, has.
        backbone: The part of it that is used; its layers have the names in `expected`.

    Returns:
        What was left out of the file, as sentences.

    Raises:
        RunError: If something does not fit; all of it is listed.
    """
    matching = match_layers(expected, weights_file.layers)
    mismatches = list(matching.mismatches)
    arrays: dict[tuple[str, str], np.ndarray] = {}
    for layer, stored in matching.pairs:
        problems, values = _read_layer(weights_file, layer, stored)
        mismatches += problems
        arrays |= {(layer.name, name): array for name, array in values.items()}
    if mismatches:
        raise RunError(_describe(weights_file, backbone.name, mismatches))
    for layer in backbone.layers:
        for variable in layer.weights:
            variable.assign(arrays[layer.name, variable.name])
    if not matching.unused:
        return ()
    left_out = ", ".join(matching.unused)
    return (f"{weights_file.path}: its classifier ({left_out}) is left out; the rest fits",)


def _read_layer(
    weights_file: WeightsFile, layer: ExpectedLayer, stored: StoredLayer
) -> tuple[list[Mismatch], dict[str, "np.ndarray"]]:
    """Returns what is wrong with a stored layer, and by name the arrays that could be read."""
    names = [name for name, _ in layer.weights]
    weights = stored.weights
    if len(weights) != len(names):
        found = f"{len(weights)}: {', '.join(shown(weight.name) for weight in weights[:8])}"
        return [Mismatch(layer.name, f"{len(names)} arrays: {', '.join(names)}", found)], {}
    by_name = {weight.name: weight for weight in weights}
    # Old files have other names for the arrays, a .weights.h5 has numbers: by order, as in Keras.
    if set(by_name) == set(names):
        weights = [by_name[name] for name in names]
    mismatches, arrays = [], {}
    for (name, shape), weight in zip(layer.weights, weights, strict=True):
        problem = _check_form(weight.dataset, shape)
        if problem is None:
            arrays[name] = read_array(weights_file.path, weight)
            problem = _check_values(arrays[name])
        if problem is not None:
            mismatches.append(Mismatch(f"{layer.name}/{name}", f"float32 {shape}", problem))
    return mismatches, arrays


def _check_form(dataset: "h5py.Dataset", shape: tuple[int, ...]) -> str | None:
    """Returns what is wrong with an array that has not been read, or None if it may be read.

    Only arrays of the expected shape and type are ever read: a file that declares terabytes, or
    Python objects, costs no memory and runs nothing.
    """
    found = f"{dataset.dtype} {dataset.shape}"
    if dataset.shape is None or tuple(dataset.shape) != shape:
        if dataset.shape is not None and sorted(dataset.shape) == sorted(shape):
            return f"{found}, transposed?"
        return found
    if dataset.dtype.kind != "f" or dataset.dtype.itemsize != 4:
        return found
    if dataset.id.get_storage_size() == 0:
        return f"{found}, but no values stored"
    if dataset.chunks and math.prod(dataset.chunks) > max(math.prod(shape), SMALL_CHUNK):
        return f"{found} in chunks of {dataset.chunks}"
    return None


def _check_values(array: "np.ndarray") -> str | None:
    not_finite = array.size - np.count_nonzero(np.isfinite(array))
    return f"{not_finite:,} of {array.size:,} values NaN or infinite" if not_finite else None


def _describe(weights_file: WeightsFile, backbone: str, mismatches: Sequence[Mismatch]) -> str:
    rows = [Mismatch("layer", "expected", "found"), *mismatches]
    places = max(len(row.place) for row in rows)
    wanted = max(len(row.expected) for row in rows)
    table = "\n".join(
        f"  {row.place:<{places}}  {row.expected:<{wanted}}  {row.found}" for row in rows
    )
    return (
        f"{weights_file.path}: these are not weights of {backbone}, "
        f"{len(mismatches)} {'thing does' if len(mismatches) == 1 else 'things do'} not fit:\n"
        f"{table}\ngive the weights of keras.applications' {backbone}, with or without classifier, "
        "in float32, or set model.weights to imagenet or none"
    )
