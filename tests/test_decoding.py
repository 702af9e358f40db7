"""One image file to pixels: rare kinds of BMP and WebP, the largest images, thin ones padded."""

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from epochlab.data.decoding import MAXIMUM_PIXELS, Interpolation, decode_image, resize_image
from epochlab.errors import DataError

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "area", "lanczos3")
BLACK, WHITE, RED, GREEN = (0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 200, 0)
Colour = tuple[int, int, int]


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    written = io.BytesIO()
    image.save(written, kind, **options)
    return written.getvalue()


def noise(mode: str, size: tuple[int, int] = (12, 9)) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


def make_bmp(
    bits: int, palette: list[Colour], rows: bytes, size: tuple[int, int], compression: int = 0
) -> bytes:
    """A BMP with a header of 40 bytes; the rows from the bottom up, each of whole 4 bytes."""
    table = b"".join(bytes((blue, green, red, 0)) for red, green, blue in palette)
    first = 14 + 40 + len(table)
    figures = (*size, 1, bits, compression, len(rows), 0, 0, len(palette), 0)
    return (
        struct.pack("<2sIHHI", b"BM", first + len(rows), 0, 0, first)
        + struct.pack("<IiiHHIIiiII", 40, *figures)
        + table
        + rows
    )


def reason(content: bytes) -> str:
    with pytest.raises(DataError) as caught:
        decode_image(content, "rgb")
    return str(caught.value)


@pytest.mark.parametrize("mode", ["P", "L", "1", "RGB", "RGBA"])
def test_bmp_of_every_mode_has_its_colours(mode: str):
    content = encode(noise(mode), "BMP")
    expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    np.testing.assert_array_equal(decode_image(content, "rgb"), expected)


@pytest.mark.parametrize(
    ("bits", "rows", "compression"),
    [
        (8, bytes([1, 0, 1, 0, 0, 1, 0, 1]), 0),
        (4, bytes([0x10, 0x10, 0, 0, 0x01, 0x01, 0, 0]), 0),
        (1, bytes([0b10100000, 0, 0, 0, 0b01010000, 0, 0, 0]), 0),
        (8, bytes([1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1, 1, 1, 0, 1, 1, 0, 1]), 1),
    ],
    ids=["8 bits", "4 bits", "1 bit", "run lengths"],
)
def test_colours_of_a_bmp_are_looked_up(bits: int, rows: bytes, compression: int):
    content = make_bmp(bits, [RED, GREEN], rows, (4, 2), compression)
    expected = [[RED, GREEN, RED, GREEN], [GREEN, RED, GREEN, RED]]
    assert decode_image(content, "rgb").tolist() == [
        [list(pixel) for pixel in row] for row in expected
    ]


def test_bmp_of_os2_is_read():
    content = (
        struct.pack("<2sIHHI", b"BM", 34, 0, 0, 26)
        + struct.pack("<IHHHH", 12, 2, 1, 1, 24)
        + bytes([*reversed(RED), *reversed(GREEN), 0, 0])
    )
    assert decode_image(content, "rgb").tolist() == [[list(RED), list(GREEN)]]


def test_bmp_of_16_bits_is_read():
    rows = struct.pack("<HH", 0b11111 << 10, 0b11111)
    assert decode_image(make_bmp(16, [], rows, (2, 1)), "rgb").tolist() == [
        [[255, 0, 0], [0, 0, 255]]
    ]


@pytest.mark.parametrize("bits", [4, 8])
def test_bmp_that_pillow_takes_for_one_of_1_bit_is_refused(bits: int):
    assert "BMP" in reason(make_bmp(bits, [BLACK, WHITE], bytes(8), (4, 2)))


def test_grey_of_a_palette_bmp_is_that_of_its_colours():
    grey = decode_image(make_bmp(8, [RED, GREEN], bytes([0, 1, 0, 0]), (2, 1)), "grayscale")
    assert grey.ravel().tolist() == [round(0.2989 * 255), round(0.587 * 200)]


