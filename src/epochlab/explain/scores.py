"""The number that an explanation is of: how much a model speaks for one class."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from epochlab.explain.replay import list_calls, replay
from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
else:
    keras = lazy_import("keras")
    tf = lazy_import("tensorflow")

# `score` is what the last layer gives before its softmax or sigmoid, `probability` after it.
Target = Literal["score", "probability"]

# Called as `see(name, output)` on each layer's output; what it returns takes the output's place.
See = Callable[[str, Any], Any]


class Scorer:
    """Runs a model up to the score of one class per image, differentiably.

    The score before the last activation is the paper's y^c (Selvaraju et al., "Grad-CAM", 2017,
    arXiv:1610.02391, section 3). A probability near 0 or 1 hardly changes with anything, so that
    its gradient vanishes just where the model is sure, and a softmax's gradient also has the
    other classes in it. A single sigmoid output z speaks for class 1, and -z for class 0.

    A model whose last activation is none of the two is taken by its outputs as they are.
    """

    def __init__(self, model: "keras.Model", target: Target = "score") -> None:
        """Looks for the last activation.

        Args:
            model: A functional or sequential model with outputs `(batch, num_outputs)`.
            target: Which score; `probability` is what Chollet differentiates ("Deep Learning with
                Python", 2017, section 5.4.3).

        Raises:
            ConfigError: If the model cannot be looked into.
        """
        self.model = model
        self.target = target
        self._last_name, self._before_activation = _find_ending(model)

    def outputs(self, images: Any, see: See | None = None) -> Any:
        """Returns the scores of all outputs, float `(batch, num_outputs)`."""
        scores: Any = None

        def visit(name: str, layer: Any, *inputs: Any, **options: Any) -> Any:
            nonlocal scores
            if name == self._last_name and self._before_activation and self.target == "score":
                scores = self._before_activation(*inputs)
            output = layer(*inputs, **options)
            return output if see is None else see(name, output)

        outputs = replay(self.model, images, visit)
        return outputs if scores is None else scores

    def __call__(self, images: Any, classes: Any, see: See | None = None) -> Any:
        """Returns the score of one class per image.

        Args:
            images: Tensor `(batch, *image_shape)`.
            classes: Class indices, int `(batch,)`.
            see: Looks at, and may replace, each layer's output.

        Returns:
            float32 `(batch,)`, or float64 for a model in float64.
        """
        outputs = self.outputs(images, see)
        outputs = outputs if outputs.dtype == tf.float64 else tf.cast(outputs, tf.float32)
        if outputs.shape[-1] > 1:
            return tf.gather(outputs, classes, axis=1, batch_dims=1)
        single = outputs[:, 0]
        speaks = tf.cast(classes, tf.int32) == 1
        as_probability = self.target == "probability" and self._before_activation is not None
        return tf.where(speaks, single, 1 - single if as_probability else -single)


def _find_ending(model: "keras.Model") -> tuple[str, Callable[..., Any] | None]:
    """Returns the name of the layer that makes the model's output, and it without its activation.

    The second is None where there is no softmax or sigmoid to leave out.
    """
    endings = [call for call in list_calls(model) if call.ends]
    return (endings[-1].name, _without_activation(endings[-1].layer)) if endings else ("", None)


def _without_activation(layer: Any) -> Callable[..., Any] | None:
    if isinstance(layer, keras.layers.Softmax):
        return lambda inputs: inputs
    activation = getattr(layer, "activation", None)
    if activation not in (keras.activations.softmax, keras.activations.sigmoid):
        return None
    if isinstance(layer, keras.layers.Activation):
        return lambda inputs: inputs
    return linear_twin(layer)


def linear_twin(layer: "keras.layers.Layer") -> "keras.layers.Layer":
    """Returns a copy of a built layer, weights included, that leaves its activation out."""
    twin = type(layer).from_config(layer.get_config() | {"activation": "linear"})
    twin.build_from_config(layer.get_build_config())
    twin.set_weights(layer.get_weights())
    return twin
