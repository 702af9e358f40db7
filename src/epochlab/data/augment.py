"""Random changes of training images, with the meaning of Keras's old `ImageDataGenerator`.

What happens to an image is a pure function of (seed, epoch, index). Source of ranges, order and
centre: `keras.src.legacy.preprocessing.image` in Keras 3.15, against which the tests compare. This
module differs from it in three things:

- `height_shift_range` moves rows and `width_shift_range` columns, as their names say and as Keras
  did when the articles were written; since 2020 the class has the two crossed
  (https://github.com/keras-team/keras/issues/17398).
- An image that is not square turns about its own centre; the class takes the centre of its
  transpose.
- `wrap` repeats an image of n pixels every n pixels; the class, like SciPy, every n - 1.
"""

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, NonNegativeFloat, PositiveFloat, ValidationError, WrapValidator
from pydantic import ValidatorFunctionWrapHandler as Handler

from epochlab.config import Section
from epochlab.data.warp import Changes, FillMode, warp_images
from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_import("tensorflow")

# Places of an image's random numbers, fixed, so that one range never changes another's draws.
NUM_DRAWS = 10


def _expect(expected: str) -> WrapValidator:
    """Returns a check with one message, where a union has one per variant; pairs must ascend."""

    def validate(value: Any, handler: Handler) -> Any:
        try:
            # A list would do from JSON, but a check like this one is handed Python's values.
            valid = handler(tuple(value) if isinstance(value, list) else value)
        except ValidationError:
            valid = None
        if valid is None or (isinstance(valid, tuple) and valid[0] > valid[1]):
            raise ValueError(f"expected {expected}, got {value}")
        return valid

    return WrapValidator(validate)


ShiftRange = Annotated[
    Annotated[int, Field(ge=0)] | NonNegativeFloat,
    _expect("a share of the image such as 0.2, or whole pixels such as 5"),
]
ZoomRange = Annotated[
    Annotated[float, Field(ge=0, lt=1)] | tuple[PositiveFloat, PositiveFloat],
    _expect("a number from 0 to below 1, or [low, high] with 0 < low <= high"),
]
BrightnessRange = Annotated[
    tuple[NonNegativeFloat, NonNegativeFloat], _expect("[low, high] with 0 <= low <= high, or null")
]


class AugmentConfig(Section):
    """How far training images are changed; the keys are those of `ImageDataGenerator`.

    A shift below 1 is a share of the height or width, a number with a point from 1 on is pixels.
    Both are drawn from -shift..shift. A whole number N means whole pixels, -(N-1)..N-1, with 0
    twice as likely as any other; so 1 shifts nothing.

    Attributes:
        rotation_range: Largest angle in degrees, drawn from -angle..angle.
        width_shift_range: Largest shift along the columns, as above.
        height_shift_range: Largest shift along the rows, as above.
        shear_range: Largest shear angle in degrees (not radians), drawn from -angle..angle.
        zoom_range: `[low, high]`, or z for `[1 - z, 1 + z]`; drawn for height and width apart.
            Below 1 enlarges what the image shows, above 1 shrinks it.
        horizontal_flip: Mirror left and right, one time in two.
        vertical_flip: Mirror top and bottom, one time in two.
        fill_mode: What lies outside the image: `nearest` repeats the edge pixel, `constant` is
            `cval`, `reflect` mirrors with the edge pixel repeated, `wrap` repeats the image.
        cval: Pixel value for `constant`, 0..255.
        brightness_range: Factor on all pixels, `[low, high]`, or null.
        channel_shift_range: Largest amount added to all pixels of an image, 0..255, drawn from
            -amount..amount. The sum stays between the image's own least and greatest pixel.
    """

    rotation_range: Annotated[float, Field(ge=0, le=360)]
    width_shift_range: ShiftRange
    height_shift_range: ShiftRange
    shear_range: Annotated[float, Field(ge=0, lt=90)]
    zoom_range: ZoomRange
    horizontal_flip: bool
    vertical_flip: bool
    fill_mode: FillMode
    cval: Annotated[float, Field(ge=0, le=255)]
    brightness_range: BrightnessRange | None
    channel_shift_range: Annotated[float, Field(ge=0, le=255)]


