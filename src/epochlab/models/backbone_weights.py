"""Compares a weights file with a backbone, tells everything that differs, and loads what fits."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from epochlab.errors import RunError
from epochlab.models.array_checks import Mismatch, check_form, check_values, format_table
from epochlab.models.hdf5_access import shown
from epochlab.models.weights_file import StoredLayer, WeightsFile, read_array
from epochlab.models.weights_matching import ExpectedLayer, match_layers

if TYPE_CHECKING:
    import keras
    import numpy as np


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
        problem = check_form(weight.dataset, shape)
        if problem is None:
            arrays[name] = read_array(weights_file.source, weight)
            problem = check_values(arrays[name])
        if problem is not None:
            mismatches.append(Mismatch(f"{layer.name}/{name}", f"float32 {shape}", problem))
    return mismatches, arrays


def _describe(weights_file: WeightsFile, backbone: str, mismatches: Sequence[Mismatch]) -> str:
    return (
        f"{weights_file.path}: these are not weights of {backbone}, "
        f"{len(mismatches)} {'thing does' if len(mismatches) == 1 else 'things do'} not fit:\n"
        f"{format_table(mismatches)}\n"
        f"give the weights of keras.applications' {backbone}, with or without classifier, in "
        "float32, or set model.weights to imagenet or none"
    )
