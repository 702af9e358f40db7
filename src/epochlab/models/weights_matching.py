"""Which layer of a weights file belongs to which layer of a backbone."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from epochlab.models.array_checks import Mismatch
from epochlab.models.backbone_layers import split_number
from epochlab.models.hdf5_access import shown
from epochlab.models.weights_file import StoredLayer

if TYPE_CHECKING:
    import keras

# What the classifiers of keras.applications consist of, in all its versions.
CLASSIFIER_LAYERS = frozenset({"fc1", "fc2", "fc1000", "predictions", "probs", "conv_preds"})


@dataclass(frozen=True)
class ExpectedLayer:
    """A layer of the backbone that has weights.

    Attributes:
        name: Its name in a fresh process.
        key: Its class and its position among the layers of that class.
        is_numbered: Whether Keras made the name up, so that a file may have another number.
        weights: Name and shape of each weight, in the layer's own order.
    """

    name: str
    key: tuple[str, int]
    is_numbered: bool
    weights: tuple[tuple[str, tuple[int, ...]], ...]


def is_numbered(layer: "keras.layers.Layer") -> bool:
    """Tells whether Keras made the layer's name up, from its class and a number."""
    kind, _ = split_number(layer.name)
    return kind.replace("_", "") == type(layer).__name__.lower()


def expected_layers(network: "keras.Model", names: Mapping[str, str]) -> list[ExpectedLayer]:
    """Returns what a file for `network` has to hold, in the network's order.

    Args:
        network: The whole network without classifier, as `keras.applications` builds it.
        names: For each layer's name the one that it has in a fresh process.
    """
    counts: Counter[str] = Counter()
    expected = []
    for layer in network.layers:
        kind = type(layer).__name__.lower()
        key = (kind, counts[kind])
        counts[kind] += 1
        weights = tuple(
            (weight.name, tuple(weight.shape))
            for weight in (*layer.trainable_weights, *layer.non_trainable_weights)
        )
        if weights:
            expected.append(ExpectedLayer(names[layer.name], key, is_numbered(layer), weights))
    return expected


@dataclass(frozen=True, eq=False)
class Matching:
    """A weights file beside the network that it is to fit.

    Attributes:
        pairs: The layers that both have.
        mismatches: The layers that one of them has not.
        unused: Layers of the file that are a classifier of `keras.applications`.
    """

    pairs: tuple[tuple[ExpectedLayer, StoredLayer], ...]
    mismatches: tuple[Mismatch, ...]
    unused: tuple[str, ...]


def match_layers(expected: Sequence[ExpectedLayer], stored: Sequence[StoredLayer]) -> Matching:
    """Finds each expected layer in the file.

    Layers go by name. Those that Keras numbers go by their order in a `.h5`, as in Keras's own
    loader, and by their position in a `.weights.h5`: the published files come from processes that
    numbered otherwise.
    """
    mismatches: list[Mismatch] = []
    found: dict[str, StoredLayer] = {}
    by_key = {layer.key: layer for layer in expected}
    for position, layer in enumerate(stored):
        name, same = layer.name, by_key.get(layer.key) if layer.key else None
        if same is not None and (name is None or same.is_numbered):
            name = same.name
        name = f"layer number {position}" if name is None else name
        if name in found:
            mismatches.append(Mismatch(shown(name), "one layer", "two layers of this name"))
        found[name] = layer
    found = _renumber(expected, found)
    names = {layer.name for layer in expected}
    for layer in expected:
        if layer.name not in found:
            wanted = ", ".join(name for name, _ in layer.weights)
            mismatches.append(Mismatch(layer.name, wanted, "missing"))
    for name, layer in found.items():
        if name not in names | CLASSIFIER_LAYERS:
            extra = f"{len(layer.weights)} array{'s' * (len(layer.weights) != 1)}"
            mismatches.append(Mismatch(shown(name), "no such layer", extra))
    return Matching(
        tuple((layer, found[layer.name]) for layer in expected if layer.name in found),
        tuple(mismatches),
        tuple(name for name in found if name in CLASSIFIER_LAYERS - names),
    )


def _renumber(
    expected: Sequence[ExpectedLayer], found: dict[str, StoredLayer]
) -> dict[str, StoredLayer]:
    """Returns `found` with the expected numbers, where the file's process numbered otherwise."""
    numbered = [layer.name for layer in expected if layer.is_numbered]
    named = {layer.name for layer in expected if not layer.is_numbered} | CLASSIFIER_LAYERS
    others = [name for name in found if name not in named]
    if len(others) != len(numbered) or set(others) == set(numbered):
        return found
    new_names = dict(zip(others, numbered, strict=True))
    return {new_names.get(name, name): layer for name, layer in found.items()}
