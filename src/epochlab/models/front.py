"""What stands before a backbone: from raw pixels to the images that it was trained on."""

from typing import TYPE_CHECKING

from epochlab.lazy_import import lazy_import
from epochlab.models.backbones import BACKBONES
from epochlab.models.layers import SCALINGS

if TYPE_CHECKING:
    import keras

    from epochlab.models.transfer import TransferConfig
else:
    keras = lazy_import("keras")

# Means of ImageNet's blue, green and red pixels, as keras.applications.imagenet_utils has them.
IMAGENET_MEANS = (103.939, 116.779, 123.68)


def build_front(config: "TransferConfig", image_shape: tuple[int, int, int]) -> "keras.Model":
    """Builds what turns raw pixels into what the backbone takes: without weights, in float32.

    With `scaling: backbone` this is `keras.applications.X.preprocess_input`. Its order blue, green,
    red comes from slicing and joining: a convolution would do as well, but rounds resized pixels
    where a GPU multiplies with fewer digits.

    Args:
        config: The `model` section.
        image_shape: Height, width and channels, 1 or 3, of an image, in pixels.

    Returns:
        An uncompiled model: raw pixels 0..255 `(batch, height, width, channels)` in, float32
        `(batch, *image_size, 3)` out.
    """
    size = config.image_size or image_shape[:2]
    pixels = outputs = keras.Input(image_shape, name="pixels")
    if size != image_shape[:2]:
        resizing = keras.layers.Resizing(
            *size, interpolation="bilinear", name="resizing", dtype="float32"
        )
        outputs = resizing(outputs)
    if image_shape[-1] == 1:
        outputs = _concatenate([outputs] * 3, "grey_to_rgb")
    scale, offset = 1 / 127.5, -1.0
    if config.scaling != "backbone":
        scale, offset = SCALINGS[config.scaling]
    elif BACKBONES[config.backbone].subtracts_means:
        scale, offset = 1.0, [-mean for mean in IMAGENET_MEANS]
        if image_shape[-1] == 3:
            outputs = _blue_green_red(outputs)
    scaling = keras.layers.Rescaling(scale, offset, name="scaling", dtype="float32")
    return keras.Model(pixels, scaling(outputs), name="front")


def _concatenate(tensors: list["keras.KerasTensor"], name: str) -> "keras.KerasTensor":
    return keras.layers.Concatenate(name=name, dtype="float32")(tensors)


def _blue_green_red(images: "keras.KerasTensor") -> "keras.KerasTensor":
    """Returns images `(batch, height, width, 3)` with their channels in the opposite order."""
    height, width = images.shape[1:3]
    # The only cropping that reaches the channels is the three-dimensional one.
    apart = keras.layers.Reshape((height, width, 3, 1), name="channels_apart", dtype="float32")
    volume = apart(images)
    channels = [
        keras.layers.Cropping3D(((0, 0), (0, 0), cropping), name=name, dtype="float32")(volume)
        for name, cropping in (("blue", (2, 0)), ("green", (1, 1)), ("red", (0, 2)))
    ]
    joined = keras.layers.Concatenate(axis=3, name="blue_green_red", dtype="float32")(channels)
    return keras.layers.Reshape((height, width, 3), name="channels_joined", dtype="float32")(joined)
