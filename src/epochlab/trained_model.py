"""A finished run's model, opened for use: image files in, probabilities of named classes out."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epochlab.data.sources import shown
from epochlab.errors import RunError
from epochlab.evaluation import to_probabilities
from epochlab.hashing import weights_sha256
from epochlab.input_format import InputFormat, read_input_format
from epochlab.lazy_import import lazy_import
from epochlab.process import load_tensorflow
from epochlab.rebuilt_model import SHOWN_REASON, rebuild_model
from epochlab.runs import Run

if TYPE_CHECKING:
    import keras
    import numpy as np
else:
    keras = lazy_import("keras")
    np = lazy_import("numpy")


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A model and what its inputs and outputs mean.

    Attributes:
        keras_model: The model, uncompiled: raw pixels in.
        input_format: The images that it takes, and its classes.
        from_logits: Whether it ends in logits instead of probabilities.
    """

    keras_model: "keras.Model"
    input_format: InputFormat
    from_logits: bool

    def predict(self, pixels: "np.ndarray") -> "np.ndarray":
        """Returns the probability of each class for one batch.

        Args:
            pixels: Raw pixels, uint8 `(n, *image_shape)`, 0..255.

        Returns:
            float64 `(n, num_classes)`, 0..1.

        Raises:
            RunError: If the model gives something that is not finite.
        """
        outputs = np.asarray(self.keras_model.predict_on_batch(pixels))
        if not np.isfinite(outputs).all():
            raise RunError(
                "the model's outputs are not all finite; its weights are no good: give another run"
            )
        return to_probabilities(outputs, from_logits=self.from_logits)


def load_trained_model(run: Run, *, trust: bool = False) -> TrainedModel:
    """Opens the `model.h5` of a finished run.

    The file is not trusted: the network is built from the run's own config, and only numbers are
    read from the file. Its weights must be those that `metrics.json` tells the hash of.

    Args:
        run: The run.
        trust: Open the file with Keras itself, which makes whatever it describes and may execute
            code in it: for a network that is of no family here.

    Raises:
        RunError: If the run is not finished, its records are damaged, or the file is missing,
            damaged or of another model.
    """
    input_format = read_input_format(run)
    expected = run.read_json("metrics.json").get("weights_sha256")
    load_tensorflow()
    path = run.path / "model.h5"
    if not path.is_file():
        raise RunError(f"{path}: there is no such file; bring it back, or give another run")
    model = _open_with_keras(path) if trust else rebuild_model(run, input_format)
    # Without compile() Keras would choose XLA, which is slower for convnets and computes otherwise.
    model.jit_compile = False
    _check_shapes(run, model, input_format)
    found = weights_sha256(model)
    if found != expected:
        raise RunError(
            f"{path}: its weights are not those of this run: their SHA-256 is {found}, in "
            f"metrics.json {_brief(expected)}; bring the run's own file back, or give another run"
        )
    return TrainedModel(model, input_format, _ends_in_logits(run, model))


def _brief(value: Any) -> str:
    return shown(str(value)[:SHOWN_REASON])


def _open_with_keras(path: Path) -> "keras.Model":
    """Opens a model that is trusted, as Keras does."""
    # The hand-written layer: Keras finds it once its module is loaded.
    import epochlab.models.dense_layer  # noqa: F401

    try:
        return keras.models.load_model(path, compile=False, safe_mode=False)
    except Exception as error:  # a damaged file makes Keras and HDF5 raise whatever they stumble on
        reason = " ".join(str(error).split())[:SHOWN_REASON] or type(error).__name__
        raise RunError(
            f"{path}: cannot be opened ({shown(reason)}); expected the model that the run saved; "
            "bring that file back, or give another run"
        ) from error


def _check_shapes(run: Run, model: "keras.Model", input_format: InputFormat) -> None:
    """Refuses a model that the run's images do not fit into, or with other classes."""
    inputs, outputs = (
        [tuple(tensor.shape) for tensor in tensors] for tensors in (model.inputs, model.outputs)
    )
    image_shape, num_classes = input_format.image_shape, len(input_format.class_names)
    if len(inputs) != 1 or not _takes(inputs[0], image_shape):
        raise RunError(
            f"{run.path}: model.h5 takes {inputs}, but by data.json the images have the shape "
            f"{image_shape}; give a run with its own model"
        )
    widths = (num_classes, 1) if num_classes == 2 else (num_classes,)
    if len(outputs) != 1 or len(outputs[0]) != 2 or outputs[0][1] not in widths:
        raise RunError(
            f"{run.path}: model.h5 gives {outputs}, but data.json has {num_classes} classes; "
            "give a run with its own model"
        )


def _takes(shape: tuple[int | None, ...], image_shape: tuple[int, int, int]) -> bool:
    """Tells whether a model's input has room for the images; None in `shape` takes any length."""
    return len(shape) == 4 and all(
        length in (None, given) for length, given in zip(shape[1:], image_shape, strict=True)
    )


def _ends_in_logits(run: Run, model: "keras.Model") -> bool:
    """Tells logits from probabilities by the last activation: the run does not record it."""
    ending = next((name for name in map(_activation_name, _backwards(model)) if name), "nothing")
    num_outputs = model.output_shape[-1]
    if ending == ("sigmoid" if num_outputs == 1 else "softmax"):
        return False
    if ending == "linear" and num_outputs > 1:
        return True
    raise RunError(
        f"{run.path}: model.h5 has {num_outputs} outputs and ends in {ending}; expected softmax, "
        "a Dense layer without activation (logits), or sigmoid with a single output; only such "
        "runs can be used here"
    )


def _backwards(model: "keras.Model") -> Iterator[Any]:
    """Yields the model's layers from the last one on, those of models inside it too."""
    sequential = isinstance(model, keras.Sequential)
    for operation in reversed(model.layers if sequential else model.operations):
        if isinstance(operation, keras.Model):
            yield from _backwards(operation)
        else:
            yield operation


def _activation_name(operation: Any) -> str | None:
    """Returns what the operation does to its numbers at last; None: it hands them on unchanged."""
    layers = keras.layers
    unchanging = (layers.Dropout, layers.Flatten, layers.Identity, layers.Reshape)
    if isinstance(operation, unchanging):
        return None
    activation = getattr(operation, "activation", None)
    if activation is None:  # Softmax, say, which is a layer as well as an activation
        return type(operation).__name__.lower()
    name = getattr(activation, "__name__", type(activation).__name__)
    return None if name == "linear" and isinstance(operation, layers.Activation) else name
