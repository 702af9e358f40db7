"""The page as one HTML file that asks the network for nothing."""

import base64
import hashlib
import html
import json
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from epochlab.files import make_folder, replace_file
from epochlab.report.content import describe_outputs
from epochlab.report.outputs import Outputs
from epochlab.report.pictures import (
    Picture,
    PictureMode,
    Placement,
    Track,
    ignore_progress,
    link_picture,
    list_pictures,
    place_pictures,
)

# One after the other, in one function.
PROGRAM = ("elements.js", "runs.js", "scales.js", "chart.js", "table.js", "details.js", "page.js")
# As much as a browser opens in about a second.
PICTURE_LIMIT = 48 * 2**20


def write_page(
    path: Path,
    outputs: Outputs,
    mode: PictureMode,
    *,
    limit: int = PICTURE_LIMIT,
    track: Track = ignore_progress,
) -> str:
    """Writes the page, whole or not at all.

    Args:
        path: The HTML file; its folder is made if need be.
        outputs: The runs.
        mode: Whether pictures are embedded, linked by relative paths, or left away; `auto` embeds
            what `limit` allows and links the rest.
        limit: Most bytes of pictures to embed with `auto`.
        track: Shows how far the pictures have got where they take long.

    Returns:
        How the pictures got into it, for a person.

    Raises:
        EnvironmentFault: If it cannot be written.
    """
    pictures = [list_pictures(run.recorded.run.path) for run in outputs.runs]
    if mode == "none":
        pictures = [[] for _ in pictures]
    placed = place_pictures(pictures, mode, limit, track)
    content: dict[str, Any] = describe_outputs(outputs) | {"pictures": placed.describe()}
    for run, own, embedded in zip(content["runs"], pictures, placed.embedded, strict=True):
        run["pictures"] = _describe_pictures(own, path, is_embedded=embedded is not None)
    make_folder(path.parent)
    with replace_file(path) as beside, beside.open("w", encoding="ascii", newline="") as opened:
        opened.writelines(_format_page(content, placed))
    return placed.describe()


def _describe_pictures(
    pictures: Sequence[Picture], page: Path, *, is_embedded: bool
) -> list[dict[str, str | None]]:
    return [
        {
            "name": picture.name,
            "alt": picture.alt,
            "link": None if is_embedded else link_picture(picture, page),
        }
        for picture in pictures
    ]


def _format_page(content: dict[str, Any], placed: Placement) -> Iterator[str]:
    """Gives the page piece by piece: what is seen first, the program, then the pictures.

    So the table is there before the pictures have been read.
    """
    folder = files("epochlab.report")
    style = (folder / "page.css").read_text(encoding="utf-8")
    parts = [(folder / name).read_text(encoding="utf-8") for name in PROGRAM]
    program = "".join(["(() => {\n'use strict';\n", *parts, "})();\n"])
    template = (folder / "page.html").read_text(encoding="utf-8")
    head, tail = template.split("<!-- pictures -->")
    values = {
        "{{policy}}": _policy(style, program, has_links=placed.linked > 0),
        "{{title}}": html.escape(f"Runs in {content['folder']}"),
        "{{style}}": style,
        "{{runs}}": format_script_json(content),
        "{{program}}": program,
    }
    for name, value in values.items():
        before, head = head.split(name, 1)
        yield from (before, _ascii(value))
    yield head
    for position, pictures in enumerate(placed.embedded):
        if pictures:
            encoded = format_script_json(pictures)
            yield f'<script type="application/json" id="pictures-{position}">{encoded}</script>\n'
    yield tail


def format_script_json(value: Any) -> str:
    """Returns JSON in ASCII that neither ends a script element nor begins a comment in it."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _policy(style: str, program: str, *, has_links: bool) -> str:
    """Returns the Content-Security-Policy: this style and program, pictures, nothing else."""
    images = "data: 'self' file:" if has_links else "data:"
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src 'sha256-{_digest(program)}'",
            f"style-src 'sha256-{_digest(style)}'",
            f"img-src {images}",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _ascii(text: str) -> str:
    """Returns HTML text with what is not ASCII as references."""
    return text.encode("ascii", "xmlcharrefreplace").decode("ascii")
