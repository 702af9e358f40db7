"""What the methods that look at one class say about each image, as pictures of the image's size."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from epochlab.explain.attribution import compute_saliency, integrate_gradients
from epochlab.explain.gradcam import compute_gradcam, place_map
from epochlab.explain.pictures import (
    QUANTILE,
    color_map,
    color_signs,
    enlarge,
    overlay,
    scale_map,
)
from epochlab.explain.plans import Plan
from epochlab.explain.scores import Target
from epochlab.explain.subjects import Subject
from epochlab.lazy_import import lazy_import
from epochlab.trained_model import TrainedModel

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy_import("numpy")

VIEWS = ("gradcam", "gradcam++", "saliency", "integrated-gradients")
TITLES = {
    "gradcam": "Grad-CAM",
    "gradcam++": "Grad-CAM++",
    "saliency": "saliency",
    "integrated-gradients": "integrated gradients",
}
# A larger model than LeNet would keep a person waiting; the error that is left is said.
MOST_STEPS = 288


@dataclass(frozen=True, eq=False)
class View:
    """One method's picture of one image.

    Attributes:
        method: One of `VIEWS`.
        pixels: uint8 `(height, width, 3)`, the size of the enlarged original.
        note: What is to be said about it, or nothing.
    """

    method: str
    pixels: "np.ndarray"
    note: str = ""


def show_original(subject: Subject) -> "np.ndarray":
    """Returns the image as the views are drawn: small ones enlarged, uint8."""
    return enlarge(subject.original)


def draw_views(
    trained: TrainedModel,
    plan: Plan,
    subjects: Sequence[Subject],
    classes: Sequence[int],
    target: Target,
) -> list[list[View]]:
    """Computes and draws what the plan asks for.

    Args:
        trained: The model.
        plan: Which methods, and on which layer.
        subjects: The images, few enough for one batch.
        classes: The class to explain in each.
        target: What is differentiated.

    Returns:
        The views of each image, in the order of `VIEWS`.
    """
    pixels = np.stack([subject.pixels for subject in subjects])
    columns = [
        _DRAWERS[method](trained, plan, subjects, pixels, classes, target)
        for method in VIEWS
        if method in plan.methods
    ]
    return [list(row) for row in zip(*columns, strict=True)] if columns else [[] for _ in subjects]


def draw_cam(trained: TrainedModel, subject: Subject, values: "np.ndarray") -> "np.ndarray":
    """Lays one class-activation map, float `(rows, columns)`, over its image."""
    image = show_original(subject)
    return overlay(image, scale_map(_place(trained, image, values)))


def _draw_cams(
    method: str,
    trained: TrainedModel,
    plan: Plan,
    subjects: Sequence[Subject],
    pixels: "np.ndarray",
    classes: Sequence[int],
    target: Target,
) -> list[View]:
    maps = compute_gradcam(
        trained.keras_model,
        pixels,
        classes,
        place=plan.cam_place,
        method="gradcam++" if method == "gradcam++" else "gradcam",
        target=target,
    )
    empty = "nothing in this layer speaks for the class"
    return [
        View(method, draw_cam(trained, subject, values), "" if values.any() else empty)
        for subject, values in zip(subjects, maps, strict=True)
    ]


def _draw_saliency(
    trained: TrainedModel,
    plan: Plan,
    subjects: Sequence[Subject],
    pixels: "np.ndarray",
    classes: Sequence[int],
    target: Target,
) -> list[View]:
    maps = compute_saliency(trained.keras_model, pixels, classes, target=target)
    return [
        View(
            "saliency",
            color_map(_place(trained, show_original(subject), scale_map(values, QUANTILE))),
        )
        for subject, values in zip(subjects, maps, strict=True)
    ]


def _draw_attributions(
    trained: TrainedModel,
    plan: Plan,
    subjects: Sequence[Subject],
    pixels: "np.ndarray",
    classes: Sequence[int],
    target: Target,
) -> list[View]:
    result = integrate_gradients(
        trained.keras_model, pixels, classes, target=target, most_steps=MOST_STEPS
    )
    views = []
    for position, subject in enumerate(subjects):
        values = result.attributions[position].sum(axis=-1)
        signed = np.sign(values) * scale_map(np.abs(values), QUANTILE)
        note = f"complete within {result.error[position]:.1%} after {result.steps[position]} steps"
        placed = _place(trained, show_original(subject), signed)
        views.append(View("integrated-gradients", color_signs(placed), note))
    return views


def _place(trained: TrainedModel, image: "np.ndarray", values: "np.ndarray") -> "np.ndarray":
    form = trained.input_format
    size = (image.shape[0], image.shape[1])
    return place_map(values, size, image_size=form.image_shape[:2], aspect=form.aspect)


def _cams(method: str) -> Callable[..., list[View]]:
    return lambda *arguments: _draw_cams(method, *arguments)


_DRAWERS: Mapping[str, Callable[..., list[View]]] = {
    "gradcam": _cams("gradcam"),
    "gradcam++": _cams("gradcam++"),
    "saliency": _draw_saliency,
    "integrated-gradients": _draw_attributions,
}
