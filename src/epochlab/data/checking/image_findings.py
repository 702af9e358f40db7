"""What is the matter with each image by itself."""

from collections.abc import Iterator, Sequence

from epochlab.data.checking.file_types import fits_suffix
from epochlab.data.checking.findings import Item
from epochlab.data.checking.headers import MODE_EFFECTS, ORIENTATIONS
from epochlab.data.checking.inspection import Decoded, Inspected

MINIMUM_SIDE = 32
MAXIMUM_ASPECT = 4.0


def find_image_items(images: Sequence[Inspected]) -> Iterator[tuple[str, Item]]:
    """Yields kind and item of everything found, in the order of `images`."""
    for image in images:
        for name, reason in _find_reasons(image):
            yield name, Item((image.path,), reason)


def find_undecodable(images: Sequence[Inspected]) -> dict[str, str]:
    """Returns path -> reason of the files that cannot be decoded."""
    return {image.path: image.result for image in images if isinstance(image.result, str)}


def _find_reasons(image: Inspected) -> Iterator[tuple[str, str]]:
    if image.type_name and not fits_suffix(image.path, image.type_name):
        yield "wrong_suffix", f"its content is {image.type_name}"
    if isinstance(image.result, str):
        yield "undecodable", image.result
        return
    header = image.result.header
    if header.mode in MODE_EFFECTS:
        yield "color_mode", MODE_EFFECTS[header.mode]
    if header.orientation in ORIENTATIONS:
        yield (
            "orientation",
            f"orientation {header.orientation}: {ORIENTATIONS[header.orientation]}",
        )
    if header.animated:
        yield "animated", "has several frames"
    if image.result.look is None:
        yield "one_colour", "hardly any contrast"
    yield from _find_odd_size(image.result)


def _find_odd_size(decoded: Decoded) -> Iterator[tuple[str, str]]:
    short, long = sorted((decoded.height, decoded.width))
    size = f"{decoded.width} x {decoded.height} pixels"
    if short < MINIMUM_SIDE:
        yield "odd_size", f"{size}: a side of less than {MINIMUM_SIDE}"
    elif long > MAXIMUM_ASPECT * short:
        yield "odd_size", f"{size}: the sides are more than {MAXIMUM_ASPECT:g} to 1"
