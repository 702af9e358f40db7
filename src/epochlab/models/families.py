"""Every model family there is: the network of a finished run is built from its config by these."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from epochlab.config import Section
from epochlab.errors import RunError
from epochlab.models.convnet import ConvNetConfig, build_convnet
from epochlab.models.custom_dense import CustomDenseConfig, build_custom_dense
from epochlab.models.lenet import LeNetConfig, build_lenet
from epochlab.models.mlp import MLPConfig, build_mlp
from epochlab.models.small_xception import SmallXceptionConfig, build_small_xception
from epochlab.models.transfer import TransferConfig, build_transfer_network

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Family:
    """A model family.

    Attributes:
        config: The class of its `model` section.
        build: From that section, image shape, number of classes and seed to the uncompiled network
            with random weights.
        added: Keys that runs of older versions lack, with the value that means the same.
    """

    config: type[Section]
    build: "Callable[[Any, tuple[int, int, int], int, int], keras.Model]"
    added: Mapping[str, Any] = field(default_factory=dict)


# No two of them have the same keys, so that a `model` section fits one of them at most.
FAMILIES = (
    Family(LeNetConfig, build_lenet),
    Family(MLPConfig, build_mlp),
    Family(ConvNetConfig, build_convnet, {"padding": "valid", "batch_norm": False}),
    Family(SmallXceptionConfig, build_small_xception),
    Family(CustomDenseConfig, build_custom_dense),
    Family(TransferConfig, build_transfer_network),
)


def find_family(section: Mapping[str, Any]) -> tuple[Family, Section] | None:
    """Returns the family that a `model` section belongs to, and the checked section.

    Args:
        section: The raw values, not trusted.

    Returns:
        None if no family has these keys.

    Raises:
        RunError: If one has, but the values are not what it takes.
    """
    for family in FAMILIES:
        complete = {**family.added, **section}
        if set(complete) != set(family.config.model_fields):
            continue
        try:
            return family, family.config.model_validate_json(json.dumps(complete))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, ("model", *first["loc"])))
            raise RunError(f"{place}: {first['msg']}") from error
    return None
