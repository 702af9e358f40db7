"""How a finished run brought its images to one form, and which classes it has."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field, PositiveInt, ValidationError

from epochlab.config.yaml_reader import read_yaml
from epochlab.data.decoding import Aspect, ColorMode, Interpolation, decode_image, resize_image
from epochlab.errors import ConfigError, RunError
from epochlab.runs import Run

if TYPE_CHECKING:
    import numpy as np


class _RecordedData(BaseModel):
    """What is needed of a run's `data.json`."""

    image_shape: tuple[PositiveInt, PositiveInt, Literal[1, 3]]
    class_names: Annotated[tuple[str, ...], Field(min_length=2)]


class _RecordedConfig(BaseModel):
    """What is needed of the `data` section of a run's `config.yaml`, whatever the experiment.

    A run on arrays, as MNIST is, has none of these keys.
    """

    image_size: tuple[PositiveInt, PositiveInt] | None = None
    color_mode: ColorMode | None = None
    interpolation: Interpolation | None = None
    aspect: Aspect = "stretch"


_Recorded = TypeVar("_Recorded", bound=BaseModel)


@dataclass(frozen=True)
class InputFormat:
    """What a run's model takes and gives, as the run recorded it.

    Attributes:
        image_shape: Height, width and channels of an image, in pixels; 3 channels are RGB, 1 is
            grey.
        class_names: One name per class index.
        interpolation: As in `resize_image`; or None, where the training images came in their size:
            `area` for an image that is at least as large in both directions, else `bilinear`.
        aspect: As in `resize_image`.
    """

    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    interpolation: Interpolation | None
    aspect: Aspect

    def decode(self, content: bytes) -> "np.ndarray":
        """Brings an image file to the form that the model was trained on.

        Args:
            content: The bytes of the file.

        Returns:
            Raw pixels, uint8 `image_shape`, 0..255.

        Raises:
            DataError: If it cannot be decoded; the message is the reason alone.
        """
        height, width, channels = self.image_shape
        image = decode_image(content, "rgb" if channels == 3 else "grayscale")
        shrinks = image.shape[0] >= height and image.shape[1] >= width
        interpolation = self.interpolation or ("area" if shrinks else "bilinear")
        return resize_image(image, (height, width), interpolation, self.aspect)


def read_input_format(run: Run) -> InputFormat:
    """Reads how `run` prepared its images and what its classes are. TensorFlow is not needed.

    Raises:
        RunError: If the run is not finished, or its records are damaged or contradict each other.
    """
    if not run.is_finished:
        raise RunError(
            f"{run.path}: this run is not finished, it has no metrics.json; finish it with its "
            f"script's --resume {run.path}, or give another run"
        )
    recorded = check_record(run, "data.json", _RecordedData, run.read_json("data.json"))
    try:
        section = read_yaml(run.config_path).values.get("data")
    except ConfigError as error:
        raise RunError(f"{error}; the run folder is damaged; give another run") from error
    config = check_record(run, "config.yaml: data", _RecordedConfig, section)
    *size, channels = recorded.image_shape
    if config.image_size not in (None, tuple(size)) or config.color_mode not in (
        None,
        "rgb" if channels == 3 else "grayscale",
    ):
        raise RunError(
            f"{run.path}: data.json has images of shape {recorded.image_shape}, config.yaml of "
            f"{config.image_size} {config.color_mode}; expected the same; give an unchanged run"
        )
    if len(set(recorded.class_names)) < len(recorded.class_names):
        raise RunError(f"{run.path}: data.json names a class twice; give an unchanged run")
    return InputFormat(
        recorded.image_shape, recorded.class_names, config.interpolation, config.aspect
    )


def check_record(run: Run, name: str, schema: type[_Recorded], value: Any) -> _Recorded:
    """Returns what a run's file says, as far as `schema` asks for it.

    Args:
        run: The run.
        name: What messages call the place, as `data.json`.
        schema: What is needed of it.
        value: The plain values that were read there.

    Raises:
        RunError: If something that is needed is missing or is something else.
    """
    try:
        return schema.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise RunError(
            f"{run.path}: {name}: {place}: {first['msg']}; the run folder is damaged or of another "
            "program; give another run"
        ) from error
