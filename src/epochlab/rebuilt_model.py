"""A finished run's network, built anew from its own config: its file gives numbers and no more."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field

from epochlab.config.yaml_reader import read_yaml
from epochlab.data.sources import shown
from epochlab.errors import ConfigError, EpochlabError, RunError
from epochlab.input_format import InputFormat, check_record
from epochlab.lazy_import import lazy_import
from epochlab.models.families import find_family
from epochlab.models.trained_weights import open_trained_weights, outline_network
from epochlab.runs import Run

if TYPE_CHECKING:
    import keras
else:
    keras = lazy_import("keras")

REMEDY = "bring the run's own file back, or give another run"
# Keras and TensorFlow put whole configurations into their messages.
SHOWN_REASON = 300

Built = TypeVar("Built")


class _RecordedTraining(BaseModel):
    precision: Literal["float32", "mixed_bfloat16"]


class _RecordedSettings(BaseModel):
    """What is needed of a run's `config.yaml`, whatever the experiment."""

    seed: Annotated[int, Field(ge=0, lt=2**31)]
    model: Mapping[str, Any]
    training: _RecordedTraining


def rebuild_model(run: Run, input_format: InputFormat) -> "keras.Model":
    """Builds the network that `run` trained and gives it the weights in its `model.h5`.

    Nothing in the file is executed, and no memory is taken before all of the file is known to fit
    the network that `config.yaml` and `data.json` describe.

    Args:
        run: A finished run.
        input_format: The images that it takes, and its classes.

    Returns:
        The network, uncompiled: raw pixels in.

    Raises:
        RunError: If the records describe no network of a family here, or the file is missing,
            damaged or of another network.
    """
    settings = check_record(run, "config.yaml", _RecordedSettings, _read_config(run))
    try:
        found = find_family(settings.model)
    except RunError as error:
        raise RunError(f"{run.config_path}: {error}; {REMEDY}") from error
    if found is None:
        keys = ", ".join(shown(str(key)) for key in list(settings.model)[:12]) or "no keys"
        raise RunError(
            f"{run.config_path}: model: no model family of Epochlab has these settings ({keys}), "
            "so the network cannot be built from them. Where you know who made model.h5, --trust "
            "opens it with Keras itself, which may execute code in it"
        )
    family, section = found

    def build() -> "keras.Model":
        num_classes = len(input_format.class_names)
        return family.build(section, input_format.image_shape, num_classes, settings.seed)

    def outline() -> Any:
        with keras.StatelessScope(initialize_variables=False):
            return outline_network(build())

    precision = settings.training.precision
    expected = _in_own_thread(run, precision, outline)
    with open_trained_weights(run.path / "model.h5", expected, REMEDY) as weights:
        model = _in_own_thread(run, precision, build)
        weights.assign_to(model)
    return model


def _read_config(run: Run) -> Mapping[str, Any]:
    try:
        return read_yaml(run.config_path).values
    except ConfigError as error:
        raise RunError(f"{error}; the run folder is damaged; give another run") from error


def _in_own_thread(run: Run, precision: str, build: Callable[[], Built]) -> Built:
    """Returns what `build` builds, in that precision.

    Keras keeps the precision, the numbers of layers and the variables that have no values yet for
    each thread: of this one nothing stays behind.
    """

    def set_and_build() -> Built:
        keras.config.set_dtype_policy(precision)
        return build()

    try:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(set_and_build).result()
    except EpochlabError as error:
        raise RunError(f"{run.path}: by its config.yaml and data.json, {error}") from error
    except Exception as error:  # of absurd sizes, Keras and TensorFlow say whatever comes to them
        reason = " ".join(str(error).split())[:SHOWN_REASON] or type(error).__name__
        raise RunError(
            f"{run.path}: its config.yaml and data.json describe no network that can be built "
            f"({shown(reason)}); {REMEDY}"
        ) from error
