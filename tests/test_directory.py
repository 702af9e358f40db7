"""Reading a directory of images: what is accepted, what is refused, what is decoded once."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from epochlab.data import decoding
from epochlab.data.decoding import decode_image, resize_image
from epochlab.data.directory import DirectoryConfig, load_directory
from epochlab.data.images import ImageData
from epochlab.errors import DataError

CLASSES = {"blue": (20, 30, 220), "red": (220, 30, 20)}


def encode(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    written = io.BytesIO()
    image.save(written, kind, **options)
    return written.getvalue()


def picture(colour: tuple[int, int, int], size: tuple[int, int] = (24, 16)) -> Image.Image:
    """One colour with a little noise, so that no two are the same file."""
    noise = np.random.default_rng(sum(colour)).integers(0, 12, (*size[::-1], 3))
    return Image.fromarray((noise + np.array(colour)).clip(0, 255).astype(np.uint8))


@pytest.fixture
def photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """train, validation and test with 4, 2 and 3 images of each of two classes."""
    monkeypatch.setenv("EPOCHLAB_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "photographs"
    for split, count in (("train", 4), ("validation", 2), ("test", 3)):
        for name, (red, green, blue) in CLASSES.items():
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                content = encode(picture((red, green + number, blue)))
                (folder / f"{name}.{number}.jpg").write_bytes(content)
    return root


def load(root: Path, **changes: object) -> ImageData:
    settings: dict[str, object] = {
        "path": str(root),
        "limit": None,
        "image_size": (8, 8),
        "color_mode": "rgb",
        "interpolation": "bilinear",
        "aspect": "stretch",
        "on_bad": "error",
    }
    return load_directory(DirectoryConfig.model_validate(settings | changes))


def refuse(root: Path, *words: str, **changes: object) -> None:
    with pytest.raises(DataError) as caught:
        load(root, **changes)
    for word in words:
        assert word in str(caught.value)


def test_splits_classes_and_pixels(photographs: Path):
    data = load(photographs)
    assert data.class_names == ("blue", "red")
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 8, "validation": 4, "test": 6,
    }  # fmt: skip
    assert data.image_shape == (8, 8, 3)
    assert data.train.images.dtype == np.uint8
    for image, label in zip(data.train.images, data.train.labels, strict=True):
        red, blue = image[..., 0].mean(), image[..., 2].mean()
        assert (red > blue) == (data.class_names[label] == "red")


def test_names_are_paths_in_an_order_that_no_file_system_decides(photographs: Path):
    names = load(photographs).test.names
    assert names[0] == "test/blue/blue.0.jpg"
    assert list(names) == sorted(names)


def test_second_load_takes_the_pixels_from_the_cache(photographs: Path, monkeypatch):
    first = load(photographs)

    def fail(*arguments: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr("epochlab.data.directory.decode_image", fail)
    again = load(photographs)
    np.testing.assert_array_equal(again.train.images, first.train.images)
    assert again.fingerprint == first.fingerprint


def test_changed_file_is_decoded_again(photographs: Path):
    before = load(photographs)
    changed = photographs / "train" / "red" / "red.0.jpg"
    changed.write_bytes(encode(picture((0, 0, 0))))
    after = load(photographs)
    position = after.train.names.index("train/red/red.0.jpg")
    assert after.train.images[position].max() < 20 < before.train.images[position].max()
    assert after.fingerprint != before.fingerprint


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", None])
def test_damaged_cache_entry_is_made_again(photographs: Path, tmp_path: Path, damage):
    first = load(photographs).train.images
    (entry,) = (tmp_path / "cache" / "pixels").iterdir()
    if damage is None:
        (entry / "bad.json").unlink()
    else:
        (entry / "pixels.npy").write_bytes(damage)
    np.testing.assert_array_equal(load(photographs).train.images, first)


def test_cache_holds_nothing_half_made(photographs: Path, tmp_path: Path):
    load(photographs)
    load(photographs, image_size=(4, 4))
    entries = list((tmp_path / "cache" / "pixels").iterdir())
    assert len(entries) == 2
    assert not [entry for entry in entries if entry.name.startswith(".")]


def test_limit_is_per_split_and_stratified(photographs: Path):
    data = load(photographs, limit=4)
    assert [len(split) for split in data.splits.values()] == [4, 4, 4]
    assert np.bincount(data.train.labels).tolist() == [2, 2]


def test_no_validation_folder_is_no_validation(photographs: Path):
    for name in CLASSES:
        for file in (photographs / "validation" / name).iterdir():
            file.unlink()
        (photographs / "validation" / name).rmdir()
    (photographs / "validation").rmdir()
    assert load(photographs).validation is None


BAD_FILES: list[tuple[str, Callable[[bytes], bytes], str]] = [
    ("empty", lambda _: b"", "is empty"),
    ("text", lambda _: b"hello", "is no image"),
    ("page", lambda _: b"<!DOCTYPE html><html>404</html>", "web page"),
    ("half", lambda content: content[: len(content) // 2], "cut off"),
    ("cut at 95 %", lambda content: content[: int(len(content) * 0.95)], "cut off"),
    ("tiff", lambda _: encode(picture((1, 2, 3)), "TIFF"), "TIFF"),
    ("avif", lambda _: b"\0\0\0\x1cftypavif" + b"\0" * 40, "AVIF"),
]


@pytest.mark.parametrize(("kind", "spoil", "reason"), BAD_FILES, ids=[b[0] for b in BAD_FILES])
def test_file_that_cannot_be_decoded_is_named_with_the_reason(photographs, kind, spoil, reason):
    file = photographs / "train" / "red" / "red.1.jpg"
    file.write_bytes(spoil(file.read_bytes()))
    refuse(photographs, "train/red/red.1.jpg", reason, "data.on_bad: skip")


def test_bad_files_are_left_out_and_recorded_when_asked(photographs: Path):
    for number in range(4, 20):
        content = encode(picture((220, number, 20)))
        (photographs / "train" / "red" / f"red.{number}.jpg").write_bytes(content)
    (photographs / "train" / "red" / "red.1.jpg").write_bytes(b"hello")
    data = load(photographs, on_bad="skip")
    assert "train/red/red.1.jpg" not in data.train.names
    assert "is no image" in data.skipped["train/red/red.1.jpg"]
    assert data.train.images.min(axis=(1, 2, 3)).max() > 0  # no zeros in place of the bad one


def test_too_many_bad_files_are_refused_even_then(photographs: Path):
    for number in range(3):
        (photographs / "train" / "red" / f"red.{number}.jpg").write_bytes(b"hello")
    refuse(photographs, "3 of 18", "too many", on_bad="skip")


def test_other_files_are_skipped_and_recorded(photographs: Path):
    (photographs / "train" / "red" / "notes.txt").write_text("a note")
    (photographs / "train" / "red" / "link.jpg").symlink_to("red.0.jpg")
    (photographs / "train" / "red" / ".DS_Store").write_bytes(b"")
    skipped = load(photographs).skipped
    assert set(skipped) == {"train/red/notes.txt", "train/red/link.jpg"}


def test_missing_folder_and_missing_splits(photographs: Path, tmp_path: Path):
    refuse(tmp_path / "none", "no such folder", "epochlab prepare")
    refuse(photographs / "train", "has no folder train", "blue, red")


def test_empty_class_is_refused_and_named(photographs: Path):
    for split in ("train", "validation", "test"):
        (photographs / split / "green").mkdir()
    refuse(photographs, "train/green", "validation/green", "test/green")


def test_splits_with_other_classes_are_refused_with_the_difference(photographs: Path):
    (photographs / "test" / "red").rename(photographs / "test" / "rot")
    refuse(photographs, "photographs/test", "lacks red", "has beyond train rot")


def test_one_class_is_refused(photographs: Path):
    for split in ("train", "validation", "test"):
        (photographs / split / "red").rename(photographs / f"{split}-red")
    refuse(photographs, "two or more classes, found 1")


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("L", "JPEG"), ("CMYK", "JPEG"), ("L", "PNG"), ("LA", "PNG"), ("RGBA", "PNG"), ("P", "PNG"),
     ("1", "PNG"), ("RGB", "BMP"), ("P", "GIF"), ("RGB", "WEBP")],
)  # fmt: skip
def test_every_colour_mode_becomes_rgb(mode: str, kind: str):
    image = picture((200, 100, 50)).convert(mode)
    decoded = decode_image(encode(image, kind), "rgb")
    assert decoded.shape == (16, 24, 3)
    expected = np.asarray(Image.open(io.BytesIO(encode(image, kind))).convert("RGB"), np.int64)
    assert np.abs(decoded - expected).max() <= 4


def test_grayscale_has_one_channel_of_the_usual_weights():
    decoded = decode_image(encode(Image.new("RGB", (4, 4), (200, 100, 50)), "PNG"), "grayscale")
    assert decoded.shape == (4, 4, 1)
    assert int(decoded[0, 0, 0]) == round(0.2989 * 200 + 0.587 * 100 + 0.114 * 50)


def test_sixteen_bits_keep_the_upper_eight():
    ramp = Image.fromarray((np.arange(256, dtype=np.uint16) * 257).reshape(16, 16))
    decoded = decode_image(encode(ramp, "PNG"), "rgb")
    assert decoded[..., 0].ravel().tolist() == list(range(256))


def test_bomb_is_refused_by_its_header(monkeypatch: pytest.MonkeyPatch):
    content = encode(Image.new("1", (600, 600)), "PNG")
    monkeypatch.setattr(decoding, "MAXIMUM_PIXELS", 100_000)
    with pytest.raises(DataError, match="600 x 600 pixels"):
        decode_image(content, "rgb")


def test_stretch_crop_and_pad():
    # A wide image: red left half, blue right half.
    image = np.zeros((8, 16, 3), np.uint8)
    image[:, :8, 0] = image[:, 8:, 2] = 200
    stretched = resize_image(image, (4, 4), "nearest", "stretch")
    assert stretched[0, :, 0].tolist() == [200, 200, 0, 0]
    cropped = resize_image(image, (8, 8), "nearest", "crop")
    np.testing.assert_array_equal(cropped, image[:, 4:12])
    padded = resize_image(image, (8, 8), "nearest", "pad")
    assert padded[:2].max() == padded[6:].max() == 0
    assert padded[4, :, 0].tolist() == [200] * 4 + [0] * 4


def test_nearest_is_pillows_nearest():
    image = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(image).resize((15, 15), Image.Resampling.NEAREST))
    np.testing.assert_array_equal(resize_image(image, (15, 15), "nearest", "stretch"), expected)


def test_area_averages_what_falls_into_a_pixel():
    image = np.arange(16, dtype=np.uint8).reshape(4, 4, 1)
    assert resize_image(image, (2, 2), "area", "stretch").ravel().tolist() == [2, 4, 10, 12]
