"""Maps and patterns as colours, and PNG files of them pixel by pixel."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from epochlab.files import replace_file
from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy_import("numpy")

# Its lightness rises evenly, so that brighter means more, on grey paper and under every colour
# vision. Jet, which the article uses, shows edges where the values have none: Borland and Taylor,
# "Rainbow Color Map (Still) Considered Harmful", 2007.
COLORS = "inferno"
# Share of the colours over the photograph.
OPACITY = 0.6
# Smaller images are enlarged by a whole factor, up to about twice this side.
SMALL_SIDE = 128
# Of saliency and attributions the largest values are cut off: one pixel would darken all others.
QUANTILE = 0.99


def write_png(path: Path, pixels: "np.ndarray", provenance: Mapping[str, str]) -> None:
    """Writes pixels as a PNG file, whole or not at all, with text fields.

    Args:
        path: The file to create or replace.
        pixels: uint8 `(height, width)` or `(height, width, 3)`.
        provenance: Where the picture comes from: the PNG's text fields.

    Raises:
        EnvironmentFault: If the file cannot be written.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    fields = PngInfo()
    for name, value in provenance.items():
        fields.add_text(name, value)
    with replace_file(path) as beside:
        Image.fromarray(pixels).save(beside, format="PNG", pnginfo=fields, optimize=True)


def scale_map(values: "np.ndarray", quantile: float = 1.0) -> "np.ndarray":
    """Brings values to 0..1 by their largest, or by a quantile of them.

    Args:
        values: float of any shape, 0 or more.
        quantile: Which value becomes 1; those above are cut off.

    Returns:
        float32 of the same shape; all zeros stay zeros.
    """
    top = float(np.quantile(values, quantile)) or float(values.max())
    return np.clip(values / top, 0, 1).astype(np.float32) if top > 0 else np.zeros_like(values)


def color_map(values: "np.ndarray") -> "np.ndarray":
    """Returns the colours of values 0..1, float `(height, width)`, as uint8 `(..., 3)`."""
    import matplotlib

    return matplotlib.colormaps[COLORS](values, bytes=True)[..., :3]


def color_signs(values: "np.ndarray") -> "np.ndarray":
    """Returns values -1..1 as colours: orange speaks for, purple against, white is nothing.

    Args:
        values: float `(height, width)`.

    Returns:
        uint8 `(height, width, 3)`.
    """
    import matplotlib

    return matplotlib.colormaps["PuOr_r"]((values + 1) / 2, bytes=True)[..., :3]


def to_rgb(image: "np.ndarray") -> "np.ndarray":
    """Returns a grey or colour image, uint8 `(height, width, 1 | 3)`, with three channels."""
    return np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image


def enlarge(image: "np.ndarray") -> "np.ndarray":
    """Returns a small image with each pixel as a square, a large one as it is.

    Args:
        image: uint8 `(height, width, channels)`.
    """
    side = max(image.shape[:2])
    factor = 1 if side >= SMALL_SIDE else -(-2 * SMALL_SIDE // side)
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def overlay(image: "np.ndarray", values: "np.ndarray") -> "np.ndarray":
    """Lays colours over the image in grey, so that every colour in the picture is the map's.

    Args:
        image: uint8 `(height, width, 1 | 3)`.
        values: float `(height, width)`, 0..1.

    Returns:
        uint8 `(height, width, 3)`.
    """
    # Luma as in ITU-R BT.601; see `tf.image.rgb_to_grayscale`.
    grey = to_rgb(image) @ np.array([0.2989, 0.587, 0.114])
    mixed = OPACITY * color_map(values) + (1 - OPACITY) * grey[..., None]
    return np.clip(mixed, 0, 255).round().astype(np.uint8)
