"""`epochlab explain`: what a run's network looks at, as pictures."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from epochlab.commands.predict import Trust
from epochlab.errors import ConfigError

if TYPE_CHECKING:
    from epochlab.explain.plans import Request
    from epochlab.recorded_runs import RecordedRun

METHODS = ("activations", "filters", "gradcam", "gradcam++", "saliency", "integrated-gradients")


def explain(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...",
            help="folder of a finished run, or an experiment (the newest finished run in "
            "outputs/NAME); with --grid several",
            show_default=False,
        ),
    ],
    images: Annotated[
        list[str] | None,
        typer.Option(
            "--image",
            metavar="FILE|INDEX",
            help="a test image by the name that predictions.csv has for it, or an image file; may "
            "be repeated (default: the worst mistakes and surest right answers)",
            show_default=False,
        ),
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            metavar="NAME",
            help=f"{', '.join(METHODS)}; may be repeated (default: all that fit the model)",
            show_default=False,
        ),
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="the layer to look at", show_default=False),
    ] = None,
    class_name: Annotated[
        str | None,
        typer.Option(
            "--class", metavar="NAME", help="the class to explain (default: the predicted one)"
        ),
    ] = None,
    target: Annotated[
        Literal["score", "probability"],
        typer.Option(help="what is differentiated: before or after the last activation"),
    ] = "score",
    filters: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="filters shown of a layer, 64 per sheet (default: 64 with --method filters, "
            "otherwise 16)",
            show_default=False,
        ),
    ] = None,
    filter_size: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS",
            min=8,
            max=1024,
            help="side of the filters' images (default: at most 64)",
            show_default=False,
        ),
    ] = None,
    regularise: Annotated[
        bool, typer.Option("--regularise", help="shift and blur the filters' images on the way")
    ] = False,
    grid: Annotated[
        bool, typer.Option("--grid", help="the same images through several runs, side by side")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="folder for the grid (default: a new one in OUTPUTS/explanations)",
            show_default=False,
        ),
    ] = None,
    outputs: Annotated[
        Path, typer.Option(metavar="DIR", help="folder of all experiments' runs")
    ] = Path("outputs"),
    trust: Trust = False,
) -> None:
    """Show what a run's network looks at: activations, filters, heatmaps of classes.

    The pictures go into RUN/explain; overview.png is the one to look at first. Nothing else in the
    run folder is touched. With --grid, Grad-CAM of the same images by several runs goes onto one
    sheet.
    """
    from epochlab.explain.plans import Request
    from epochlab.run_search import find_runs

    request = Request(
        _check_methods(methods or [], grid),  # pyright: ignore[reportArgumentType]
        layer,
        class_name,
        target,
        filters or (64 if "filters" in (methods or []) else 16),
        filter_size,
        regularise,
    )
    found = find_runs(runs, outputs)
    if grid:
        _draw_grid(found, images or [], request, out, outputs, trust=trust)
        return
    if len(found) > 1 or out is not None:
        given = f"{len(found)} runs" if len(found) > 1 else "--out"
        raise ConfigError(
            f"{given}: only with --grid; give one run, whose folder takes the pictures"
        )
    _draw_run(found[0], images or [], request, trust=trust)


def _check_methods(methods: list[str], grid: bool) -> tuple[str, ...]:
    import difflib

    for name in methods:
        if name not in METHODS:
            close = difflib.get_close_matches(name, METHODS, n=1)
            hint = f"did you mean {close[0]}?" if close else f"expected {', '.join(METHODS)}"
            raise ConfigError(f"--method {name}: no such method; {hint}")
    if grid and set(methods) - {"gradcam"}:
        raise ConfigError(
            f"--method {', '.join(methods)}: a grid shows Grad-CAM; leave --method out, or --grid"
        )
    return ("gradcam",) if grid else tuple(methods)


def _draw_run(found: "RecordedRun", images: list[str], request: "Request", *, trust: bool) -> None:
    from epochlab.explain.run_explanation import FOLDER, OVERVIEW, Explanation
    from epochlab.explain.subjects import find_subjects
    from epochlab.files import check_writable
    from epochlab.trained_model import load_trained_model

    run = found.run
    trained = load_trained_model(run, trust=trust)
    explanation = Explanation(run, trained, request)
    only_filters = explanation.plan.methods == ("filters",)
    if only_filters and images:
        raise ConfigError("--image: filters are shown without images; leave it out")
    subjects = [] if only_filters else find_subjects(run, trained.input_format, images)
    check_writable(run.path / FOLDER)
    for note in explanation.plan.notes:
        print(f"note: {note}")
    for written in explanation.draw(subjects):
        note = f"  {written.note}" if written.note else ""
        print(f"{written.path}{note}", flush=True)
    if subjects:
        print(f"look first at: {run.path / FOLDER / OVERVIEW}")


def _draw_grid(
    found: "list[RecordedRun]",
    images: list[str],
    request: "Request",
    out: Path | None,
    outputs: Path,
    *,
    trust: bool,
) -> None:
    from epochlab.explain.grid import choose_shared_images, make_columns, plot_grid
    from epochlab.files import check_writable, make_folder
    from epochlab.input_format import read_input_format

    for run in found:
        read_input_format(run.run)  # a run that is not finished is told before anything is loaded
    out = out or outputs / "explanations" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    check_writable(out)
    subjects, columns = make_columns(
        found, images or choose_shared_images(found), request, trust=trust
    )
    make_folder(out)
    path = out / "grid.png"
    legend = {
        column.heading: [run.run.provenance(run.best_epoch)]
        for column, run in zip(columns, found, strict=True)
    }
    plot_grid(
        path,
        subjects,
        columns,
        title="Where each network sees the class that it names (Grad-CAM)",
        provenance={"comparison": json.dumps(legend), "method": "gradcam"},
    )
    print(path)
