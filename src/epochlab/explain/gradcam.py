"""Where in an image a convolution finds what speaks for a class: Grad-CAM and Grad-CAM++."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from epochlab.explain.layers import Place, find_last_convolution, list_places
from epochlab.explain.scores import Scorer, Target
from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf
else:
    np = lazy_import("numpy")
    tf = lazy_import("tensorflow")

Method = Literal["gradcam", "gradcam++"]


def compute_gradcam(
    model: "keras.Model",
    images: "np.ndarray",
    classes: "Sequence[int] | np.ndarray",
    *,
    place: Place | None = None,
    method: Method = "gradcam",
    target: Target = "score",
) -> "np.ndarray":
    """Returns the class-activation map of one class for each image.

    With A the feature maps and g = dS/dA the gradient of the class's score, both of the method's
    map is relu(sum over channels k of w_k A_k). Grad-CAM takes w_k = mean of g_k (Selvaraju et al.,
    2017, arXiv:1610.02391, equations 1 and 2). Grad-CAM++ takes w_k = sum of a_k relu(g_k) with
    a_k = g_k^2 / (2 g_k^2 + sum(A_k) g_k^3) (Chattopadhay et al., 2018, arXiv:1710.11063, equations
    5 and 19; their factor exp(S), the same for a whole image, is left out).

    Chollet's map ("Deep Learning with Python", section 5.4.3) is Grad-CAM's with
    `target="probability"`, divided by the number of channels.

    Args:
        model: A functional or sequential model, its layers at any depth.
        images: Raw pixels 0..255, `(n, *image_shape)`, uint8 or float.
        classes: The class to explain in each image, int `(n,)`; 0 or 1 for a single output.
        place: The layer whose feature maps are weighted; by default the last convolution.
        method: Which weights.
        target: What is differentiated: the score before the last activation, or the probability.

    Returns:
        float32 `(n, rows, columns)` in the resolution of the layer, 0 or more, not scaled.

    Raises:
        ConfigError: If the model cannot be looked into, or has no convolution.
    """
    place = place or find_last_convolution(list_places(model, images.shape[1:]))
    scorer = Scorer(model, target)
    seen: Any = None

    def watch(name: str, output: Any) -> Any:
        nonlocal seen
        if name == place.name:
            seen = output
            tape.watch(seen)
        return output

    with tf.GradientTape() as tape:
        scores = scorer(tf.convert_to_tensor(images), tf.convert_to_tensor(classes), watch)
    gradients = tape.gradient(scores, seen, unconnected_gradients="zero")
    maps, slopes = (
        np.asarray(tf.cast(place.maps_last(tensor), tf.float64)) for tensor in (seen, gradients)
    )
    weights = slopes.mean(axis=(1, 2)) if method == "gradcam" else _plus_weights(maps, slopes)
    weighted = np.einsum("nhwk,nk->nhw", maps, weights)
    return np.maximum(weighted, 0).astype(np.float32)


def _plus_weights(maps: "np.ndarray", slopes: "np.ndarray") -> "np.ndarray":
    """Returns Grad-CAM++'s weights, `(n, channels)`, of `(n, rows, columns, channels)` each."""
    sums = maps.sum(axis=(1, 2), keepdims=True)
    below = 2 * slopes**2 + sums * slopes**3
    usable = below != 0
    shares = np.divide(slopes**2, below, out=np.zeros_like(below), where=usable)
    return (shares * np.maximum(slopes, 0)).sum(axis=(1, 2))


def place_map(
    values: "np.ndarray",
    size: tuple[int, int],
    *,
    image_size: tuple[int, int] | None = None,
    aspect: Literal["stretch", "crop", "pad"] = "stretch",
) -> "np.ndarray":
    """Enlarges a map to the size of the image that the model's input was made of.

    Args:
        values: float `(rows, columns)`, over the whole input of the model.
        size: Height and width of the original image, in pixels.
        image_size: Height and width of the model's input; needed unless `aspect` is `stretch`.
        aspect: How the original came to that size, as in `resize_image`. Of a cropped one the part
            that the model has not seen gets zeros, of a padded one the borders are cut off.

    Returns:
        float32 `size`, bilinear between the centres of the map's cells.
    """
    if aspect == "stretch" or image_size is None:
        return _resize(values, size)
    height, width = size
    if aspect == "crop":
        scale = min(height / image_size[0], width / image_size[1])
        seen = max(1, round(image_size[0] * scale)), max(1, round(image_size[1] * scale))
        top, left = (height - seen[0]) // 2, (width - seen[1]) // 2
        placed = np.zeros(size, np.float32)
        placed[top : top + seen[0], left : left + seen[1]] = _resize(values, seen)
        return placed
    scale = min(image_size[0] / height, image_size[1] / width)
    inner = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (image_size[0] - inner[0]) // 2, (image_size[1] - inner[1]) // 2
    whole = _resize(values, image_size)
    return _resize(whole[top : top + inner[0], left : left + inner[1]], size)


def _resize(values: "np.ndarray", size: tuple[int, int]) -> "np.ndarray":
    resized = tf.image.resize(np.asarray(values, np.float32)[..., None], size)
    return resized[..., 0].numpy()