def augment_batch(
    images: "tf.Tensor",
    indices: "tf.Tensor",
    epoch: "tf.Tensor | int",
    config: AugmentConfig,
    seed: int,
) -> "tf.Tensor":
    """Returns each image as it looks in this epoch; runs eagerly and in `tf.data.Dataset.map`.

    The order is the class's: warp, channel shift, brightness. The result is float32, as the
    class's is: interpolated values are not whole, and uint8 would cut off half a level on average.

    Args:
        images: uint8 `(batch, height, width, channels)` with known height and width, 0..255.
        indices: Position of each image in its split, integers `(batch,)`, 0..2^32-1.
        epoch: The epoch, 0..2^30; an integer, or integers `(batch,)` for one per image.
        config: How far images are changed.
        seed: Seed of the run, 0..2^31-1.

    Returns:
        float32, shape of `images`, 0..255.
    """
    height, width = images.shape[1:3]
    changes = draw_changes(indices, epoch, config, seed, height, width)
    pixels = warp_images(images, changes, config.fill_mode, config.cval)
    if config.channel_shift_range:
        pixels = tf.clip_by_value(
            pixels + changes.channel_shift[:, None, None, None],
            tf.reduce_min(pixels, axis=[1, 2, 3], keepdims=True),
            tf.reduce_max(pixels, axis=[1, 2, 3], keepdims=True),
        )
    if config.brightness_range is not None:
        # The class goes through Pillow, which cuts off the fraction before and after.
        brighter = tf.floor(pixels) * changes.brightness[:, None, None, None]
        pixels = tf.floor(tf.minimum(brighter, 255.0))
    return pixels


def draw_changes(
    indices: "tf.Tensor",
    epoch: "tf.Tensor | int",
    config: AugmentConfig,
    seed: int,
    height: int,
    width: int,
) -> Changes:
    """Draws what happens to each image; a pure function of seed, epoch and index, image by image.

    Args:
        indices: As in `augment_batch`.
        epoch: As in `augment_batch`.
        config: How far images are changed.
        seed: Seed of the run, 0..2^31-1.
        height: Height of the images in pixels, of which a shift below 1 is a share.
        width: Their width.
    """
    keys = tf.cast(epoch, tf.int64) * 2**32 + tf.cast(indices, tf.int64)
    uniform = _draw_uniform(seed, keys)
    either_way = 2 * uniform - 1
    zoom = config.zoom_range
    low, high = zoom if isinstance(zoom, tuple) else (1 - zoom, 1 + zoom)
    darkest, brightest = config.brightness_range or (1.0, 1.0)
    return Changes(
        rotation=either_way[:, 0] * config.rotation_range,
        column_shift=_scale_shift(either_way[:, 1], config.width_shift_range, width),
        row_shift=_scale_shift(either_way[:, 2], config.height_shift_range, height),
        shear=either_way[:, 3] * config.shear_range,
        column_zoom=low + uniform[:, 4] * (high - low),
        row_zoom=low + uniform[:, 5] * (high - low),
        flip_horizontal=(uniform[:, 6] < 0.5) & config.horizontal_flip,
        flip_vertical=(uniform[:, 7] < 0.5) & config.vertical_flip,
        channel_shift=either_way[:, 8] * config.channel_shift_range,
        brightness=darkest + uniform[:, 9] * (brightest - darkest),
    )


def _scale_shift(either_way: "tf.Tensor", shift_range: float, size: int) -> "tf.Tensor":
    """Returns shifts in pixels from numbers in -1..1, by the rule of `AugmentConfig`."""
    if isinstance(shift_range, int):
        # Towards zero: 0..N-1 with equal chances, then a sign.
        return tf.cast(tf.cast(either_way * shift_range, tf.int32), tf.float32)
    return either_way * (shift_range * size if shift_range < 1 else shift_range)


def _draw_uniform(seed: int, keys: "tf.Tensor") -> "tf.Tensor":
    """Returns `NUM_DRAWS` numbers for each of `keys`, int64 `(batch,)`: float32, 0 to below 1.

    Source: SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014),
    started at a hash of seed and key. `tf.random.stateless_uniform` takes one seed per call.
    """
    right_shift, xor = tf.bitwise.right_shift, tf.bitwise.bitwise_xor

    def mix(state: "tf.Tensor") -> "tf.Tensor":
        state = xor(state, right_shift(state, 30)) * 0xBF58476D1CE4E5B9
        state = xor(state, right_shift(state, 27)) * 0x94D049BB133111EB
        return xor(state, right_shift(state, 31))

    increment = tf.constant(0x9E3779B97F4A7C15, tf.uint64)
    places = tf.cast(tf.range(1, NUM_DRAWS + 1), tf.uint64)
    start = mix(mix(tf.constant(seed, tf.uint64)) + increment * tf.cast(keys, tf.uint64))
    numbers = mix(start[:, None] + increment * places)
    return tf.cast(right_shift(numbers, 40), tf.float32) * 2.0**-24
