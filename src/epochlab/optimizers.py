"""Optimizers: each with every constant that it has, so that none is a hidden default."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, PositiveFloat

from epochlab.config import Section
from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import keras
else:
    keras = lazy_import("keras")

# Variables that weight decay leaves alone, by what Keras's layers call them.
NOT_DECAYED = ["bias", "gamma", "beta"]

Share = Annotated[float, Field(ge=0, lt=1)]


class AdamConfig(Section):
    """Adam (Kingma and Ba, arXiv:1412.6980); the names are the paper's."""

    name: Literal["adam"]
    learning_rate: PositiveFloat
    beta_1: Share
    beta_2: Share
    epsilon: PositiveFloat


class AdamWConfig(Section):
    """Adam whose weights also shrink in each step (Loshchilov and Hutter, arXiv:1711.05101).

    A step takes `learning_rate * weight_decay` of each weight away, whatever its gradient. Biases
    and the factors and offsets of normalizations are left alone.
    """

    name: Literal["adamw"]
    learning_rate: PositiveFloat
    weight_decay: Annotated[float, Field(ge=0)]
    beta_1: Share
    beta_2: Share
    epsilon: PositiveFloat


class RMSpropConfig(Section):
    """RMSprop; `rho` is the decay of the mean of squared gradients."""

    name: Literal["rmsprop"]
    learning_rate: PositiveFloat
    rho: Share
    momentum: Share
    epsilon: PositiveFloat


class SGDConfig(Section):
    """Stochastic gradient descent.

    `decay` is that of the old Keras: at step t the rate is `learning_rate / (1 + decay * t)`.
    """

    name: Literal["sgd"]
    learning_rate: PositiveFloat
    momentum: Share
    nesterov: bool
    decay: Annotated[float, Field(ge=0)]


OptimizerConfig = Annotated[
    AdamConfig | AdamWConfig | RMSpropConfig | SGDConfig,
    Field(discriminator="name"),
]


def build_optimizer(
    config: OptimizerConfig, *, cosine_steps: int | None = None
) -> "keras.optimizers.Optimizer":
    """Returns the Keras optimizer that `config` describes.

    Args:
        config: The optimizer.
        cosine_steps: Steps over which the learning rate falls to zero along half a cosine
            (Loshchilov and Hutter, arXiv:1608.03983, without restarts), or None for a constant one.
    """
    settings = config.model_dump(exclude={"name"})
    if cosine_steps is not None:
        settings["learning_rate"] = keras.optimizers.schedules.CosineDecay(
            config.learning_rate, cosine_steps
        )
    match config:
        case AdamConfig():
            return keras.optimizers.Adam(**settings)
        case AdamWConfig():
            optimizer = keras.optimizers.AdamW(**settings)
            optimizer.exclude_from_weight_decay(var_names=NOT_DECAYED)
            return optimizer
        case RMSpropConfig():
            return keras.optimizers.RMSprop(**settings)
        case SGDConfig():
            decay = settings.pop("decay")
            if decay > 0:
                settings["learning_rate"] = keras.optimizers.schedules.InverseTimeDecay(
                    config.learning_rate, decay_steps=1, decay_rate=decay
                )
            return keras.optimizers.SGD(**settings)
