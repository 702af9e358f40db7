"""What each filter of a convolution looks for: images that excite it, made by gradient ascent."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from epochlab.errors import ConfigError
from epochlab.explain.layers import Place
from epochlab.explain.replay import replay
from epochlab.explain.scores import linear_twin
from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf
else:
    keras = lazy_import("keras")
    np = lazy_import("numpy")
    tf = lazy_import("tensorflow")

STEPS = 40
# Of raw grey levels. With the article's 1 a fifth of VGG16's block3_conv1 stays far from excited.
STEP_SIZE = 4.0
# Filters that one gradient is computed for; with more, memory grows and speed does not.
BATCH_SIZE = 8
# Slope below zero, which lets a filter out that the noise does not excite at all.
LEAK = 0.01
# Positions on each side of the maps that are left out: padding makes them unlike the others.
BORDER = 2
JITTER = 4
BLUR = 0.5


@dataclass(frozen=True, eq=False)
class ExcitedFilters:
    """Images that excite filters.

    Attributes:
        filters: Which filters, int `(n,)`.
        images: Raw pixels as the model takes them, float32 `(n, height, width, channels)`. They are
            not kept within 0..255.
        before: Mean activation of the filter on the noise that the ascent starts from, float64
            `(n,)`.
        after: The same on `images`.
    """

    filters: "np.ndarray"
    images: "np.ndarray"
    before: "np.ndarray"
    after: "np.ndarray"


class _Reached(Exception):
    """Ends a replay once the layer's output is known: what lies behind it is not run."""

    def __init__(self, output: Any) -> None:
        self.output = output


def excite_filters(
    model: "keras.Model",
    place: Place,
    filters: Sequence[int] | None = None,
    *,
    size: tuple[int, int] | None = None,
    steps: int = STEPS,
    step_size: float = STEP_SIZE,
    regularise: bool = False,
    batch_size: int = BATCH_SIZE,
    seed: int = 0,
) -> ExcitedFilters:
    """Makes an image for each filter that excites it most.

    Gradient ascent from grey noise on the raw pixels, after Chollet ("Deep Learning with Python",
    2017, section 5.4.2): noise of 128 to 148, the gradient divided by its root mean square, `steps`
    steps of `step_size` grey levels, of which the article takes 1. What rises is the filter's mean
    activation, without the border that padding touches. Where a relu is silent, its slope is taken
    as 0.01 instead of 0: the article's ascent never moves from noise that a filter does not answer
    to.

    Each image of a batch has its own filter. Since no image touches another's activation, the
    gradient of the sum is all of their gradients, for the price of one.

    Args:
        model: A functional or sequential model, its layers at any depth.
        place: The layer; of one that is called several times, the first call.
        filters: Which filters; by default all.
        size: Height and width of the images, in pixels; by default those of the model's input.
        steps: Number of steps, at least 0.
        step_size: Length of a step, in grey levels, as root mean square over the pixels.
        regularise: Whether to shift the image at random before each gradient and blur it a little
            after each step, which leaves larger and smoother patterns (Mordvintsev, Olah and Tyka,
            "Inceptionism", 2015; Yosinski et al., 2015, arXiv:1506.06579).
        batch_size: Filters at a time.
        seed: Seed of the noise and the shifts.

    Raises:
        ConfigError: If the layer gives no feature maps, or a filter is none of its.
    """
    if not place.has_maps:
        raise ConfigError(
            f"layer {place.name}: gives {place.output_shape}; expected feature maps, (height, "
            "width, channels); give a convolution"
        )
    count = place.map_shape[2]
    chosen = np.arange(count) if filters is None else np.asarray(filters, np.int64)
    if len(chosen) and not (chosen.min() >= 0 and chosen.max() < count):
        raise ConfigError(f"layer {place.name}: has filters 0 to {count - 1}; give some of these")
    shape = _image_shape(model, size)
    generator = np.random.default_rng(seed)
    ascent = _Ascent(model, place, shape, regularise)
    parts = []
    for first in range(0, len(chosen), batch_size):
        part = chosen[first : first + batch_size]
        noise = 128 + 20 * generator.random((len(part), *shape), np.float32)
        shifts = generator.integers(-JITTER, JITTER + 1, (steps, 2))
        parts.append(ascent.climb(noise, part, shifts, step_size))
    images, before, after = (np.concatenate(column) for column in zip(*parts, strict=True))
    return ExcitedFilters(chosen, images, before, after)


def stretch_pattern(image: "np.ndarray") -> "np.ndarray":
    """Brings an excited image to what can be looked at, as Chollet does: mean 128, deviation 25.

    Args:
        image: float `(height, width, channels)`.

    Returns:
        uint8 of the same shape.
    """
    spread = (image - image.mean()) / (image.std() + 1e-5)
    return np.clip((spread * 0.1 + 0.5) * 255, 0, 255).astype(np.uint8)


