"""One matrix and one interpolation per image: rotation, shift, shear, zoom and flips at once."""

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_import("tensorflow")

FillMode = Literal["nearest", "constant", "reflect", "wrap"]


class Changes(NamedTuple):
    """What happens to each image of a batch; float32 `(batch,)`, flips bool `(batch,)`.

    Attributes:
        rotation: Degrees, the class's `theta`.
        column_shift: Pixels by which the source lies to the right, what the class does with `tx`.
        row_shift: Pixels by which the source lies below, what the class does with `ty`.
        shear: Degrees.
        column_zoom: Source pixels per pixel along a row, the class's `zx`.
        row_zoom: Source pixels per pixel along a column, the class's `zy`.
        flip_horizontal: Whether left and right change places.
        flip_vertical: Whether top and bottom change places.
        channel_shift: Added to all pixels.
        brightness: Factor on all pixels.
    """

    rotation: "tf.Tensor"
    column_shift: "tf.Tensor"
    row_shift: "tf.Tensor"
    shear: "tf.Tensor"
    column_zoom: "tf.Tensor"
    row_zoom: "tf.Tensor"
    flip_horizontal: "tf.Tensor"
    flip_vertical: "tf.Tensor"
    channel_shift: "tf.Tensor"
    brightness: "tf.Tensor"


def projective_transforms(changes: Changes, height: int, width: int) -> "tf.Tensor":
    """Returns the matrices that lead from a pixel of the result to its source.

    About the centre, with x to the right and y down, they are the class's product
    rotation @ shift @ shear @ zoom, multiplied out, and then @ flip.

    Returns:
        float32 `(batch, 8)`, rows (a0, a1, a2, b0, b1, b2, 0, 0) for
        `tf.raw_ops.ImageProjectiveTransformV3`: source x = a0 x + a1 y + a2, y = b0 x + b1 y + b2.
    """
    angles = tf.stack([changes.rotation, changes.rotation + changes.shear], axis=1)
    # Image by image: over a whole batch, the last bit of a sine depends on the place in the batch,
    # since vectorised and scalar code round differently.
    circle = tf.map_fn(lambda pair: tf.stack([tf.cos(pair), tf.sin(pair)]), angles * math.pi / 180)
    cosine, sine = circle[:, 0, 0], circle[:, 1, 0]
    column_zoom = tf.where(changes.flip_horizontal, -1.0, 1.0) * changes.column_zoom
    row_zoom = tf.where(changes.flip_vertical, -1.0, 1.0) * changes.row_zoom
    a0, a1 = column_zoom * cosine, -row_zoom * circle[:, 1, 1]
    b0, b1 = column_zoom * sine, row_zoom * circle[:, 0, 1]
    x, y = (width - 1) / 2, (height - 1) / 2
    a2 = cosine * changes.column_shift - sine * changes.row_shift + (x - a0 * x - a1 * y)
    b2 = sine * changes.column_shift + cosine * changes.row_shift + (y - b0 * x - b1 * y)
    zero = tf.zeros_like(a0)
    return tf.stack([a0, a1, a2, b0, b1, b2, zero, zero], axis=1)


def warp_images(
    images: "tf.Tensor", transforms: "tf.Tensor", fill_mode: FillMode, cval: float
) -> "tf.Tensor":
    """Fetches each pixel from its source, bilinearly.

    Args:
        images: uint8 or float32 `(batch, height, width, channels)`, 0..255.
        transforms: float32 `(batch, 8)`, from `projective_transforms`.
        fill_mode: What lies outside the images.
        cval: Pixel value for `constant`, 0..255.

    Returns:
        float32, shape of `images`, 0..255.
    """
    height, width = images.shape[1:3]
    warped = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(images, tf.float32),
        transforms=transforms,
        output_shape=[height, width],
        fill_value=cval,
        interpolation="BILINEAR",
        fill_mode="NEAREST" if fill_mode == "constant" else fill_mode.upper(),
    )
    if fill_mode != "constant":
        return warped
    # The op's own CONSTANT blends the edge with the constant over one pixel; SciPy's ends sharply.
    x, y = tf.range(width, dtype=tf.float32), tf.range(height, dtype=tf.float32)[:, None]
    # Not `transforms[:, place, None, None]`: after a stack, TensorFlow 2.21's graph optimizer loses
    # the new axes.
    a0, a1, a2, b0, b1, b2, _, _ = tf.unstack(transforms[:, :, None, None], axis=1)
    column, row = a0 * x + a1 * y + a2, b0 * x + b1 * y + b2
    inside = (column >= 0) & (column <= width - 1) & (row >= 0) & (row <= height - 1)
    return tf.where(inside[..., None], warped, cval)
