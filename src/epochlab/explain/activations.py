"""What each convolution and pooling layer makes of an image, channel by channel."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from epochlab.explain.layers import Place, list_places
from epochlab.explain.replay import replay
from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf
else:
    np = lazy_import("numpy")
    tf = lazy_import("tensorflow")

CHANNELS_PER_ROW = 16


@dataclass(frozen=True)
class Sparsity:
    """How much of a layer is silent for one image.

    Attributes:
        channels: How many channels the layer has.
        dead: How many of them have the same value everywhere: nothing was found.
        zeros: Share of all values that are 0, 0..1.
    """

    channels: int
    dead: int
    zeros: float


def compute_activations(
    model: "keras.Model", images: "np.ndarray", places: Sequence[Place] | None = None
) -> dict[str, "np.ndarray"]:
    """Returns the feature maps of several layers, from one pass through the model.

    Args:
        model: A functional or sequential model, its layers at any depth.
        images: Raw pixels 0..255, `(n, *image_shape)`, uint8 or float.
        places: The layers; by default every convolution and pooling.

    Returns:
        Name of the layer -> float32 `(n, height, width, channels)`, in the model's order, whatever
        order of axes the layer has itself.

    Raises:
        ConfigError: If the model cannot be looked into.
    """
    if places is None:
        places = find_feature_maps(list_places(model, images.shape[1:]))
    wanted = {place.name: place for place in places}

    def keep(name: str, layer: Any, *inputs: Any, **options: Any) -> Any:
        output = layer(*inputs, **options)
        if name in wanted:
            found[name] = tf.cast(wanted[name].maps_last(output), tf.float32).numpy()
        return output

    found: dict[str, np.ndarray] = {}
    replay(model, tf.convert_to_tensor(images), keep)
    return {name: found[name] for name in wanted}


def find_feature_maps(places: Sequence[Place]) -> list[Place]:
    """Returns the convolutions and poolings whose output is feature maps."""
    return [place for place in places if place.kind != "other" and place.has_maps]


def measure_sparsity(maps: "np.ndarray") -> Sparsity:
    """Counts what is silent in one layer's maps of one image, float `(height, width, channels)`."""
    dead = (maps == maps[:1, :1]).all(axis=(0, 1))
    return Sparsity(maps.shape[-1], int(dead.sum()), float((maps == 0).mean()))


def measure_layers(activations: Mapping[str, "np.ndarray"], image: int) -> dict[str, Sparsity]:
    """Returns `measure_sparsity` of each layer for the image at position `image`."""
    return {name: measure_sparsity(maps[image]) for name, maps in activations.items()}


def draw_channels(maps: "np.ndarray", margin: int = 1) -> "np.ndarray":
    """Puts the channels side by side, sixteen in a row.

    Each channel becomes (x - mean) / deviation * 64 + 128, cut to 0..255, as in Chollet ("Deep
    Learning with Python", 2017, section 5.4.1). A dead channel, which has no deviation, is 0.

    Args:
        maps: One layer's maps of one image, float `(height, width, channels)`.
        margin: Pixels between two channels.

    Returns:
        uint8 `(rows * (height + margin) - margin, 16 * (width + margin) - margin)`; 255 between the
        channels. With fewer than sixteen channels there are as many columns.
    """
    channels = maps.shape[-1]
    maps = maps.astype(np.float64)
    deviation = maps.std(axis=(0, 1))
    centred = maps - maps.mean(axis=(0, 1))
    dead = (maps == maps[:1, :1]).all(axis=(0, 1))
    scaled = centred / np.where(dead | (deviation == 0), 1, deviation) * 64 + 128
    grey = np.where(dead, 0, np.clip(scaled, 0, 255)).astype(np.uint8)
    return arrange(np.moveaxis(grey, -1, 0), min(CHANNELS_PER_ROW, channels), margin)


def arrange(tiles: "np.ndarray", columns: int, margin: int) -> "np.ndarray":
    """Puts tiles of one size into rows.

    Args:
        tiles: uint8 `(n, height, width)` or `(n, height, width, 3)`.
        columns: Tiles per row.
        margin: Pixels between two tiles, which are 255.

    Returns:
        uint8 `(rows * (height + margin) - margin, columns * (width + margin) - margin)`, with a
        last axis of 3 if the tiles have it.
    """
    rows = -(-len(tiles) // columns)
    height, width = tiles.shape[1] + margin, tiles.shape[2] + margin
    sheet = np.full((rows * height - margin, columns * width - margin, *tiles.shape[3:]), 255)
    for position, tile in enumerate(tiles):
        top, left = position // columns * height, position % columns * width
        sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return sheet.astype(np.uint8)
