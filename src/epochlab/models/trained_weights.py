"""The numbers of a saved model, given to a network of our own that is known to be the same one."""

import contextlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epochlab.errors import RunError
from epochlab.models.architecture import compare_architecture
from epochlab.models.array_checks import Mismatch, check_form, check_values, format_table
from epochlab.models.hdf5_access import shown
from epochlab.models.weights_file import StoredWeight, WeightsFile, open_weights_file, read_array

if TYPE_CHECKING:
    import keras

# Keras saves models unpacked. A file that holds much less than it declares was made to fill memory.
LARGEST_RATIO = 10


@dataclass(frozen=True)
class NetworkOutline:
    """What a saved model must be, known before any memory is taken for its weights.

    Attributes:
        config: `get_config` of the network, as JSON gives it back.
        weights: For each of its layers that has weights their paths, as `conv1/kernel`, and shapes.
    """

    config: Any
    weights: Mapping[str, Mapping[str, tuple[int, ...]]]

    @property
    def nbytes(self) -> int:
        """Bytes of all weights, which are float32."""
        return 4 * sum(map(math.prod, self.shapes))

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shape of each weight."""
        return [shape for layer in self.weights.values() for shape in layer.values()]


def outline_network(model: "keras.Model") -> NetworkOutline:
    """Returns the outline of `model`, whose weights need not have values yet."""
    return NetworkOutline(
        json.loads(json.dumps(model.get_config(), default=str)),
        {
            layer.name: {weight.path: tuple(map(int, weight.shape)) for weight in layer.weights}
            for layer in model.layers
            if layer.weights
        },
    )


@contextlib.contextmanager
def open_trained_weights(
    path: Path, outline: NetworkOutline, remedy: str
) -> "Iterator[CheckedWeights]":
    """Opens a model file and compares all of it with `outline`; no array is read yet.

    Args:
        path: A `.h5` that `keras.Model.save` wrote.
        outline: The network that it must hold.
        remedy: What a person can do if the file is no good: the end of each message.

    Raises:
        RunError: If the file is damaged, leads out of itself, or holds another network: everything
            that does not fit is listed.
    """
    with open_weights_file(path, remedy) as weights_file:
        arrays, mismatches = _match(weights_file, outline)
        mismatches = [*compare_architecture(outline.config, weights_file.model_config), *mismatches]
        if mismatches:
            raise _refuse(weights_file, mismatches)
        size = path.stat().st_size
        if outline.nbytes > LARGEST_RATIO * size:
            raise weights_file.source.error(
                f"declares {outline.nbytes:,} bytes of weights, but is {size:,} bytes long; "
                "expected as many as it declares"
            )
        yield CheckedWeights(weights_file, arrays)


@dataclass(frozen=True, eq=False)
class CheckedWeights:
    """Arrays of the right names, shapes and types, not read yet.

    Attributes:
        file: The opened file.
        arrays: The array for each weight's path.
    """

    file: WeightsFile
    arrays: Mapping[str, StoredWeight]

    def assign_to(self, model: "keras.Model") -> None:
        """Gives `model` its weights, one array in memory at a time.

        Args:
            model: The network of the outline.

        Raises:
            RunError: If arrays are damaged or hold something that is not finite; all are listed.
        """
        mismatches = []
        for variable in model.weights:
            array = read_array(self.file.source, self.arrays[variable.path])
            problem = check_values(array)
            if problem is not None:
                mismatches.append(Mismatch(variable.path, "finite numbers", problem))
            variable.assign(array)
        if mismatches:
            raise _refuse(self.file, mismatches)


def _match(
    weights_file: WeightsFile, outline: NetworkOutline
) -> tuple[dict[str, StoredWeight], list[Mismatch]]:
    """Returns the file's array for each weight, and everything in which the two differ."""
    mismatches: list[Mismatch] = []
    found: dict[str, dict[str, StoredWeight]] = {}
    for layer in weights_file.layers:
        name = str(layer.name)
        if name in found:
            mismatches.append(Mismatch(shown(name), "one layer", "two layers of this name"))
        found[name] = {weight.place: weight for weight in layer.weights}
        if len(found[name]) != len(layer.weights):
            mismatches.append(Mismatch(shown(name), "different names", "two arrays of one name"))
    arrays: dict[str, StoredWeight] = {}
    for name, shapes in outline.weights.items():
        stored = found.pop(name, {})
        for place, shape in shapes.items():
            weight = stored.pop(place, None)
            problem = "missing" if weight is None else check_form(weight.dataset, shape)
            if problem is not None:
                mismatches.append(Mismatch(place, f"float32 {shape}", problem))
            elif weight is not None:
                arrays[place] = weight
        mismatches += _extra(stored)
    for stored in found.values():
        mismatches += _extra(stored)
    return arrays, mismatches


def _extra(stored: Mapping[str, StoredWeight]) -> list[Mismatch]:
    return [
        Mismatch(shown(place), "no such array", f"{weight.dataset.dtype} {weight.dataset.shape}")
        for place, weight in stored.items()
    ]


def _refuse(weights_file: WeightsFile, mismatches: Sequence[Mismatch]) -> RunError:
    things = "1 thing does" if len(mismatches) == 1 else f"{len(mismatches)} things do"
    return RunError(
        f"{weights_file.path}: is not the model that this run's config describes, {things} not "
        f"fit:\n{format_table(mismatches)}\n{weights_file.source.remedy}"
    )
