"""A model run layer by layer, those of models inside it too, with a look at each output."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from epochlab.errors import ConfigError
from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
else:
    keras = lazy_import("keras")
    tf = lazy_import("tensorflow")

# What comes between the names of a model and of a layer inside it.
SEPARATOR = "/"
# For a model that takes images of any size: what leaves something of every usual network.
ANY_SIZE = 224

# Takes the name of a layer, the layer, and what it is called on; returns what it gives.
Visit = Callable[..., Any]


def replay(model: "keras.Model", images: Any, visit: Visit, inside: str = "") -> Any:
    """Runs `model` on `images` and lets `visit` make each layer's output.

    Models inside the model, to any depth, are run layer by layer like the model itself, so that a
    nested and a flattened form of one network are the same sequence of calls. Nothing in `model` is
    changed, and no symbolic layers are added to it. A model of a class of its own, whose `call`
    nobody can see into, counts as one layer.

    Args:
        model: A functional or sequential model with one input.
        images: A tensor, `(batch, *image_shape)`.
        visit: Called as `visit(name, layer, *inputs, **options)` for each layer in order; returns
            the layer's output, in the simplest case `layer(*inputs, **options)`. `name` has the
            names of the models around the layer in front: `vgg16/block5_conv3`.
        inside: Name of the model as it stands in another one, with the separator, for `name`.

    Returns:
        The output of the model.
    """

    def step(layer: Any) -> Callable[..., Any]:
        def call(*inputs: Any, **options: Any) -> Any:
            if is_transparent(layer):
                return replay(layer, inputs[0], visit, f"{inside}{layer.name}{SEPARATOR}")
            return visit(f"{inside}{layer.name}", layer, *inputs, **options)

        return call

    # As the model itself does with what it is called on.
    images = tf.nest.map_structure(tf.cast, images, _input_dtypes(model, images))
    if isinstance(model, keras.Sequential):
        for layer in model.layers:
            images = step(layer)(images)
        return images
    # Keras's own walk, which is what a functional model's call consists of.
    return model._run_through_graph(images, operation_fn=step)  # pyright: ignore[reportAttributeAccessIssue]


def is_transparent(layer: Any) -> bool:
    """Tells whether `layer` is a model that consists of its layers and nothing else."""
    if not isinstance(layer, keras.Model):
        return False
    if isinstance(layer, keras.Sequential):
        return type(layer).call is keras.Sequential.call
    return hasattr(layer, "_run_through_graph") and type(layer).call is _functional_call()


def check_replayable(model: "keras.Model") -> None:
    """Refuses a model that cannot be run layer by layer.

    Raises:
        ConfigError: If it is a model of a class of its own, or does not have one input and output.
    """
    if not is_transparent(model):
        raise ConfigError(
            f"{getattr(model, 'name', model)}: a {type(model).__name__}, whose layers cannot be "
            "looked into; expected a functional or a sequential Keras model; build it as one"
        )
    if not model.built or len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ConfigError(
            f"{model.name}: expected a built model with one input and one output, got "
            f"{len(model.inputs or ())} and {len(model.outputs or ())}; give such a model"
        )


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a layer while a model runs.

    Attributes:
        name: The layer's name with those of the models around it in front.
        layer: The layer.
        output_shape: Shape of what it gives for one image.
        ends: Whether that is the output of the whole model.
    """

    name: str
    layer: Any
    output_shape: tuple[int, ...]
    ends: bool


def list_calls(model: "keras.Model", image_shape: Sequence[int] | None = None) -> list[Call]:
    """Lists the calls of layers that a run of `model` consists of, in their order.

    Args:
        model: A functional or sequential model with one input and one output.
        image_shape: Shape of one image, for a model that takes images of any size; otherwise a
            side of 224 is taken there.

    Raises:
        ConfigError: If the model cannot be looked into.
    """
    check_replayable(model)
    shape = [length or ANY_SIZE for length in image_shape or model.inputs[0].shape[1:]]
    calls: list[Call] = []

    @tf.function(autograph=False)
    def run(images: Any) -> Any:
        made: list[tuple[str, Any, Any]] = []

        def note(name: str, layer: Any, *inputs: Any, **options: Any) -> Any:
            output = layer(*inputs, **options)
            made.append((name, layer, output))
            return output

        end = replay(model, images, note)
        calls.extend(
            Call(name, layer, tuple(getattr(output, "shape", ())[1:]), output is end)
            for name, layer, output in made
        )

    # Tracing tells all that there is to know; nothing is computed.
    run.get_concrete_function(tf.TensorSpec((1, *shape), "float32"))
    return calls


def _input_dtypes(model: "keras.Model", images: Any) -> Any:
    return tf.nest.pack_sequence_as(images, [tensor.dtype for tensor in model.inputs])


def _functional_call() -> Callable[..., Any]:
    from keras.src.models.functional import Functional

    return Functional.call
