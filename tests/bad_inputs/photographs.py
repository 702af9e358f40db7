"""Small photographs, good ones and bad ones of every kind."""

import io
import os
import socket
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (48, 40)


def picture(seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """Soft spots of colour: each seed looks different from any other."""
    spots = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(spots).resize(size, Image.Resampling.BICUBIC)


def encode(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    """Returns the bytes of an image file."""
    written = io.BytesIO()
    image.save(written, kind, **options)
    return written.getvalue()


def make_dataset(root: Path, **counts: int) -> Path:
    """Writes `root/SPLIT/CLASS/N.jpg` for the classes cat and dog."""
    for position, (split, count) in enumerate(counts.items()):
        for label, name in enumerate(("cat", "dog")):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                seed = position * 1000 + label * 500 + number
                (folder / f"{number}.jpg").write_bytes(encode(picture(seed)))
    return root


def make_bomb(width: int, height: int) -> bytes:
    """Returns a PNG of a few bytes that says it is large."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


def break_checksum(png: bytes) -> bytes:
    """Changes one byte of the pixels."""
    place = png.index(b"IDAT") + 8
    return png[:place] + bytes([png[place] ^ 1]) + png[place + 1 :]


def turn(orientation: int, seed: int) -> bytes:
    """Returns a JPEG with an EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(picture(seed), exif=exif)


def move(kind: str, seed: int) -> bytes:
    """Returns an animation of two pictures."""
    frames = [picture(seed), picture(seed + 1)]
    return encode(frames[0], kind, save_all=True, append_images=frames[1:])


def sixteen_bit(seed: int) -> bytes:
    """Returns a grey PNG of 16 bits."""
    grey = np.asarray(picture(seed).convert("L"), np.uint16)
    return encode(Image.fromarray(grey * 256), "PNG")


# The class has that many good images beside.
GOOD_IMAGES = 60
FILES: dict[str, Callable[[], bytes]] = {
    "empty.jpg": lambda: b"",
    "text.jpg": lambda: b"not an image",
    "page.jpg": lambda: b"<!DOCTYPE html><html>404</html>",
    "half.jpg": lambda: encode(picture(9001))[:600],
    "cut95.jpg": lambda: encode(picture(9002))[:-60],
    "checksum.png": lambda: break_checksum(encode(picture(9003), "PNG")),
    "cmyk.jpg": lambda: encode(picture(9004).convert("CMYK")),
    "la.png": lambda: encode(picture(9005).convert("LA"), "PNG"),
    "rgba.png": lambda: encode(picture(9006).convert("RGBA"), "PNG"),
    "palette.png": lambda: encode(picture(9007).convert("P"), "PNG"),
    "onebit.png": lambda: encode(picture(9008).convert("1"), "PNG"),
    "grey.jpg": lambda: encode(picture(9009).convert("L")),
    "sixteen.png": lambda: sixteen_bit(9010),
    "moving.gif": lambda: move("GIF", 9020),
    "moving.png": lambda: move("PNG", 9030),
    "turned3.jpg": lambda: turn(3, 9040),
    "turned6.jpg": lambda: turn(6, 9041),
    "webp.jpg": lambda: encode(picture(9050), "WEBP"),
    "heic.jpg": lambda: b"\0\0\0\x18ftypheic" + bytes(40),
    "avif.jpg": lambda: b"\0\0\0\x1cftypavif" + bytes(40),
    "tiff.jpg": lambda: encode(picture(9051), "TIFF"),
    "png.jpg": lambda: encode(picture(9052), "PNG"),
    "bomb.png": lambda: make_bomb(30_000, 30_000),
    "dot.png": lambda: encode(picture(9060, (1, 1)), "PNG"),
    "strip.png": lambda: encode(picture(9061, (20_000, 1)), "PNG"),
    "right.JPG": lambda: encode(picture(9062)),
    "a b.jpg": lambda: b"",
    "new\nline.jpg": lambda: b"",
    "caf\u00e9.jpg": lambda: encode(picture(9070)),
    "cafe\u0301.jpg": lambda: b"",
    "\udcff.jpg": lambda: b"",
    "-x.jpg": lambda: b"",
    "\x1b[31m.jpg": lambda: b"",
    "x" * 250 + ".jpg": lambda: b"",
    ".DS_Store": lambda: b"",
    "Thumbs.db": lambda: b"",
    "photo.tiff": lambda: encode(picture(9080), "TIFF"),
}


def make_every_fault(root: Path) -> Path:
    """Writes a dataset with every bad file among good ones."""
    make_dataset(root, train=GOOD_IMAGES, validation=3, test=3)
    cat, dog = root / "train/cat", root / "train/dog"
    for name, content in FILES.items():
        (cat / name).write_bytes(content())
    (root / "test/cat/leak.jpg").write_bytes((cat / "5.jpg").read_bytes())
    (dog / "wrong.jpg").write_bytes((cat / "6.jpg").read_bytes())
    (cat / "again.jpg").write_bytes((cat / "7.jpg").read_bytes())
    (cat / "near.jpg").write_bytes(encode(picture(8), quality=30))
    (cat / "dead.jpg").symlink_to("nowhere")
    (cat / "out.jpg").symlink_to("/etc/passwd")
    (cat / "loop").symlink_to(root, target_is_directory=True)
    os.mkfifo(cat / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(cat / "socket.jpg"))
    (root / "train" / "linked").symlink_to(cat, target_is_directory=True)
    return root
