"""Which layers of a transfer network train, and where it can be cut below them."""

import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from epochlab.errors import ConfigError
from epochlab.lazy_import import lazy_import
from epochlab.models.transfer import TransferModel

if TYPE_CHECKING:
    import keras
else:
    keras = lazy_import("keras")

# As it stands in a YAML: `head`, `{from: block5_conv1}`, or `[head, block5_conv3]`.
Trainable = str | Mapping[str, str] | Sequence[str]


def set_trainable(parts: TransferModel, trainable: Trainable) -> None:
    """Makes the chosen layers trainable and freezes all others; compile the models after it.

    Batch normalization layers of the backbone stay frozen whatever is chosen, and so in inference
    mode (<https://keras.io/guides/transfer_learning/>): they go on normalizing by the statistics of
    the images that the backbone was trained on. With those of small batches of new images, the
    features would change under the head faster than it can learn, and the network at prediction,
    which uses moving averages, would be another one than the one that was trained.

    Args:
        parts: The network.
        trainable: `"head"`; or `{"from": NAME}`, that layer of the backbone and all that come after
            it in the order of `backbone.layers`, and the head; or a list of just the layers that
            are to train, where `"head"` stands for all of the head's.

    Raises:
        ConfigError: If a layer does not exist, or the choice trains nothing.
    """
    chosen = _chosen_layers(parts, trainable)
    for layer in (*parts.backbone.layers, *_weighted(parts.head)):
        layer.trainable = layer.name in chosen


def last_frozen_layer(parts: TransferModel, trainable: Trainable) -> str | None:
    """Returns the backbone layer at which the network can be cut below everything that trains.

    It is the last layer with only frozen ones before it whose output alone goes on: what follows
    can be trained on that output, computed once for each image. For VGG16 and `{"from":
    "block5_conv1"}` it is `block4_pool`. None means that the first layers train.

    Args:
        parts: The network; it is not changed.
        trainable: As for `set_trainable`.

    Raises:
        ConfigError: As `set_trainable`.
    """
    chosen = _chosen_layers(parts, trainable)
    names = [layer.name for layer in parts.backbone.layers]
    first = next((index for index, name in enumerate(names) if name in chosen), len(names))
    return next((name for name in reversed(_cuts(parts)) if names.index(name) < first), None)


def split_at(parts: TransferModel, layer_name: str) -> tuple["keras.Model", "keras.Model"]:
    """Cuts the network in two after a layer of the backbone; the layers stay shared with `whole`.

    Args:
        parts: The network.
        layer_name: A layer that all paths go through, as `last_frozen_layer` returns it.

    Returns:
        Two uncompiled models: from raw pixels to that layer's output, and from that output to class
        probabilities. One after the other they are `parts.whole`, also after training either.

    Raises:
        ConfigError: If there is no such layer, or some path goes around it.
    """
    _check_cut(parts, layer_name)
    if layer_name == parts.backbone.layers[-1].name:
        return parts.extractor, parts.head
    backbone = parts.backbone
    cut = backbone.get_layer(layer_name).output
    below = keras.Model(backbone.input, cut, name=f"{backbone.name}_below")
    above = keras.Model(cut, backbone.output, name=f"{backbone.name}_above")
    bottom = keras.Model(parts.front.input, below(parts.front.output), name="bottom")
    # As in the extractor: without compiling it Keras would choose XLA.
    bottom.jit_compile = False
    features = outputs = keras.Input(cut.shape[1:], name="features")
    for layer in (above, *parts.head.layers[1:]):
        outputs = layer(outputs)
    return bottom, keras.Model(features, outputs, name="top")


def _chosen_layers(parts: TransferModel, trainable: Trainable) -> set[str]:
    """Returns the names of the layers of backbone and head that are to train."""
    head = {layer.name for layer in _weighted(parts.head)}
    possible = [layer.name for layer in parts.backbone.layers if _can_train(layer)]
    if isinstance(trainable, Mapping) and set(trainable) == {"from"}:
        names = [layer.name for layer in parts.backbone.layers[1:]]
        first = trainable["from"]
        if first not in names:
            raise ConfigError(f"trainable: from: {_unknown(first, parts, names)}")
        return head | set(names[names.index(first) :]).intersection(possible)
    if trainable == "head":
        return head
    if isinstance(trainable, str | Mapping):
        raise ConfigError(
            f"trainable: {trainable!r} says nothing that can be trained; give head, "
            "{from: LAYER} or a list of layers"
        )
    known = ["head", *(layer.name for layer in (*parts.backbone.layers, *parts.head.layers))]
    for name in trainable:
        if name not in known:
            raise ConfigError(f"trainable: {_unknown(name, parts, known)}")
        if name not in {"head", *head, *possible}:
            raise ConfigError(
                f"trainable: layer {name} trains nothing: it has no weights, or it is a batch "
                "normalization of the backbone, which stays as it is; leave it out"
            )
    if not trainable:
        raise ConfigError("trainable: the list is empty, so nothing would train; name a layer")
    return {*trainable} - {"head"} | (head if "head" in trainable else set())


def _weighted(model: "keras.Model") -> list["keras.layers.Layer"]:
    return [layer for layer in model.layers if layer.weights]


def _can_train(layer: "keras.layers.Layer") -> bool:
    return bool(layer.weights) and not isinstance(layer, keras.layers.BatchNormalization)


def _unknown(name: str, parts: TransferModel, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3)
    suggestion = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"{parts.backbone.name} has no layer {name!r}{suggestion}"


def _cuts(parts: TransferModel) -> list[str]:
    """Returns the backbone's layers that all paths go through, in order, the input aside."""
    layers = parts.backbone.layers
    positions = {id(layer.output): index for index, layer in enumerate(layers)}
    farthest = list(range(len(layers)))
    for index, layer in enumerate(layers):
        for tensor in keras.tree.flatten(layer.input):
            source = positions[id(tensor)]
            farthest[source] = max(farthest[source], index)
    reached, cuts = farthest[0], []
    for index, layer in enumerate(layers[1:], 1):
        # Nothing before this layer is used after it.
        if reached <= index:
            cuts.append(layer.name)
        reached = max(reached, farthest[index])
    return cuts


def _check_cut(parts: TransferModel, layer_name: str) -> None:
    names = [layer.name for layer in parts.backbone.layers[1:]]
    if layer_name not in names:
        raise ConfigError(f"{_unknown(layer_name, parts, names)}; expected a layer to cut after")
    cuts = _cuts(parts)
    if layer_name not in cuts:
        before = [name for name in cuts if names.index(name) < names.index(layer_name)]
        nearest = f"; the last one before it is {before[-1]}" if before else ""
        raise ConfigError(
            f"{parts.backbone.name} cannot be cut after {layer_name}: some paths go around it"
            f"{nearest}"
        )
