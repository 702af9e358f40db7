"""The pictures of runs: found, and brought into a page or linked from it."""

import base64
import contextlib
import hashlib
import io
import os
import stat
import struct
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote

PictureMode = Literal["auto", "embed", "link", "none"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# In this order, then others by name.
ALT_TEXTS = {
    "accuracy.png": "Accuracy by epoch: training dashed, validation solid",
    "loss.png": "Loss by epoch: training dashed, validation solid",
    "confusion.png": "Confusion matrix of the test set",
    "mistakes.png": "The worst mistakes on the test set",
    "augmentation.png": "One training image as 16 passes see it",
    "model.png": "The layers of the network with their shapes",
}
# Curves and digits look the same with so few, and take a third of the bytes.
COLORS = 64


# In the page: a picture in base64, or the run and the place in its list where the same one stands.
Embedded = str | tuple[int, int]
# Passes on the pictures of each run.
Track = Callable[[Sequence[Sequence["Picture"]]], Iterable[Sequence["Picture"]]]


@dataclass(frozen=True)
class Picture:
    """A picture of a run.

    Attributes:
        path: The PNG file.
        name: Its path below the run folder, with forward slashes.
        alt: What it shows, for those who cannot see it.
        size: Its bytes.
    """

    path: Path
    name: str
    alt: str
    size: int


@dataclass(frozen=True)
class Placement:
    """How the pictures come into a page.

    Attributes:
        embedded: For each run its pictures, or None where they are not embedded.
        linked: How many pictures are linked instead.
        are_shrunk: Whether those embedded have fewer colours than their files.
    """

    embedded: Sequence[Sequence[Embedded] | None]
    linked: int
    are_shrunk: bool

    def describe(self) -> str:
        """Returns how many pictures are where, for a person."""
        count = sum(len(pictures) for pictures in self.embedded if pictures is not None)
        parts = []
        if count:
            colors = f" in {COLORS} colours" if self.are_shrunk else ""
            parts.append(f"{count:,} picture{'s' if count != 1 else ''} embedded{colors}")
        if self.linked:
            parts.append(f"{self.linked:,} linked, so they show only beside the run folders")
        return ", ".join(parts) or "no pictures"


def ignore_progress(runs: Sequence[Sequence[Picture]]) -> Iterable[Sequence[Picture]]:
    """Returns `runs` and shows nothing."""
    return runs


def list_pictures(run: Path) -> list[Picture]:
    """Returns the PNG files in a run folder, those that each run has first. Links are left out."""
    found = []
    for root, folders, files in os.walk(run):
        folders[:] = [name for name in folders if name != "checkpoints" and name[0] != "."]
        for file in files:
            path = Path(root, file)
            if path.suffix != ".png" or file[0] == ".":
                continue
            with contextlib.suppress(OSError):  # removed a moment ago
                status = path.lstat()
                if stat.S_ISREG(status.st_mode):
                    name = path.relative_to(run).as_posix()
                    found.append(Picture(path, name, ALT_TEXTS.get(name, name), status.st_size))
    order = {name: position for position, name in enumerate(ALT_TEXTS)}
    return sorted(found, key=lambda picture: (order.get(picture.name, len(order)), picture.name))


def place_pictures(
    runs: Sequence[Sequence[Picture]], mode: PictureMode, limit: int, track: Track = ignore_progress
) -> Placement:
    """Decides which pictures a page holds itself, and reads those.

    With `auto` they are embedded as they are, byte for byte, as long as that takes at most `limit`
    bytes. Otherwise their colours are reduced, their text fields left away, and equal ones, such as
    those of one network, are embedded once. As many runs as then fit are embedded, the first ones
    first; the others are to be linked.

    Args:
        runs: The pictures of each run.
        mode: What was asked for.
        limit: Most bytes to embed with `auto`.
        track: Shows how far it has got where it takes long.
    """
    counts = [len(pictures) for pictures in runs]
    if mode in ("link", "none"):
        return Placement([None for _ in runs], sum(counts), False)
    if mode == "embed" or sum(picture.size for run in runs for picture in run) <= limit:
        return Placement([[_encode(read_picture(p)) for p in run] for run in runs], 0, False)
    embedded = _embed_shrunk(runs, limit, track)
    missing = len(runs) - len(embedded)
    linked = sum(counts[len(embedded) :])
    return Placement([*embedded, *[None] * missing], linked, True)


def link_picture(picture: Picture, page: Path) -> str:
    """Returns the address of a picture relative to the page."""
    relative = os.path.relpath(picture.path, page.absolute().parent)
    return quote(Path(relative).as_posix().encode("utf-8", "surrogateescape"))


def read_picture(picture: Picture) -> bytes:
    """Returns the bytes of a PNG file; nothing where it is none or cannot be read."""
    try:
        content = picture.path.read_bytes()
    except OSError:
        return b""
    return content if content.startswith(SIGNATURE) else b""


def shrink_picture(content: bytes) -> bytes:
    """Returns a PNG picture with a small palette; nothing where it is damaged."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            opaque = Image.new("RGB", image.size, "white")
            opaque.paste(image, mask=image if image.mode == "RGBA" else None)
        reduced = opaque.quantize(COLORS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        written = io.BytesIO()
        reduced.save(written, "PNG", compress_level=6)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return b""
    return min(written.getvalue(), content, key=len)


def strip_text(content: bytes) -> bytes:
    """Returns a PNG file without its text fields, so that equal pictures are equal bytes."""
    kept, position = [content[: len(SIGNATURE)]], len(SIGNATURE)
    while position < len(content):
        (length,) = struct.unpack(">I", content[position : position + 4].rjust(4, b"\0"))
        end = position + length + 12  # with length, type and checksum
        if content[position + 4 : position + 8] not in (b"tEXt", b"zTXt", b"iTXt"):
            kept.append(content[position:end])
        position = end
    return b"".join(kept)


def _embed_shrunk(
    runs: Sequence[Sequence[Picture]], limit: int, track: Track
) -> list[list[Embedded]]:
    """Returns the shrunk pictures of as many runs as fit into `limit` bytes."""
    embedded: list[list[Embedded]] = []
    places: dict[bytes, tuple[int, int]] = {}
    left = limit
    # Pillow does most of its work without Python's lock.
    with ThreadPoolExecutor(os.cpu_count()) as executor:
        for number, pictures in enumerate(track(runs)):
            stripped = [strip_text(read_picture(picture)) for picture in pictures]
            digests = [hashlib.sha256(content).digest() for content in stripped]
            pairs = zip(digests, stripped, strict=True)
            new = {digest: content for digest, content in pairs if digest not in places}
            shrunk = dict(zip(new, executor.map(shrink_picture, new.values()), strict=True))
            left -= sum(map(len, shrunk.values()))
            if left < 0:
                break
            places |= {digest: (number, digests.index(digest)) for digest in new}
            embedded.append(
                [
                    _encode(shrunk[digest]) if places[digest] == (number, place) else places[digest]
                    for place, digest in enumerate(digests)
                ]
            )
    return embedded


def _encode(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
