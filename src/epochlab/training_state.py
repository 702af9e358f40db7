"""Everything in a model that its next training step depends on, as arrays in a fixed order."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from epochlab.errors import RunError
from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import keras
    import numpy as np
else:
    np = lazy_import("numpy")


def read_state(model: "keras.Model") -> "list[np.ndarray]":
    """Returns the value of each variable of the compiled `model`'s state, in their order."""
    return [np.asarray(variable) for variable in _variables(model)]


def first_not_finite(model: "keras.Model", state: "Sequence[np.ndarray]") -> str | None:
    """Returns the path of the first variable that is not finite in `state`, or None."""
    for variable, array in zip(_variables(model), state, strict=True):
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            return variable.path
    return None


def put_back(model: "keras.Model", state: "Sequence[np.ndarray]", source: object) -> None:
    """Gives the compiled `model` the values that `read_state` returned, its learning rate aside.

    Args:
        model: The model, built as it was then.
        state: The values.
        source: Where they come from, for the message.

    Raises:
        RunError: If they are another model's.
    """
    variables = _variables(model)
    differing = [
        f"{variable.path} is {variable.shape}, there {array.shape}"
        for variable, array in zip(variables, state, strict=False)
        if (tuple(variable.shape), str(variable.dtype)) != (array.shape, array.dtype.name)
    ]
    if len(variables) != len(state):
        differing.append(f"the model has {len(variables)} variables, there are {len(state)}")
    if differing:
        raise RunError(
            f"{source}: does not fit the model that config.yaml describes: {'; '.join(differing)}; "
            "bring back the config.yaml that the run began with, or start a new run"
        )
    # The config says what the learning rate is: a change of it that was accepted is to hold.
    rate = model.optimizer.learning_rate
    for variable, array in zip(variables, state, strict=True):
        if variable is not rate:
            variable.assign(array)


def _variables(model: "keras.Model") -> list[Any]:
    """Returns every variable that the next step depends on, always in the same order.

    By position, not by name: Keras numbers the names of optimizers and seed generators by what the
    process has made before. Metrics start from zero in every epoch, so they are apart.
    """
    # The optimizer's slots exist only once it is built; until then they would be missing here.
    model.optimizer.build(model.trainable_variables)
    return [
        *model.trainable_variables,
        *model.non_trainable_variables,  # moving averages, counters of the random generators
        *model.optimizer.variables,
    ]
