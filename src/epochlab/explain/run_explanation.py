"""A finished run explained: one picture after the other into its folder `explain`."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from epochlab.explain.activations import (
    compute_activations,
    draw_channels,
    measure_layers,
)
from epochlab.explain.filters import excite_filters, stretch_pattern
from epochlab.explain.layers import Place, list_places
from epochlab.explain.overview import Row, choose_strip, make_row, plot_overview
from epochlab.explain.pictures import write_png
from epochlab.explain.plans import Plan, Request, make_plan
from epochlab.explain.sheets import draw_filters, enlarge_sheet, plot_sparsity
from epochlab.explain.subjects import Subject, safe_name
from epochlab.explain.views import View, draw_views
from epochlab.files import make_folder
from epochlab.lazy_import import lazy_import
from epochlab.prediction import Prediction
from epochlab.runs import Run
from epochlab.trained_model import TrainedModel

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy_import("numpy")

FOLDER = "explain"
OVERVIEW = "overview.png"
OVERVIEW_ROWS = 8
# The article shows filters on images of 64 pixels; larger ones take longer and show no more.
FILTER_SIZE = 64
# Behind one of these an image of another size than the model's own does not go.
FIXED_SIZE = ("CenterCrop", "Flatten", "Reshape", "Resizing")


@dataclass(frozen=True)
class Written:
    """A picture that was written, and what is to be said of it."""

    path: Path
    note: str = ""


@dataclass(eq=False)
class Explanation:
    """Explains one run.

    Attributes:
        run: The finished run.
        trained: Its model.
        request: What is asked for.
        plan: What of it the model allows.
    """

    run: Run
    trained: TrainedModel
    request: Request
    plan: Plan = field(init=False)

    def __post_init__(self) -> None:
        form = self.trained.input_format
        self._places = list_places(self.trained.keras_model, form.image_shape)
        self.plan = make_plan(self.request, self._places, form.class_names)
        self._provenance = self.run.provenance(self.run.read_json("metrics.json").get("best_epoch"))

    @property
    def folder(self) -> Path:
        """Where the pictures go."""
        return self.run.path / FOLDER

    def draw(self, subjects: Sequence[Subject]) -> Iterator[Written]:
        """Draws everything, and yields each picture as soon as it is whole on disk.

        The overview of the first images comes last. Older pictures of the same names are replaced.

        Raises:
            EnvironmentFault: If a file cannot be written.
        """
        make_folder(self.folder)
        rows: list[Row] = []
        for subject in subjects:
            rows.append((yield from self._draw_image(subject)))
        for place in self.plan.filter_places:
            yield from self._draw_filters(place)
        if rows:
            yield self._draw_overview(rows[:OVERVIEW_ROWS])

    def _draw_image(self, subject: Subject) -> Generator[Written, None, Row]:
        prediction = self._predict(subject)
        chosen = self.plan.class_index
        index = int(np.argmax(prediction.probabilities)) if chosen is None else chosen
        name = self.trained.input_format.class_names[index]
        make_folder(self.folder / subject.slug)
        views = []
        for view in draw_views(self.trained, self.plan, subject, index, self.request.target):
            yield self._write_view(subject, view, name)
            views.append(view)
        strip: list[tuple[str, np.ndarray]] = []
        if self.plan.map_places:
            maps = compute_activations(
                self.trained.keras_model, subject.pixels[None], self.plan.map_places
            )
            yield from self._write_activations(subject, maps)
            strip = choose_strip(maps)
        return make_row(subject, prediction, name, views, strip)

    def _predict(self, subject: Subject) -> Prediction:
        (probabilities,) = self.trained.predict(subject.pixels[None])
        return Prediction(Path(subject.name), self.trained.input_format.class_names, probabilities)

    def _write_view(self, subject: Subject, view: View, class_name: str) -> Written:
        method = view.method.replace("++", "-plus-plus")
        path = self.folder / subject.slug / f"{method}-{safe_name(class_name)}.png"
        layer = self.plan.cam_place if view.method.startswith("gradcam") else None
        fields = {"image": subject.name, "class": class_name, "target": self.request.target}
        if layer is not None:
            fields["layer"] = layer.name
        write_png(path, view.pixels, self._provenance | {"method": view.method} | fields)
        return Written(path, view.note)

    def _write_activations(
        self, subject: Subject, maps: "Mapping[str, np.ndarray]"
    ) -> Iterator[Written]:
        folder = self.folder / subject.slug
        fields = self._provenance | {"method": "activations", "image": subject.name}
        layers = measure_layers(maps, 0)
        for name, values in maps.items():
            path = folder / f"activations-{safe_name(name)}.png"
            write_png(path, enlarge_sheet(draw_channels(values[0])), fields | {"layer": name})
            layer = layers[name]
            yield Written(path, f"{layer.dead} of {layer.channels} channels dead")
        path = folder / "activations.png"
        title = f"Feature maps of {subject.name}: sparser with depth?"
        plot_sparsity(path, layers, title=title, provenance=fields)
        yield Written(path)

    def _draw_filters(self, place: Place) -> Iterator[Written]:
        model, request = self.trained.keras_model, self.request
        count = min(request.num_filters, place.map_shape[2])
        result = excite_filters(
            model,
            place,
            range(count),
            size=self._filter_size(place),
            regularise=request.regularise,
        )
        patterns = np.stack([stretch_pattern(image) for image in result.images])
        fields = self._provenance | {
            "method": f"filters{' (regularised)' if request.regularise else ''}",
            "layer": place.name,
        }
        raised = result.after >= 5 * np.maximum(result.before, 1e-12)
        note = f"{raised.sum()} of {count} filters excited at least 5 times as much as by noise"
        ending = "-regularised" if request.regularise else ""
        for number, sheet in enumerate(draw_filters(patterns), 1):
            tail = ending + (f"-{number}" if number > 1 else "")
            path = self.folder / f"filters-{safe_name(place.name)}{tail}.png"
            write_png(path, sheet, fields)
            yield Written(path, note if number == 1 else "")

    def _filter_size(self, place: Place) -> tuple[int, int] | None:
        before = self._places[: self._places.index(place)]
        own = self.trained.input_format.image_shape[:2]
        if any(type(each.layer).__name__ in FIXED_SIZE for each in before):
            return None
        if self.request.filter_size is not None:
            return self.request.filter_size, self.request.filter_size
        return min(own[0], FILTER_SIZE), min(own[1], FILTER_SIZE)

    def _draw_overview(self, rows: Sequence[Row]) -> Written:
        path = self.folder / OVERVIEW
        title = f"{self.run.experiment}, {self.run.name}"
        if self.plan.cam_place is not None:
            title += f": Grad-CAM on {self.plan.cam_place.name}"
        fields = self._provenance | {"method": "overview"}
        plot_overview(path, rows, title=title, provenance=fields)
        return Written(path)
