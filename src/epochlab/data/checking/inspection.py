"""Every image of a folder, decoded in full once; what is kept of each is a few hundred bytes."""

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass

from epochlab.data.checking.file_types import recognise_type
from epochlab.data.checking.headers import Header, read_header
from epochlab.data.checking.layout import Layout, PlacedImage
from epochlab.data.checking.looks import Look, describe_look
from epochlab.data.decoding import decode_image
from epochlab.data.sources import Source, shown
from epochlab.data.threads import map_in_threads
from epochlab.errors import DataError

# No image that can be decoded is larger: not one of 2**28 pixels in a BMP.
MAXIMUM_BYTES = 2**30


@dataclass(frozen=True, slots=True)
class Decoded:
    """What is kept of an image that can be decoded.

    Attributes:
        height: In pixels, as stored.
        width: In pixels, as stored.
        header: What its header says.
        look: Its coarse structure, None for one of nearly one colour.
    """

    height: int
    width: int
    header: Header
    look: Look | None


@dataclass(frozen=True, slots=True)
class Inspected:
    """What is known of one file.

    Attributes:
        image: The file, its split and its class.
        type_name: What it is by its first bytes, or None.
        digest: SHA-256 of its bytes, or nothing if it cannot be read.
        result: What was decoded, or why it could not be.
    """

    image: PlacedImage
    type_name: str | None
    digest: bytes
    result: Decoded | str

    @property
    def path(self) -> str:
        """Its path below the folder."""
        return self.image.path


def inspect_images(layout: Layout, tell: Callable[[int, int], None] | None) -> list[Inspected]:
    """Reads and decodes all images of `layout`, a few at a time.

    Args:
        layout: The folder.
        tell: Called now and then with the number of images done and of all images.
    """
    done: list[Inspected] = []
    with warnings.catch_warnings():
        # Pillow's of large images, which are read or refused below, and of damaged EXIF data.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        for inspected in map_in_threads(
            lambda image: _inspect(layout.source, image), layout.images
        ):
            done.append(inspected)
            if tell is not None:
                tell(len(done), len(layout.images))
    return done


def _inspect(source: Source, image: PlacedImage) -> Inspected:
    if image.file.size > MAXIMUM_BYTES:
        reason = f"has {image.file.size:,} bytes; at most {MAXIMUM_BYTES:,} are read"
        return Inspected(image, None, b"", reason)
    try:
        content = b"".join(source.read(image.file))
    except DataError as error:
        reason = str(error).removeprefix(f"{source.place}: {shown(image.path)}: ")
        return Inspected(image, None, b"", reason)
    type_name, digest = recognise_type(content), hashlib.sha256(content).digest()
    try:
        pixels = decode_image(content, "rgb")
    except DataError as error:
        return Inspected(image, type_name, digest, str(error))
    height, width, _ = pixels.shape
    decoded = Decoded(height, width, read_header(content), describe_look(pixels))
    return Inspected(image, type_name, digest, decoded)
