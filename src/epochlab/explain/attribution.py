"""Which pixels a class's score depends on: saliency and integrated gradients."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from epochlab.explain.scores import Scorer, Target
from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf
else:
    np = lazy_import("numpy")
    tf = lazy_import("tensorflow")

# Points of the path that one gradient is computed for at a time.
BATCH_SIZE = 16
FIRST_STEPS = 32
MOST_STEPS = 864


@dataclass(frozen=True, eq=False)
class IntegratedGradients:
    """Integrated gradients of n images, and how far they are from complete.

    Attributes:
        attributions: What each pixel adds to the score, float32 `(n, *image_shape)`, in units of
            the score: positive speaks for the class.
        difference: Score of the image minus that of the baseline, float64 `(n,)`.
        error: |sum of the attributions - difference| / |difference|, float64 `(n,)`: 0 is complete.
        steps: Points of the path that were used, int `(n,)`.
    """

    attributions: "np.ndarray"
    difference: "np.ndarray"
    error: "np.ndarray"
    steps: "np.ndarray"


def compute_saliency(
    model: "keras.Model",
    images: "np.ndarray",
    classes: "Sequence[int] | np.ndarray",
    *,
    target: Target = "score",
) -> "np.ndarray":
    """Returns how strongly each pixel could change the score of one class per image.

    The largest absolute gradient over the colours (Simonyan, Vedaldi and Zisserman, "Deep Inside
    Convolutional Networks", 2013, arXiv:1312.6034, section 3.1), with respect to the raw pixels.

    Args:
        model: A functional or sequential model; layers need no convolutions.
        images: Raw pixels 0..255, `(n, height, width, channels)`, uint8 or float.
        classes: The class to explain in each image, int `(n,)`.
        target: What is differentiated: the score before the last activation, or the probability.

    Returns:
        float32 `(n, height, width)`, 0 or more, in units of the score per grey level.

    Raises:
        ConfigError: If the model cannot be looked into.
    """
    scorer = Scorer(model, target)
    gradients = _gradients(scorer, _as_float(model, images), tf.convert_to_tensor(classes))[1]
    return np.abs(gradients.numpy()).max(axis=-1).astype(np.float32)


def integrate_gradients(
    model: "keras.Model",
    images: "np.ndarray",
    classes: "Sequence[int] | np.ndarray",
    *,
    baseline: float = 0.0,
    tolerance: float = 0.01,
    most_steps: int = MOST_STEPS,
    target: Target = "score",
) -> IntegratedGradients:
    """Returns what each pixel adds to the score of one class, from a blank image on.

    (x - x') times the mean gradient on the straight way from the baseline x' to the image x
    (Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks", 2017, arXiv:1703.01365,
    equation 1). By their axiom of completeness the attributions add up to the difference of the
    scores. The integral is a sum over the midpoints of equal steps; their number is tripled,
    which keeps the old ones, until the sum is complete within `tolerance` or would go beyond
    `most_steps`.

    Args:
        model: A functional or sequential model; layers need no convolutions.
        images: Raw pixels 0..255, `(n, height, width, channels)`, uint8 or float.
        classes: The class to explain in each image, int `(n,)`.
        baseline: Raw pixel value of the blank image; 0 is black.
        tolerance: Error, as a share of the difference of the scores, that is small enough.
        most_steps: Upper limit of the number of steps, at least 32.
        target: What is integrated: the score before the last activation, or the probability.

    Returns:
        Attributions and their error for each image.

    Raises:
        ConfigError: If the model cannot be looked into.
    """
    path = _Path(Scorer(model, target), images.shape[1:], model.inputs[0].dtype)
    results = [
        path.integrate(image, int(label), baseline, tolerance, most_steps)
        for image, label in zip(images, classes, strict=True)
    ]
    columns = [np.stack(column) for column in zip(*results, strict=True)]
    return IntegratedGradients(*columns)


class _Path:
    """Sums gradients on the straight way from one image to another."""

    def __init__(self, scorer: Scorer, image_shape: Sequence[int], dtype: str) -> None:
        self._scorer = scorer
        self._dtype = dtype if dtype == "float64" else "float32"
        # The same for every image and batch, so that the model is traced once.
        image = tf.TensorSpec(image_shape, self._dtype)
        shares, label = tf.TensorSpec((None,), self._dtype), tf.TensorSpec((), "int32")
        self._sum = tf.function(
            self._sum_gradients, autograph=False, input_signature=[image, image, shares, label]
        )

    def integrate(
        self, image: "np.ndarray", label: int, baseline: float, tolerance: float, most_steps: int
    ) -> tuple["np.ndarray", float, float, int]:
        """Returns attributions, difference of the scores, error and steps of one image."""
        image = image.astype(self._dtype)
        start = np.full_like(image, baseline)
        ends = self._scorer(tf.constant(np.stack([start, image])), tf.constant([label, label]))
        difference = float(ends[1]) - float(ends[0])
        steps = min(FIRST_STEPS, most_steps)
        new = np.arange(steps)
        total = np.zeros(image.shape, np.float64)
        while True:
            shares = ((new + 0.5) / steps).astype(self._dtype)
            for first in range(0, len(new), BATCH_SIZE):
                part = shares[first : first + BATCH_SIZE]
                total += self._sum(start, image - start, part, np.int32(label)).numpy()
            attributions = (image - start) * total / steps
            # Where both scores are the same, complete is what adds up to nothing.
            error = abs(attributions.sum() - difference) / max(abs(difference), 1e-6)
            if error <= tolerance or 3 * steps > most_steps:
                return attributions.astype(np.float32), difference, error, steps
            steps *= 3
            new = np.flatnonzero(np.arange(steps) % 3 != 1)

    def _sum_gradients(self, start: Any, way: Any, shares: Any, label: Any) -> Any:
        points = start + tf.reshape(shares, (-1, *[1] * len(way.shape))) * way
        gradients = _gradients(self._scorer, points, tf.fill(tf.shape(shares), label))[1]
        return tf.reduce_sum(gradients, axis=0)


def _gradients(scorer: Scorer, images: Any, classes: Any) -> tuple[Any, Any]:
    """Returns the scores and their gradients with respect to the images."""
    with tf.GradientTape() as tape:
        tape.watch(images)
        scores = scorer(images, classes)
    return scores, tape.gradient(scores, images, unconnected_gradients="zero")


def _as_float(model: "keras.Model", images: "np.ndarray") -> Any:
    double = model.inputs[0].dtype == "float64"
    return tf.convert_to_tensor(np.asarray(images, np.float64 if double else np.float32))