@pytest.mark.parametrize("mode", ["P", "L", "1"])
def test_bmp_cut_anywhere_is_damaged(mode: str):
    whole = encode(noise(mode, (32, 9)), "BMP")  # rows without filling
    for end in range(2, len(whole)):
        assert "damaged" in reason(whole[:end])


def test_bmp_of_a_kind_that_no_decoder_has_is_said():
    assert "convert it to PNG" in reason(make_bmp(24, [], bytes(8), (2, 1), compression=4))


def test_bmp_that_is_far_too_short_for_its_size_is_damaged():
    row_ends = bytes([0, 0, 0, 0, 0, 1])
    assert "damaged" in reason(make_bmp(8, [RED, GREEN], row_ends, (20_000_000, 2), compression=1))


def test_bmp_without_pixels_is_damaged():
    assert "damaged" in reason(make_bmp(8, [RED, GREEN], b"", (0, 2)))


def test_lossless_webp_with_transparency_is_not_called_damaged():
    image = noise("RGB")
    assert decode_image(encode(image, "WEBP", lossless=True), "rgb").shape == (9, 12, 3)
    image.putalpha(100)
    assert "transparency" in reason(encode(image, "WEBP", lossless=True))


@pytest.mark.parametrize("kind", [b"VP8X", b"VP8L"])
def test_webp_that_is_cut_within_its_header_is_damaged(kind: bytes):
    header = b"RIFF\0\1\0\0WEBP" + kind + b"\x0a\0\0\0\xff"
    for end in range(13, len(header)):
        assert "damaged" in reason(header[:end])


def png_header(width: int, height: int) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)

    size = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_message_says_the_limit_that_holds(monkeypatch: pytest.MonkeyPatch):
    def unpack(*_: object, **__: object) -> None:
        raise InterruptedError("unpacked")

    monkeypatch.setattr(tf.io, "decode_image", unpack)
    assert f"at most {MAXIMUM_PIXELS:,} are read" in reason(png_header(MAXIMUM_PIXELS + 1, 1))
    with pytest.raises(InterruptedError):
        decode_image(png_header(MAXIMUM_PIXELS, 1), "rgb")


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize(
    ("shape", "size"),
    [((1400, 40), (32, 32)), ((40, 1400), (32, 32)), ((160, 1), (150, 150)), ((1, 9), (1, 1)),
     ((2, 2000), (7, 64))],
)  # fmt: skip
def test_of_a_thin_image_one_pixel_is_left_when_padded(
    shape: tuple[int, int], size: tuple[int, int], interpolation: Interpolation
):
    padded = resize_image(np.full((*shape, 3), 200, np.uint8), size, interpolation, "pad")
    assert padded.shape == (*size, 3)
    lines = padded[..., 0].max(axis=0 if shape[0] > shape[1] else 1)
    assert np.flatnonzero(lines).tolist() == [(len(lines) - 1) // 2]
    assert set(lines.tolist()) == {0, 200} or len(lines) == 1


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("size", [(150, 150), (32, 32), (64, 97), (8, 8), (1, 1)])
def test_padding_is_tensorflows(interpolation: Interpolation, size: tuple[int, int]):
    random = np.random.default_rng(0)
    shapes = [(288, 192), (192, 288), (150, 150), (1, 1), (37, 53), (20, 100), (287, 288), (40, 33)]
    shapes += [tuple(shape) for shape in random.integers(100, 300, (12, 2)).tolist()]
    for shape in shapes:
        if size == (1, 1) and shape[0] != shape[1]:
            continue  # a side would shrink to nothing, which TensorFlow refuses
        image = random.integers(0, 256, (*shape, 3), np.uint8)
        resized = tf.image.resize_with_pad(image, *size, method=interpolation)
        expected = tf.saturate_cast(tf.round(tf.cast(resized, tf.float32)), tf.uint8).numpy()
        padded = resize_image(image, size, interpolation, "pad")
        np.testing.assert_array_equal(padded, expected, err_msg=str(shape))
