"""The layers of each backbone by name, known without Keras: a wrong name is answered at once.

The names are those of `keras.applications` 3.15 without the classifier. Where Keras numbers a layer
by what its process has made before (`conv2d_17`), the name is the one of a fresh process.
"""

import difflib
import re
from collections.abc import Iterator
from typing import Literal

BackboneName = Literal["vgg16", "vgg19", "xception", "inception_v3", "resnet50", "mobilenet"]


def layer_names(backbone: BackboneName) -> tuple[str, ...]:
    """Returns the names of the layers whose output can be the features of `backbone`."""
    names = {
        "vgg16": lambda: _vgg((2, 2, 3, 3, 3)),
        "vgg19": lambda: _vgg((2, 2, 4, 4, 4)),
        "xception": _xception,
        "inception_v3": _inception_v3,
        "resnet50": _resnet50,
        "mobilenet": _mobilenet,
    }
    return tuple(names[backbone]())


def unknown_layer(name: str, backbone: BackboneName, *others: str) -> str:
    """Returns what to tell a person who asked for the layer `name`, which does not exist.

    Args:
        name: What was given.
        backbone: The backbone that was searched.
        others: Names outside the backbone that would have been right as well.
    """
    near = difflib.get_close_matches(name, [*others, *layer_names(backbone)], n=3)
    suggestion = f"; did you mean {' or '.join(near)}?" if near else "."
    return (
        f"{backbone} has no layer {name!r}{suggestion} List all with: python -c "
        f'"from epochlab.models.backbone_layers import *; print(*layer_names({backbone!r}))"'
    )


def split_number(name: str) -> tuple[str, int]:
    """Returns a name without the number that Keras put behind it, and that number, 0 for none."""
    kind, _, number = name.rpartition("_")
    if not re.fullmatch("[0-9]{1,9}", number):
        return name, 0
    return kind, int(number)


def _vgg(convolutions: tuple[int, ...]) -> Iterator[str]:
    for block, count in enumerate(convolutions, 1):
        yield from (f"block{block}_conv{number}" for number in range(1, count + 1))
        yield f"block{block}_pool"


def _xception() -> Iterator[str]:
    for name in ("block1_conv1", "block1_conv2", "block14_sepconv1", "block14_sepconv2"):
        yield from (name, f"{name}_bn", f"{name}_act")
    for block in range(2, 14):
        shrinking = block in (2, 3, 4, 13)
        for number in (1, 2) if shrinking else (1, 2, 3):
            name = f"block{block}_sepconv{number}"
            yield from (name, f"{name}_bn")
            if (block, number) != (2, 1):
                yield f"{name}_act"
        if shrinking:
            yield f"block{block}_pool"
    for kind, count in (("conv2d", 4), ("batch_normalization", 4), ("add", 12)):
        yield from _numbered(kind, count)


def _inception_v3() -> Iterator[str]:
    counts = {"conv2d": 94, "batch_normalization": 94, "activation": 94, "max_pooling2d": 4}
    for kind, count in (counts | {"average_pooling2d": 9, "concatenate": 2}).items():
        yield from _numbered(kind, count)
    yield from (f"mixed{number}" for number in (*range(11), "9_0", "9_1"))


def _resnet50() -> Iterator[str]:
    yield from ("conv1_pad", "conv1_conv", "conv1_bn", "conv1_relu", "pool1_pad", "pool1_pool")
    for stage, blocks in enumerate((3, 4, 6, 3), 2):
        for block in range(1, blocks + 1):
            name = f"conv{stage}_block{block}"
            for number in (1, 2, 3) if block > 1 else (0, 1, 2, 3):
                yield from (f"{name}_{number}_conv", f"{name}_{number}_bn")
            yield from (f"{name}_1_relu", f"{name}_2_relu", f"{name}_add", f"{name}_out")


def _mobilenet() -> Iterator[str]:
    halving = (2, 4, 6, 12)
    yield from (f"conv_pad_{number}" for number in halving)
    convolutions = [f"conv_{kind}_{number}" for number in range(1, 14) for kind in ("dw", "pw")]
    for name in ("conv1", *convolutions):
        yield from (name, f"{name}_bn", f"{name}_relu")


def _numbered(kind: str, count: int) -> Iterator[str]:
    """Yields `kind`, `kind_1`, `kind_2`, ..., as Keras numbers the layers of a fresh process."""
    yield kind
    yield from (f"{kind}_{number}" for number in range(1, count))
