"""Which layers a model has, at any depth, and what each gives: found by name or by itself."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from epochlab.errors import ConfigError
from epochlab.explain.replay import SEPARATOR, Call, list_calls
from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
else:
    tf = lazy_import("tensorflow")

LISTED_LAYERS = 12

CONVOLUTIONS = (
    "Conv2D", "Conv2DTranspose", "DepthwiseConv2D", "SeparableConv2D",
)  # fmt: skip
POOLINGS = ("AveragePooling2D", "MaxPooling2D")
# What finishes a convolution's work: its last output is the one to look at.
FINISHING = ("Activation", "Add", "BatchNormalization", "Concatenate", "ELU", "LeakyReLU",
    "Multiply", "PReLU", "ReLU", "LayerNormalization", "GroupNormalization",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Place:
    """A layer of a model, wherever it stands.

    Attributes:
        name: Its name with those of the models around it in front: `vgg16/block5_conv3`.
        layer: The layer.
        kind: `convolution`, `pooling`, or `other`.
        output_shape: Of one image, of its last call: `(height, width, channels)` for feature maps,
            or `(channels, height, width)` where `channels_first` is set.
        channels_first: Where the channel axis of its output lies.
    """

    name: str
    layer: "keras.layers.Layer"
    kind: Literal["convolution", "pooling", "other"]
    output_shape: tuple[int, ...]
    channels_first: bool

    @property
    def own_name(self) -> str:
        """The name of the layer alone."""
        return self.name.rpartition(SEPARATOR)[2]

    @property
    def has_maps(self) -> bool:
        """Whether its output is feature maps."""
        return len(self.output_shape) == 3

    @property
    def map_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of its feature maps, whatever the order in the output."""
        first, second, third = self.output_shape
        return (second, third, first) if self.channels_first else (first, second, third)

    def maps_last(self, output: Any) -> Any:
        """Returns its output with the channels last, `(batch, height, width, channels)`."""
        return tf.transpose(output, (0, 2, 3, 1)) if self.channels_first else output


def list_places(
    model: "keras.Model", image_shape: Sequence[int] | None = None
) -> tuple[Place, ...]:
    """Lists the layers of `model` at every depth, in the order in which they are called.

    A layer that is called several times stands where its last call is, and has that call's shape:
    whatever is computed for the layer is computed for that call.

    Args:
        model: A functional or sequential model with one input and one output.
        image_shape: Shape of one image, for a model that takes images of any size; otherwise a
            side of 224 is taken there.

    Raises:
        ConfigError: If the model cannot be looked into.
    """
    last_calls: dict[str, Call] = {}
    for call in list_calls(model, image_shape):
        last_calls.pop(call.name, None)
        last_calls[call.name] = call
    return _describe(tuple(last_calls.values()))


def find_place(places: Sequence[Place], name: str) -> Place:
    """Returns the layer called `name`, with or without the models around it in front.

    Raises:
        ConfigError: If there is none, or the name alone means several.
    """
    for place in places:
        if place.name == name:
            return place
    named = [place for place in places if place.own_name == name]
    if len(named) == 1:
        return named[0]
    if named:
        raise ConfigError(
            f"layer {name}: means {', '.join(place.name for place in named[:LISTED_LAYERS])}; "
            "give one of these names in full"
        )
    known = {place.own_name: place.name for place in places}
    close = difflib.get_close_matches(name, [*known, *known.values()], n=3)
    if close:
        raise ConfigError(f"layer {name}: there is none; did you mean {' or '.join(close)}?")
    raise ConfigError(f"layer {name}: there is none; the model has {shorten(list(known))}")


def find_last_convolution(places: Sequence[Place]) -> Place:
    """Returns the last layer whose feature maps still say where in the image something is.

    That is the last convolution, or what finishes its work: the normalisation, the activation and
    the joining of branches after it, as in ResNet and Inception. Maps of one position are passed
    over, since they say nothing of places.

    Raises:
        ConfigError: If the model has no convolution.
    """
    usable = [
        position
        for position, place in enumerate(places)
        if place.kind == "convolution" and place.has_maps and max(place.map_shape[:2]) > 1
    ]
    if not usable:
        raise ConfigError(
            "the model has no convolution with maps of more than one position; saliency and "
            "integrated gradients work on any model"
        )
    last = usable[-1]
    for position in range(last + 1, len(places)):
        place = places[position]
        if type(place.layer).__name__ not in FINISHING or not place.has_maps:
            break
        last = position
    return places[last]


def shorten(names: Sequence[str]) -> str:
    """Returns the names as a list for a message, the first and the last ones of many."""
    if len(names) <= LISTED_LAYERS:
        return ", ".join(names)
    half = LISTED_LAYERS // 2
    return f"{', '.join(names[:half])}, ..., {', '.join(names[-half:])}"


def _describe(calls: Sequence[Call]) -> tuple[Place, ...]:
    places: list[Place] = []
    channels_first = False
    for call in calls:
        ancestry = {base.__name__ for base in type(call.layer).__mro__}
        kind = "other"
        if ancestry & set(CONVOLUTIONS):
            kind = "convolution"
        elif ancestry & set(POOLINGS):
            kind = "pooling"
        # Layers that do not say where their channels are have them where the layer before has.
        data_format = getattr(call.layer, "data_format", None)
        if data_format is not None:
            channels_first = data_format == "channels_first"
        places.append(Place(call.name, call.layer, kind, call.output_shape, channels_first))
    return tuple(places)
