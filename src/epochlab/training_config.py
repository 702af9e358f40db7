"""The `training` section of a config."""

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator

from epochlab.config import Section
from epochlab.optimizers import OptimizerConfig


class EarlyStoppingConfig(Section):
    """Stop once the validation loss has not improved for a while.

    Attributes:
        patience: Epochs without improvement to wait.
        min_delta: How much lower a validation loss must be to count as an improvement.
    """

    patience: PositiveInt
    min_delta: NonNegativeFloat


class TrainingConfig(Section):
    """How a model is trained.

    Attributes:
        epochs: Passes over the training images.
        batch_size: Images per step.
        optimizer: The optimizer and its constants.
        precision: `mixed_bfloat16` computes in bfloat16 and keeps the weights in float32.
        keep: Which weights are scored and saved: after the last epoch, or after the best one, that
            is the one with the lowest validation loss.
        early_stopping: When to stop before `epochs`, or None for never.
        deterministic: Whether the same seed gives the same bits on the same machine.
        jit_compile: Whether XLA compiles the training step. On a CPU it can speed up dense networks
            and slows down convnets; it cannot be had together with `deterministic`.
    """

    epochs: PositiveInt
    batch_size: Annotated[int, Field(ge=1)]
    optimizer: OptimizerConfig
    precision: Literal["float32", "mixed_bfloat16"]
    keep: Literal["last", "best"]
    early_stopping: EarlyStoppingConfig | None
    deterministic: bool
    jit_compile: bool

    @model_validator(mode="after")
    def _check_jit_compile(self) -> Self:
        if self.jit_compile and self.deterministic:
            raise ValueError(
                "jit_compile and deterministic are both true, and Keras leaves XLA out of "
                "deterministic training; set one of them to false"
            )
        return self
