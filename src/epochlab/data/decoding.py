"""One image file -> pixels of one size, with the decoder that training uses."""

import io
import struct
import warnings
from typing import TYPE_CHECKING, Literal

from epochlab.errors import DataError
from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf
    from PIL import Image
else:
    np = lazy_import("numpy")
    tf = lazy_import("tensorflow")

ColorMode = Literal["rgb", "grayscale"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "area", "lanczos3"]
Aspect = Literal["stretch", "crop", "pad"]

# Several times a large photograph; a picture of 30,000 x 30,000 pixels would take 2.7 GB to unpack.
# It is Pillow's own limit, which reads no header of a larger one: twice its MAX_IMAGE_PIXELS.
MAXIMUM_PIXELS = 178_956_970

# Flags for transparency and animation in the header of an extended WebP file, and for transparency
# in that of a lossless one (https://developers.google.com/speed/webp/docs/riff_container and
# webp_lossless_bitstream_specification there). TensorFlow reads only plain ones.
WEBP_UNREADABLE = 0x10 | 0x02
WEBP_LOSSLESS_ALPHA = 0x10

# The values of a BMP's compression that stand for run lengths, of 8 and of 4 bits.
BMP_RUN_LENGTHS = (1, 2)


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
    decoded = _decode_bmp(content) if _is_special_bmp(content) else _decode(content)
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
            brings the whole image into the size, at least one pixel wide and high, and fills up
            with black.

    Returns:
        uint8 `(*size, channels)`.
    """
    if aspect == "pad":
        return _resize_with_pad(image, size, interpolation)
    if aspect == "crop":
        height, width = image.shape[:2]
        scale = min(height / size[0], width / size[1])
        cut = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
        top, left = (height - cut[0]) // 2, (width - cut[1]) // 2
        image = image[top : top + cut[0], left : left + cut[1]]
    if interpolation == "nearest":
        rows, columns = (_nearest(*sides) for sides in zip(image.shape, size, strict=False))
        return image[rows[:, None], columns]
    resized = tf.image.resize(image, size, method=interpolation)
    return tf.saturate_cast(tf.round(tf.cast(resized, tf.float32)), tf.uint8).numpy()


def _nearest(old: int, new: int) -> "np.ndarray":
    """Returns the source of each pixel along a side, as TensorFlow's op has it, but much faster."""
    centres = (np.arange(new, dtype=np.float32) + np.float32(0.5)) * np.float32(old / new)
    return np.minimum(centres.astype(np.int64), old - 1)


def _resize_with_pad(
    image: "np.ndarray", size: tuple[int, int], interpolation: Interpolation
) -> "np.ndarray":
    """Does what `tf.image.resize_with_pad` does, with its rounding, to the bit.

    But that one fails where a side shrinks to less than one pixel; here one pixel is left.
    """
    height, width, channels = image.shape
    ratio = max(np.float32(height) / np.float32(size[0]), np.float32(width) / np.float32(size[1]))
    scaled = np.float32(height) / ratio, np.float32(width) / ratio
    inner = max(1, int(scaled[0])), max(1, int(scaled[1]))
    top, left = (
        max(0, int((np.float32(whole) - part) / np.float32(2)))
        for whole, part in zip(size, scaled, strict=True)
    )
    padded = np.zeros((*size, channels), np.uint8)
    padded[top : top + inner[0], left : left + inner[1]] = resize_image(
        image, inner, interpolation, "stretch"
    )
    return padded


def _open_with_pillow(content: bytes, formats: tuple[str, ...] | None = None) -> "Image.Image":
    """Reads the header; no pixels are unpacked."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(io.BytesIO(content), formats=formats)


def _check_size(content: bytes) -> None:
    """Refuses a bomb by its header, before anything is unpacked."""
    from PIL import Image

    try:
        with _open_with_pillow(content) as opened:
            width, height = opened.size
    except Image.DecompressionBombError as error:
        raise DataError(
            f"has too many pixels; at most {MAXIMUM_PIXELS:,} are read; make it smaller"
        ) from error
    except (OSError, ValueError, SyntaxError):
        return  # the decoder that trains has the last word on what is an image
    if width * height > MAXIMUM_PIXELS:
        raise DataError(
            f"has {width} x {height} pixels; at most {MAXIMUM_PIXELS:,} are read; make it smaller"
        )


def _decode(content: bytes) -> "tf.Tensor":
    try:
        return tf.io.decode_image(content, channels=3, expand_animations=False)
    except tf.errors.InvalidArgumentError as error:
        raise DataError(_explain(content, str(error))) from error


def _is_special_bmp(content: bytes) -> bool:
    """Tells a BMP other than a plain one of 24 or 32 bits.

    TensorFlow takes the indices of a palette for grey values, and does not look at the compression.
    """
    if not content.startswith(b"BM") or len(content) < 34:
        return False
    header_bytes, bits, compression = struct.unpack_from("<I10xHI", content, 14)
    # A header of less than 40 bytes, OS/2's, has these figures elsewhere.
    return header_bytes < 40 or bits not in (24, 32) or compression != 0


def _decode_bmp(content: bytes) -> "tf.Tensor":
    try:
        with _open_with_pillow(content, ("BMP",)) as opened:
            (bits,) = struct.unpack_from("<H", content, 24 if content[14] == 12 else 28)
            # Pillow drops a palette that it takes for black and white or for 256 greys, and then
            # reads pixels of that many bits, whatever they have.
            if opened.mode in ("1", "L") and bits != {"1": 1, "L": 8}[opened.mode]:
                raise OSError("Unsupported BMP: this palette")
            # It also makes room for all pixels, and of run lengths fills them up one by one, before
            # it finds that the file is too short for them. Two bytes say at most 255 pixels.
            per_byte = 255 / 2 if opened.info["compression"] in BMP_RUN_LENGTHS else 8 / bits
            if opened.width * opened.height > per_byte * len(content):
                raise OSError("too short")
            pixels = np.asarray(opened.convert("RGB"))
    except (OSError, ValueError, SyntaxError, OverflowError) as error:
        raise DataError(_explain(content, str(error))) from error
    if not pixels.size:
        raise DataError(_explain(content, "no pixels"))
    return tf.convert_to_tensor(pixels)


def _explain(content: bytes, message: str) -> str:
    start = content[:512].lstrip().lower()
    if start.startswith((b"<!doctype", b"<html")):
        return "is a web page, not an image"
    if start.startswith((b"ii*\0", b"mm\0*")):
        return "is a TIFF image, which cannot be read; convert it to PNG"
    if _is_special_webp(content):
        return "is a WebP image with transparency or animation; convert it to PNG"
    if b"ftyp" in content[:12]:
        return "is a HEIC, AVIF or video file, which cannot be read; convert it to JPEG"
    if "Unsupported BMP" in message:
        return "is a BMP image of a rare kind, which cannot be read, or damaged; convert it to PNG"
    if "Unknown image file format" in message:
        return "is no image: its content is none of JPEG, PNG, GIF, BMP, WebP"
    return "is damaged or cut off: it cannot be decoded to the end"


def _is_special_webp(content: bytes) -> bool:
    """Tells a WebP that has transparency or is animated, by its header; it may be cut off."""
    if content[:4] != b"RIFF" or len(content) < 25:
        return False
    if content[8:16] == b"WEBPVP8X":
        return bool(content[20] & WEBP_UNREADABLE)
    return content[8:16] == b"WEBPVP8L" and bool(content[24] & WEBP_LOSSLESS_ALPHA)
