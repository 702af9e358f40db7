"""What a person asks of a run, checked against its model before anything is computed."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from epochlab.data.sources import shown
from epochlab.errors import ConfigError
from epochlab.explain.activations import find_feature_maps
from epochlab.explain.layers import Place, find_last_convolution, find_place, shorten
from epochlab.explain.scores import Target

MethodName = Literal[
    "activations", "filters", "gradcam", "gradcam++", "saliency", "integrated-gradients"
]
METHODS: tuple[MethodName, ...] = get_args(MethodName)
# They need neither convolutions nor feature maps.
FREE_METHODS = ("saliency", "integrated-gradients")
# Without --layer, filters are shown of this many layers.
MOST_FILTER_LAYERS = 4


@dataclass(frozen=True)
class Request:
    """What is to be explained.

    Attributes:
        methods: Which pictures; empty for all that the model allows.
        layer: Name of a layer, or None for those that are usually looked at.
        class_name: The class to explain, or None for the one that the model says.
        target: The score before the last activation, or the probability.
        num_filters: Filters shown per layer.
        filter_size: Side of the filters' images in pixels, or None for 64 or less.
        regularise: Whether the filters' images are shifted and blurred on the way.
    """

    methods: tuple[MethodName, ...] = ()
    layer: str | None = None
    class_name: str | None = None
    target: Target = "score"
    num_filters: int = 64
    filter_size: int | None = None
    regularise: bool = False


@dataclass(frozen=True)
class Plan:
    """What will be computed.

    Attributes:
        methods: Which pictures, in the order of `METHODS`.
        cam_place: The layer whose maps Grad-CAM weighs, if it is among the methods.
        map_places: The layers whose activations are shown.
        filter_places: The layers whose filters are shown.
        class_index: The class to explain, or None for the one that the model says.
        notes: What a person should know about what is left out.
    """

    methods: tuple[MethodName, ...]
    cam_place: Place | None
    map_places: tuple[Place, ...]
    filter_places: tuple[Place, ...]
    class_index: int | None
    notes: tuple[str, ...]


def make_plan(request: Request, places: Sequence[Place], class_names: Sequence[str]) -> Plan:
    """Finds out what of a request the model allows.

    Raises:
        ConfigError: If a layer or class is unknown, or a method that is asked for does not fit.
    """
    class_index = find_class(request.class_name, class_names)
    asked = find_place(places, request.layer) if request.layer is not None else None
    possible = _possible_methods(places, asked)
    impossible = [name for name in METHODS if name not in possible]
    why = _why_not(places, asked)
    refused = [name for name in request.methods if name not in possible]
    if refused:
        raise ConfigError(
            f"--method {refused[0]}: {why}; possible here: {', '.join(possible) or 'nothing'}"
        )
    methods: tuple[MethodName, ...] = tuple(
        name for name in possible if not request.methods or name in request.methods
    )
    with_maps = [place for place in places if place.has_maps]
    return Plan(
        methods,
        (asked or find_last_convolution(with_maps)) if _wants_cam(methods) else None,
        () if "activations" not in methods else (asked,) if asked else _feature_maps(places),
        () if "filters" not in methods else (asked,) if asked else _filter_places(places),
        class_index,
        () if request.methods or not impossible else (f"without {', '.join(impossible)}: {why}",),
    )


def find_class(name: str | None, class_names: Sequence[str]) -> int | None:
    """Returns the index of the class `name`.

    Raises:
        ConfigError: If there is none.
    """
    if name is None:
        return None
    name = shown(name)  # as a run records its classes
    if name in class_names:
        return class_names.index(name)
    close = difflib.get_close_matches(name, class_names, n=1)
    hint = f"did you mean {close[0]}?" if close else f"the run has {shorten(class_names)}"
    raise ConfigError(f"--class {name}: no such class; {hint}")


def _wants_cam(methods: Sequence[str]) -> bool:
    return "gradcam" in methods or "gradcam++" in methods


def _possible_methods(places: Sequence[Place], asked: Place | None) -> list[MethodName]:
    possible: set[str] = set(FREE_METHODS)
    if asked is None:
        if _convolutions(places):
            possible |= {"gradcam", "gradcam++", "filters"}
        if find_feature_maps(places):
            possible.add("activations")
    elif asked.has_maps:
        possible |= {"activations", "gradcam", "gradcam++", "filters"}
    return [name for name in METHODS if name in possible]


def _why_not(places: Sequence[Place], asked: Place | None) -> str:
    if asked is not None:
        return f"layer {asked.name} gives {asked.output_shape}, which are no feature maps"
    return "the model has no convolution"


def _feature_maps(places: Sequence[Place]) -> tuple[Place, ...]:
    return tuple(find_feature_maps(places))


def _convolutions(places: Sequence[Place]) -> list[Place]:
    return [place for place in places if place.kind == "convolution" and place.has_maps]


def _filter_places(places: Sequence[Place]) -> tuple[Place, ...]:
    """Returns the first convolution of each size of maps, the first few.

    One of 1x1 only mixes what is there, on a shortcut for example; it will do if all are such.
    """
    convolutions = _convolutions(places)
    wide = [place for place in convolutions if max(place.layer.kernel_size) > 1]
    first: dict[tuple[int, int], Place] = {}
    for place in wide or convolutions:
        first.setdefault(place.map_shape[:2], place)
    return tuple(first.values())[:MOST_FILTER_LAYERS]
