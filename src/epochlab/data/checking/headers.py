"""What an image's header says and training does not ask: colour mode, orientation, animation."""

import io
from dataclasses import dataclass

RGB, GREY, OTHER = "RGB", "grey", "other"
UPRIGHT = 1

# What the decoder that trains makes of each mode, where colour is asked for.
MODE_EFFECTS = {
    "LA": "grey with transparency, which is dropped: what is hidden behind it shows",
    "RGBA": "RGB with transparency, which is dropped: what is hidden behind it shows",
    "palette": "palette: each colour is looked up, transparency is dropped",
    "CMYK": "CMYK: converted to RGB without its colour profile",
    "1-bit": "1-bit: black becomes 0, white 255",
    "16-bit": "16 bits per channel, of which the upper 8 are kept",
    OTHER: "another colour mode: look at what becomes of it",
}
# EXIF 2.32, tag 0x0112: what a viewer would do to show the photograph upright.
ORIENTATIONS = {
    2: "mirror it",
    3: "turn it by 180 degrees",
    4: "mirror it upside down",
    5: "mirror it and turn it by 90 degrees to the left",
    6: "turn it by 90 degrees to the right",
    7: "mirror it and turn it by 90 degrees to the right",
    8: "turn it by 90 degrees to the left",
}

_ORIENTATION_TAG = 0x0112
# Pillow's names; the third kind of JPEG holds further pictures, which are no frames.
_ANIMATED_FORMATS = ("GIF", "PNG", "WEBP")
_MODES = {
    "RGB": RGB,
    "L": GREY,
    "LA": "LA",
    "RGBA": "RGBA",
    "P": "palette",
    "PA": "palette",
    "CMYK": "CMYK",
    "1": "1-bit",
    "I": "16-bit",
}


@dataclass(frozen=True, slots=True)
class Header:
    """What the header of one image says.

    Attributes:
        mode: `RGB`, `grey`, or a key of `MODE_EFFECTS`.
        orientation: EXIF's number, 1 (upright, or nothing said) to 8.
        animated: Whether it has several frames.
    """

    mode: str
    orientation: int
    animated: bool


def read_header(content: bytes) -> Header:
    """Reads the header of an image that can be decoded. No pixels are unpacked.

    Args:
        content: The bytes of the file.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as opened:
            mode = _name_mode(content, opened.mode, "transparency" in opened.info)
            orientation = _read_orientation(opened.info.get("exif"))
            animated = opened.format in _ANIMATED_FORMATS and getattr(opened, "is_animated", False)
    except Exception:  # where TensorFlow reads on, Pillow may raise whatever it stumbles over
        return Header(OTHER, UPRIGHT, False)
    return Header(mode, orientation, bool(animated))


def _name_mode(content: bytes, mode: str, transparent: bool) -> str:
    # Pillow gives a PNG of 16 bits per channel the mode RGB.
    if mode.startswith("I;16") or (content.startswith(b"\x89PNG") and content[24:25] == b"\x10"):
        return "16-bit"
    name = _MODES.get(mode, OTHER)
    if transparent:
        return {RGB: "RGBA", GREY: "LA"}.get(name, name)
    return name


def _read_orientation(raw: bytes | None) -> int:
    """Returns the orientation that EXIF data says.

    `Image.getexif` is not used: of a PNG without EXIF data it unpacks all the pixels.
    """
    from PIL import Image

    if not raw:
        return UPRIGHT
    exif = Image.Exif()
    try:
        exif.load(raw)
        orientation = exif.get(_ORIENTATION_TAG, UPRIGHT)
    except Exception:  # Pillow's parser of damaged EXIF data raises whatever it stumbles over
        return UPRIGHT
    return orientation if orientation in ORIENTATIONS else UPRIGHT
