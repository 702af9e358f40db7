"""Keras's table and picture of a model, drawn without a system-wide Graphviz."""

import shutil
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from epochlab.errors import EnvironmentFault
from epochlab.files import replace_file, write_text
from epochlab.runs import Run

if TYPE_CHECKING:
    import keras
    import pydot


DOTS_PER_INCH = 120


def draw_model(path: Path, model: "keras.Model", *, provenance: Mapping[str, str]) -> None:
    """Draws the layers of `model` from top to bottom, with names, shapes and activations.

    Args:
        path: The PNG file to create or replace. Its folder must exist.
        model: A built model.
        provenance: Where the picture comes from: the PNG's text fields.

    Raises:
        EnvironmentFault: If pydot or a program that draws is missing or fails, or the file cannot
            be written.
        ValueError: If `model` is not built.
    """
    import keras

    program = find_drawing_program()
    try:
        graph = cast(
            "pydot.Dot",
            keras.utils.model_to_dot(
                model,
                show_shapes=True,
                show_layer_names=True,
                show_layer_activations=True,
                rankdir="TB",
                dpi=DOTS_PER_INCH,
            ),
        )
    except ImportError as error:
        raise EnvironmentFault(
            "the picture of the model needs the package pydot, which is not installed; "
            "run `pip install pydot`"
        ) from error
    with replace_file(path) as beside:
        try:
            graph.write(str(beside), prog=program, format="png")
        except AssertionError as error:
            # This is how pydot says that the program failed.
            raise EnvironmentFault(
                f"the picture of the model: {error}; expected a working graphviz-pure; "
                "run `pip install --force-reinstall graphviz-pure`"
            ) from error
        _write_text_fields(beside, provenance)


def summarize(model: "keras.Model") -> str:
    """Returns Keras's table of the layers, 80 columns wide."""
    lines: list[str] = []
    model.summary(line_length=80, print_fn=lambda line, line_break=True: lines.append(line))
    return "\n".join(lines).rstrip() + "\n"


def record_model(run: Run, model: "keras.Model") -> None:
    """Writes what the model looks like, unless an earlier session has."""
    if not (run.path / "summary.txt").exists():
        write_text(run.path / "summary.txt", summarize(model))
    if not (run.path / "model.png").exists():
        draw_model(run.path / "model.png", model, provenance=run.provenance(None))


def find_drawing_program() -> str:
    """Returns the full path of `graphviz-pure`, or of a system-wide `dot` where that is missing.

    Raises:
        EnvironmentFault: If neither is installed.
    """
    # An environment that is used without being activated has its programs on no PATH.
    program = (
        shutil.which("graphviz-pure", path=sysconfig.get_path("scripts"))
        or shutil.which("graphviz-pure")
        or shutil.which("dot")
    )
    if program is None:
        raise EnvironmentFault(
            "the picture of the model needs the program graphviz-pure (or Graphviz's dot), and "
            "neither is beside this Python nor on PATH; run `pip install graphviz-pure`"
        )
    return str(Path(program).absolute())


def _write_text_fields(path: Path, provenance: Mapping[str, str]) -> None:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    fields = PngInfo()
    for key, value in provenance.items():
        fields.add_text(key, value)
    with Image.open(path) as picture:
        drawn = picture.convert("RGB")
    drawn.save(path, format="PNG", pnginfo=fields, optimize=True)
