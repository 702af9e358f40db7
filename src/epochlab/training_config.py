"""The `training` section of a config."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    PlainValidator,
    PositiveInt,
    field_validator,
    model_validator,
)

from epochlab.config import Section
from epochlab.optimizers import OptimizerConfig, Share


class EarlyStoppingConfig(Section):
    """Stop once the validation loss has not improved for a while.

    Attributes:
        patience: Epochs without improvement to wait.
        min_delta: How much lower a validation loss must be to count as an improvement.
    """

    patience: PositiveInt
    min_delta: NonNegativeFloat


TRACKERS = ("tensorboard", "mlflow")


class TrainingSettings(Section):
    """What holds for a whole training, whatever its phases.

    Attributes:
        batch_size: Images per step.
        steps_per_epoch: Steps after which an epoch ends, or None for one pass over the training
            images. Epochs then end within a pass, and the next one goes on where it ended.
        precision: `mixed_bfloat16` computes in bfloat16 and keeps the weights in float32. `auto` is
            that where the hardware computes bfloat16 itself, and `float32` elsewhere; a run records
            which it was.
        label_smoothing: Share of each label that is spread evenly over all classes (Szegedy et al.,
            arXiv:1512.00567). 0.0 is the plain cross-entropy. The losses of an epoch, that of the
            validation images among them, are smoothed; the test loss never is.
        keep: Which weights are scored and saved: after the last epoch, or after the best one, that
            is the one with the lowest validation loss.
        early_stopping: When to stop before `epochs`, or None for never.
        deterministic: Whether the same seed gives the same bits on the same machine.
        threads: Threads of TensorFlow, or None for one per CPU; a run records what that was. Their
            number decides in which order sums are rounded, and so the bits.
        jit_compile: Whether XLA compiles the training step. On a CPU it can speed up dense networks
            and slows down convnets; it cannot be had together with `deterministic`.
        devices: `one`; or `all`: every GPU of this host, or without any every CPU device that
            TensorFlow has, takes an equal part of each batch. The result differs from that of one
            device by rounding, and with Dropout or BatchNormalization by more.
        trackers: Where the run is recorded beside its folder: `tensorboard`, `mlflow`, both or
            neither.
    """

    batch_size: PositiveInt
    steps_per_epoch: PositiveInt | None
    precision: Literal["float32", "mixed_bfloat16", "auto"]
    label_smoothing: Share
    keep: Literal["last", "best"]
    early_stopping: EarlyStoppingConfig | None
    deterministic: bool
    threads: PositiveInt | None
    jit_compile: bool
    devices: Literal["one", "all"]
    trackers: tuple[str, ...]

    @field_validator("trackers")
    @classmethod
    def _check_trackers(cls, trackers: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(trackers)) < len(trackers) or not set(trackers) <= set(TRACKERS):
            given = ", ".join(trackers)
            raise ValueError(f"expected a list of {' and '.join(TRACKERS)}, got [{given}]")
        return trackers

    @model_validator(mode="after")
    def _check_jit_compile(self) -> Self:
        if self.jit_compile and self.deterministic:
            raise ValueError(
                "jit_compile and deterministic are both true, and Keras leaves XLA out of "
                "deterministic training; set one of them to false"
            )
        if self.jit_compile and self.devices == "all":
            raise ValueError(
                "jit_compile is true and devices is all, and XLA compiles for one device alone; "
                "set jit_compile to false or devices to one"
            )
        return self


class Course(Section):
    """How long something trains and how fast it learns meanwhile.

    Attributes:
        epochs: Passes over the training images, or rounds of `training.steps_per_epoch`.
        optimizer: The optimizer and its constants.
        schedule: Whether the learning rate stays, or falls to zero along half a cosine over all
            steps of these epochs.
    """

    epochs: PositiveInt
    optimizer: OptimizerConfig
    schedule: Literal["constant", "cosine"]

    @model_validator(mode="after")
    def _check_schedule(self) -> Self:
        if self.schedule == "cosine" and getattr(self.optimizer, "decay", 0) > 0:
            raise ValueError(
                "schedule: cosine and optimizer.decay both change the learning rate; set decay to "
                "0, or schedule to constant"
            )
        return self


class TrainingConfig(Course, TrainingSettings):
    """The `training` section of an experiment with a single phase."""


def _check_trainable(value: Any) -> Any:
    if value == "head" or (
        isinstance(value, dict) and set(value) == {"from"} and isinstance(value["from"], str)
    ):
        return value
    if isinstance(value, list | tuple) and value and all(isinstance(name, str) for name in value):
        return tuple(value)
    raise ValueError(f"expected head, {{from: LAYER}} or a list of layers, got {value}")


# `Any`, because pydantic takes no part in it: `head`, `{from: LAYER}` or a tuple of names.
Trainable = Annotated[Any, PlainValidator(_check_trainable)]


class PhaseConfig(Course):
    """One phase of a training.

    Attributes:
        trainable: What learns: `head`; `{from: LAYER}`, that layer of the backbone, all after it
            and the head; or a list of layers.
    """

    trainable: Trainable

    def of(self, settings: TrainingSettings) -> TrainingConfig:
        """Returns this phase as a training of its own."""
        course = {name: getattr(self, name) for name in Course.model_fields}
        return TrainingConfig(**settings.model_dump(), **course)


# The `phases` section.
Phases = Annotated[tuple[PhaseConfig, ...], Field(min_length=1)]