class _Ascent:
    """Steps uphill on the activation of one layer's filters."""

    def __init__(
        self, model: "keras.Model", place: Place, shape: tuple[int, int, int], regularise: bool
    ) -> None:
        self._model = model
        self._place = place
        self._regularise = regularise
        # A relu hides how far below zero it is.
        relu = getattr(place.layer, "activation", None) is keras.activations.relu
        self._linear = linear_twin(place.layer) if relu else None
        self._is_plain = type(place.layer) is keras.layers.Conv2D and place.layer.groups == 1
        # Batches of any size, so that the last one is no reason to trace anew.
        signature = [tf.TensorSpec((None, *shape)), tf.TensorSpec((None,), "int32")]
        self._measure = tf.function(self._activation, autograph=False, input_signature=signature)
        signature += [tf.TensorSpec((2,), "int32"), tf.TensorSpec(())]
        self._climb = tf.function(self._step, autograph=False, input_signature=signature)

    def climb(
        self, noise: "np.ndarray", filters: "np.ndarray", shifts: "np.ndarray", step_size: float
    ) -> tuple["np.ndarray", "np.ndarray", "np.ndarray"]:
        """Returns images, and mean activations before and after."""
        images, chosen = tf.constant(noise), tf.constant(filters, tf.int32)
        before = self._measure(images, chosen)
        for shift in shifts:
            images = self._climb(images, chosen, np.int32(shift), np.float32(step_size))
        after = self._measure(images, chosen)
        return images.numpy(), before.numpy().astype(np.float64), after.numpy().astype(np.float64)

    def _step(self, images: Any, filters: Any, shift: Any, step_size: Any) -> Any:
        if self._regularise:
            images = tf.roll(images, shift, (1, 2))
        with tf.GradientTape() as tape:
            tape.watch(images)
            total = tf.reduce_sum(self._activation(images, filters, LEAK))
        gradients = tape.gradient(total, images)
        scale = tf.sqrt(tf.reduce_mean(gradients**2, (1, 2, 3), keepdims=True)) + 1e-12
        images = images + step_size * gradients / scale
        if self._regularise:
            images = tf.roll(_blur(images), -shift, (1, 2))
        return images

    def _activation(self, images: Any, filters: Any, leak: float = 0.0) -> Any:
        """Returns the mean activation of one filter per image, float32 `(n,)`."""

        def visit(name: str, layer: Any, *inputs: Any, **options: Any) -> Any:
            if name != self._place.name:
                return layer(*inputs, **options)
            if self._is_plain:
                raise _Reached(self._convolve(inputs[0], filters))
            maps = self._place.maps_last((self._linear or layer)(*inputs, **options))
            raise _Reached(tf.gather(maps, filters, axis=3, batch_dims=1))

        own: Any = None
        try:
            replay(self._model, images, visit)
        except _Reached as reached:
            own = tf.cast(reached.output, tf.float32)
        rows, columns = map(_inner, own.shape[1:3])
        own = own[:, rows, columns]
        if self._linear is not None:
            own = tf.nn.relu(own) + leak * tf.minimum(own, 0)
        return tf.reduce_mean(own, (1, 2))

    def _convolve(self, inputs: Any, filters: Any) -> Any:
        """Returns of each image its own filter's map, `(n, height, width)`.

        Only the filters of this batch are computed, not all of the layer's.
        """
        layer: Any = self._linear or self._place.layer
        inputs = tf.cast(inputs, layer.compute_dtype)
        kernel = tf.cast(tf.gather(layer.kernel, filters, axis=3), layer.compute_dtype)
        maps = keras.ops.conv(
            inputs, kernel, layer.strides, layer.padding, layer.data_format, layer.dilation_rate
        )
        maps = self._place.maps_last(maps)
        # The image at position i has the filter at position i.
        own = tf.reduce_sum(maps * tf.eye(tf.shape(filters)[0], dtype=maps.dtype)[:, None, None], 3)
        if layer.use_bias:
            own += tf.cast(tf.gather(layer.bias, filters), maps.dtype)[:, None, None]
        return own if layer.activation is None else layer.activation(own)


def _inner(length: int) -> slice:
    """Returns the part of a side that is not its border, of short sides the whole."""
    return slice(BORDER, -BORDER) if length >= 5 * BORDER else slice(None)


def _image_shape(model: "keras.Model", size: tuple[int, int] | None) -> tuple[int, int, int]:
    height, width, channels = model.inputs[0].shape[1:]
    if size is not None:
        height, width = size
    return height or 150, width or 150, channels


def _blur(images: Any) -> Any:
    """Blurs images `(n, height, width, channels)` a little, their borders repeated."""
    edge = np.exp(-1 / (2 * BLUR**2))
    side = np.array([edge, 1, edge]) / (1 + 2 * edge)
    channels = images.shape[-1]
    kernel = tf.constant(np.tile(np.outer(side, side)[..., None, None], (1, 1, channels, 1)))
    padded = tf.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), "SYMMETRIC")
    return tf.nn.depthwise_conv2d(padded, tf.cast(kernel, images.dtype), (1,) * 4, "VALID")
