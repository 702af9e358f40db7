"""One image file -> pixels of one size, with the decoder that training uses."""

import io
import warnings
from typing import TYPE_CHECKING, Literal

from epochlab.errors import DataError
from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf
else:
    np = lazy_import("numpy")
    tf = lazy_import("tensorflow")

ColorMode = Literal["rgb", "grayscale"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "area", "lanczos3"]
Aspect = Literal["stretch", "crop", "pad"]

# Ten times a large photograph; a picture of 30,000 x 30,000 pixels would take 2.7 GB to unpack.
MAXIMUM_PIXELS = 2**28

# Flags for transparency and animation in the header of an extended WebP file
# (https://developers.google.com/speed/webp/docs/riff_container). TensorFlow reads only plain ones.
WEBP_UNREADABLE = 0x10 | 0x02


def decode_image(content: bytes, color_mode: ColorMode) -> "np.ndarray":
    """Decodes a JPEG, PNG, GIF, BMP or plain WebP by its content, whatever its name.

    Grey, palette, CMYK and 1-bit images become RGB, or grey where that is asked for; transparency
    is dropped; of 16 bits per channel the upper 8 are kept; of an animation the first frame; an
    EXIF orientation is not applied.

    Args:
        content: The bytes of the file.
        color_mode: Three channels or one.

    Returns:
        uint8 `(height, width, channels)`, 0..255.

    Raises:
        DataError: If it is no such image, is cut off or damaged, or is far too large. The message
            is the reason alone, without the file's name.
    """
    if not content:
        raise DataError("is empty")
    _check_size(content)
    try:
        decoded = tf.io.decode_image(content, channels=3, expand_animations=False)
    except tf.errors.InvalidArgumentError as error:
        raise DataError(_explain(content, str(error))) from error
    if color_mode == "grayscale":
        grey = tf.image.rgb_to_grayscale(tf.cast(decoded, tf.float32))
        decoded = tf.saturate_cast(tf.round(grey), tf.uint8)
    return decoded.numpy()


def resize_image(
    image: "np.ndarray", size: tuple[int, int], interpolation: Interpolation, aspect: Aspect
) -> "np.ndarray":
    """Brings an image to one size.

    Args:
        image: uint8 `(height, width, channels)`.
        size: Height and width to come to, in pixels.
        interpolation: As in `tf.image.resize`, with half-pixel centres and without antialiasing;
            `area` averages all pixels that fall into one, which is right for strong shrinking.
        aspect: `stretch` distorts; `crop` cuts the longer side equally at both ends first; `pad`
            shrinks the whole image into the size and fills up with black.

    Returns:
        uint8 `(*size, channels)`.
    """
    if aspect == "crop":
        height, width = image.shape[:2]
        scale = min(height / size[0], width / size[1])
        cut = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
        top, left = (height - cut[0]) // 2, (width - cut[1]) // 2
        image = image[top : top + cut[0], left : left + cut[1]]
    if aspect == "pad":
        resized = tf.image.resize_with_pad(image, *size, method=interpolation)
    elif interpolation == "nearest":
        rows, columns = (_nearest(*sides) for sides in zip(image.shape, size, strict=False))
        return image[rows[:, None], columns]
    else:
        resized = tf.image.resize(image, size, method=interpolation)
    return tf.saturate_cast(tf.round(tf.cast(resized, tf.float32)), tf.uint8).numpy()


def _nearest(old: int, new: int) -> "np.ndarray":
    """Returns the source of each pixel along a side, as TensorFlow's op has it, but much faster."""
    centres = (np.arange(new, dtype=np.float32) + np.float32(0.5)) * np.float32(old / new)
    return np.minimum(centres.astype(np.int64), old - 1)


def _check_size(content: bytes) -> None:
    """Refuses a bomb by its header, before anything is unpacked."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content)) as opened:
                width, height = opened.size
    except Image.DecompressionBombError as error:
        raise DataError(f"has too many pixels; at most {MAXIMUM_PIXELS:,} are read") from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        return  # the decoder that trains has the last word on what is an image
    if width * height > MAXIMUM_PIXELS:
        raise DataError(
            f"has {width} x {height} pixels; at most {MAXIMUM_PIXELS:,} are read; make it smaller"
        )


def _explain(content: bytes, message: str) -> str:
    start = content[:512].lstrip().lower()
    if start.startswith((b"<!doctype", b"<html")):
        return "is a web page, not an image"
    if start.startswith((b"ii*\0", b"mm\0*")):
        return "is a TIFF image, which cannot be read; convert it to PNG"
    if content[:4] == b"RIFF" and content[8:16] == b"WEBPVP8X" and content[20] & WEBP_UNREADABLE:
        return "is a WebP image with transparency or animation; convert it to PNG"
    if b"ftyp" in content[:12]:
        return "is a HEIC, AVIF or video file, which cannot be read; convert it to JPEG"
    if "Unknown image file format" in message:
        return "is no image: its content is none of JPEG, PNG, GIF, BMP, WebP"
    return "is damaged or cut off: it cannot be decoded to the end"
