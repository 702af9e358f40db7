"""A network that was trained on other images, under a small head of our own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from epochlab.config import Section
from epochlab.errors import ConfigError
from epochlab.hashing import weights_sha256
from epochlab.lazy_import import lazy_import
from epochlab.models.backbone_layers import BackboneName, layer_names, unknown_layer
from epochlab.models.backbones import build_backbone, too_small
from epochlab.models.front import build_front
from epochlab.models.layers import (
    Activation,
    DropoutRate,
    Scaling,
    class_probabilities,
    dense,
    dropout,
)

if TYPE_CHECKING:
    import keras
else:
    keras = lazy_import("keras")


class TransferConfig(Section):
    """The `model` section of a backbone with a new head.

    Attributes:
        backbone: The network of `keras.applications` that makes features of the pixels.
        weights: Where its weights come from: `imagenet` is Keras's own download and cache, `none`
            are random ones, anything else is the path of a weights file.
        output_layer: The layer of the backbone whose output are the features, as `block5_pool`.
        image_size: Height and width in pixels to which the model resizes the images, bilinearly;
            null takes them as they come.
        scaling: What happens to the pixels then; `backbone` is what the backbone was trained with.
        dense_units: Units of each hidden layer of the head.
        dropout: Dropout rate after each hidden layer, 0..1; 0 adds no layer.
        activation: Activation of the hidden layers.
    """

    backbone: BackboneName
    weights: Annotated[str, Field(min_length=1)]
    output_layer: str
    image_size: tuple[PositiveInt, PositiveInt] | None
    scaling: Scaling | Literal["backbone"]
    dense_units: tuple[PositiveInt, ...]
    dropout: tuple[DropoutRate, ...]
    activation: Activation

    @model_validator(mode="after")
    def _check_backbone(self) -> Self:
        if self.output_layer not in layer_names(self.backbone):
            raise ValueError(f"output_layer: {unknown_layer(self.output_layer, self.backbone)}")
        problem = too_small(self.backbone, *self.image_size) if self.image_size else None
        if problem:
            raise ValueError(f"image_size: {problem}")
        return self

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if len(self.dropout) != len(self.dense_units):
            raise ValueError(
                f"dropout has {len(self.dropout)} entries, dense_units has "
                f"{len(self.dense_units)}; give one for each"
            )
        return self


@dataclass(frozen=True, eq=False)
class TransferModel:
    """A transfer network and its parts, which share their layers: training one trains the others.

    Attributes:
        whole: Raw pixels 0..255 `(batch, height, width, channels)` in, float32 class probabilities
            out, as `class_probabilities` gives them. What is saved as `model.h5`.
        front: The same pixels in, images as the backbone takes them out, float32.
        backbone: The pretrained network up to its output layer, one layer of `whole`.
        extractor: `front`, then `backbone`: raw pixels in, features `(batch, rows, columns,
            filters)` out, bfloat16 under the policy `mixed_bfloat16`, else float32.
        head: Features in, class probabilities out.
        backbone_sha256: SHA-256 of the backbone's weights as they were loaded, hexadecimal.
        notes: What a person should know about these weights, as sentences.
    """

    whole: "keras.Model"
    front: "keras.Model"
    backbone: "keras.Model"
    extractor: "keras.Model"
    head: "keras.Model"
    backbone_sha256: str
    notes: tuple[str, ...]


def build_transfer_model(
    config: TransferConfig, image_shape: tuple[int, int, int], num_classes: int, seed: int
) -> TransferModel:
    """Builds a backbone with its weights, what comes before it, and a new head.

    Every layer is trainable yet; `freezing.set_trainable` says which ones train.

    Args:
        config: The `model` section.
        image_shape: Height, width and channels, 1 or 3, of an image, in pixels.
        num_classes: Number of classes, at least 2.
        seed: Seed of the run.

    Returns:
        Uncompiled models that share their layers.

    Raises:
        ConfigError: If the images are too small for the backbone or have other channels.
        RunError: If the weights file is missing, damaged or of another network.
        EnvironmentFault: If ImageNet's weights cannot be had.
    """
    front, backbone, head, notes = _build_parts(config, image_shape, num_classes, seed)
    features = backbone(front.output)
    extractor = keras.Model(front.input, features, name="extractor")
    # Nobody compiles it, and then Keras would choose XLA, which is slower for convnets on a CPU.
    extractor.jit_compile = False
    return TransferModel(
        whole=_join(front, features, head),
        front=front,
        backbone=backbone,
        extractor=extractor,
        head=head,
        backbone_sha256=weights_sha256(backbone),
        notes=notes,
    )


def build_transfer_network(
    config: TransferConfig, image_shape: tuple[int, int, int], num_classes: int, seed: int
) -> "keras.Model":
    """Builds `TransferModel.whole` alone, with random weights whatever `config.weights` says.

    No weights file is read: the weights come from elsewhere. Arguments and errors are those of
    `build_transfer_model`.
    """
    config = config.model_copy(update={"weights": "none"})
    front, backbone, head, _ = _build_parts(config, image_shape, num_classes, seed)
    return _join(front, backbone(front.output), head)


def build_head(
    config: TransferConfig, feature_shape: tuple[int, ...], num_classes: int, seed: int
) -> "keras.Model":
    """Builds the new layers above the backbone.

    Args:
        config: The `model` section.
        feature_shape: Shape of the features of one image.
        num_classes: Number of classes, at least 2.
        seed: Seed of the run.

    Returns:
        An uncompiled model: features `(batch, *feature_shape)` in, float32 class probabilities out,
        as `class_probabilities` gives them.
    """
    layers = [keras.layers.Flatten(name="flatten")]
    for index, (units, rate) in enumerate(zip(config.dense_units, config.dropout, strict=True), 1):
        layers.append(dense(f"fc{index}", units, activation=config.activation, seed=seed))
        if rate > 0:
            layers.append(dropout(f"dropout{index}", rate, seed=seed))
    layers.append(class_probabilities(num_classes, seed=seed))
    features = keras.Input(feature_shape, name="features")
    return keras.Model(features, _apply(layers, features), name="head")


def _build_parts(
    config: TransferConfig, image_shape: tuple[int, int, int], num_classes: int, seed: int
) -> "tuple[keras.Model, keras.Model, keras.Model, tuple[str, ...]]":
    """Builds front, backbone and head, and says what a person should know about the weights."""
    _check_channels(config, image_shape)
    backbone_shape = (*(config.image_size or image_shape[:2]), 3)
    backbone, notes = build_backbone(config, backbone_shape, seed)
    head = build_head(config, backbone.output_shape[1:], num_classes, seed)
    return build_front(config, image_shape), backbone, head, notes


def _check_channels(config: TransferConfig, image_shape: tuple[int, int, int]) -> None:
    if image_shape[-1] not in (1, 3):
        raise ConfigError(
            f"model.backbone: {config.backbone} takes images with 1 or 3 channels, these have "
            f"{image_shape[-1]}; give grey or RGB images"
        )


def _join(front: "keras.Model", features: "keras.KerasTensor", head: "keras.Model"):
    """Returns the network from pixels to probabilities."""
    return keras.Model(front.input, _apply(head.layers[1:], features), name="transfer")


def _apply(layers: Sequence["keras.layers.Layer"], inputs: "keras.KerasTensor"):
    for layer in layers:
        inputs = layer(inputs)
    return inputs
