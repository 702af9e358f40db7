"""What the methods that look at one class say about an image, as pictures of the image's size."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from epochlab.explain.attribution import compute_saliency, integrate_gradients
from epochlab.explain.gradcam import Method, compute_gradcam, place_map
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
# Of VGG16 these take a quarter of a minute on two cores; the error that is left is said.
MOST_STEPS = 96


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
    trained: TrainedModel, plan: Plan, subject: Subject, class_index: int, target: Target
) -> Iterator[View]:
    """Computes and draws what the plan asks for, one after the other.

    Args:
        trained: The model.
        plan: Which methods, and on which layer.
        subject: The image.
        class_index: The class to explain.
        target: What is differentiated.

    Yields:
        The views, in the order of `VIEWS`.
    """
    for method in VIEWS:
        if method in plan.methods:
            yield _DRAWERS[method](_Question(trained, plan, subject, class_index, target))


@dataclass(frozen=True, eq=False)
class _Question:
    """What a view answers: the arguments of `draw_views`."""

    trained: TrainedModel
    plan: Plan
    subject: Subject
    class_index: int
    target: Target

    @property
    def pixels(self) -> "np.ndarray":
        """A batch of the one image."""
        return self.subject.pixels[None]

    @property
    def classes(self) -> list[int]:
        """The class of each image of the batch."""
        return [self.class_index]


def draw_cam(trained: TrainedModel, subject: Subject, values: "np.ndarray") -> "np.ndarray":
    """Lays one class-activation map, float `(rows, columns)`, over its image."""
    image = show_original(subject)
    return overlay(image, scale_map(_place(trained, image, values)))


def _draw_cam_view(method: Method, asked: _Question) -> View:
    (values,) = compute_gradcam(
        asked.trained.keras_model,
        asked.pixels,
        asked.classes,
        place=asked.plan.cam_place,
        method=method,
        target=asked.target,
    )
    note = "" if values.any() else "nothing in this layer speaks for the class"
    return View(method, draw_cam(asked.trained, asked.subject, values), note)


def _draw_saliency(asked: _Question) -> View:
    model = asked.trained.keras_model
    (values,) = compute_saliency(model, asked.pixels, asked.classes, target=asked.target)
    image = show_original(asked.subject)
    return View("saliency", color_map(_place(asked.trained, image, scale_map(values, QUANTILE))))


def _draw_attributions(asked: _Question) -> View:
    result = integrate_gradients(
        asked.trained.keras_model,
        asked.pixels,
        asked.classes,
        target=asked.target,
        most_steps=MOST_STEPS,
    )
    values = result.attributions[0].sum(axis=-1)
    signed = np.sign(values) * scale_map(np.abs(values), QUANTILE)
    note = f"complete within {result.error[0]:.1%} after {result.steps[0]} steps"
    placed = _place(asked.trained, show_original(asked.subject), signed)
    return View("integrated-gradients", color_signs(placed), note)


def _place(trained: TrainedModel, image: "np.ndarray", values: "np.ndarray") -> "np.ndarray":
    form = trained.input_format
    size = (image.shape[0], image.shape[1])
    return place_map(values, size, image_size=form.image_shape[:2], aspect=form.aspect)


_DRAWERS: Mapping[str, Callable[[_Question], View]] = {
    "gradcam": partial(_draw_cam_view, "gradcam"),
    "gradcam++": partial(_draw_cam_view, "gradcam++"),
    "saliency": _draw_saliency,
    "integrated-gradients": _draw_attributions,
}
