"""Reading a directory of images: what is accepted, what is refused, what is decoded once."""

import io
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from conftest import load_folder
from PIL import Image

from epochlab.data import decoding
from epochlab.data.decoding import decode_image, resize_image
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
    for split, first, count in (("train", 0, 4), ("validation", 30, 2), ("test", 60, 3)):
        for name, (red, green, blue) in CLASSES.items():
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                content = encode(picture((red, green + first + number, blue)))
                (folder / f"{name}.{number}.jpg").write_bytes(content)
    return root


def refuse(root: Path, *words: str, **changes: object) -> None:
    with pytest.raises(DataError) as caught:
        load_folder(root, **changes)
    for word in words:
        assert word in str(caught.value)


def test_splits_classes_and_pixels(photographs: Path):
    data = load_folder(photographs)
    assert data.class_names == ("blue", "red")
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 8, "validation": 4, "test": 6,
    }  # fmt: skip
    assert data.image_shape == (8, 8, 3)
    assert data.train.images[:].dtype == np.uint8
    for image, label in zip(data.train.images[:], data.train.labels, strict=True):
        red, blue = image[..., 0].mean(), image[..., 2].mean()
        assert (red > blue) == (data.class_names[label] == "red")


def test_names_are_paths_in_an_order_that_no_file_system_decides(photographs: Path):
    names = load_folder(photographs).test.names
    assert names[0] == "test/blue/blue.0.jpg"
    assert list(names) == sorted(names)


def test_second_load_takes_the_pixels_from_the_cache(photographs: Path, monkeypatch):
    first = load_folder(photographs)

    def fail(*arguments: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr("epochlab.data.image_files.decode_image", fail)
    again = load_folder(photographs)
    np.testing.assert_array_equal(again.train.images[:], first.train.images[:])
    assert again.fingerprint == first.fingerprint


def test_changed_file_is_decoded_again(photographs: Path):
    before = load_folder(photographs)
    changed = photographs / "train" / "red" / "red.0.jpg"
    changed.write_bytes(encode(picture((0, 0, 0))))
    after = load_folder(photographs)
    position = after.train.names.index("train/red/red.0.jpg")
    assert after.train.images[[position]].max() < 20 < before.train.images[[position]].max()
    assert after.fingerprint != before.fingerprint


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", None])
def test_damaged_cache_entry_is_made_again(photographs: Path, tmp_path: Path, damage):
    first = load_folder(photographs).train.images[:]
    (entry,) = (tmp_path / "cache" / "pixels").iterdir()
    if damage is None:
        (entry / "bad.json").unlink()
    else:
        (entry / "pixels.npy").write_bytes(damage)
    np.testing.assert_array_equal(load_folder(photographs).train.images[:], first)


def test_cache_holds_nothing_half_made(photographs: Path, tmp_path: Path):
    load_folder(photographs)
    load_folder(photographs, image_size=(4, 4))
    entries = list((tmp_path / "cache" / "pixels").iterdir())
    assert len(entries) == 2
    assert not [entry for entry in entries if entry.name.startswith(".")]


def test_limit_is_per_split_and_stratified(photographs: Path):
    data = load_folder(photographs, limit=4)
    assert [len(split) for split in data.splits.values()] == [4, 4, 4]
    assert np.bincount(data.train.labels).tolist() == [2, 2]


def test_no_validation_folder_is_no_validation(photographs: Path):
    for name in CLASSES:
        for file in (photographs / "validation" / name).iterdir():
            file.unlink()
        (photographs / "validation" / name).rmdir()
    (photographs / "validation").rmdir()
    assert load_folder(photographs).validation is None


def break_checksum(png: bytes) -> bytes:
    """Changes one byte of the pixels, so that the chunk's CRC does not fit."""
    place = png.index(b"IDAT") + 40
    return png[:place] + bytes([png[place] ^ 255]) + png[place + 1 :]


BAD_FILES: list[tuple[str, Callable[[bytes], bytes], str]] = [
    ("empty", lambda _: b"", "is empty"),
    ("text", lambda _: b"hello", "is no image"),
    ("page", lambda _: b"<!DOCTYPE html><html>404</html>", "web page"),
    ("half", lambda content: content[: len(content) // 2], "cut off"),
    ("cut at 95 %", lambda content: content[: int(len(content) * 0.95)], "cut off"),
    ("tiff", lambda _: encode(picture((1, 2, 3)), "TIFF"), "TIFF"),
    ("webp", lambda _: encode(Image.new("RGBA", (20, 20), (1, 2, 3, 99)), "WEBP"), "transparency"),
    ("bad CRC", lambda _: break_checksum(encode(picture((1, 2, 3)), "PNG")), "damaged"),
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
    data = load_folder(photographs, on_bad="skip")
    assert "train/red/red.1.jpg" not in data.train.names
    assert "is no image" in data.skipped["train/red/red.1.jpg"]
    assert data.train.images[:].max(axis=(1, 2, 3)).min() > 0  # no zeros in place of the bad one


def test_too_many_bad_files_are_refused_even_then(photographs: Path):
    for number in range(3):
        (photographs / "train" / "red" / f"red.{number}.jpg").write_bytes(b"hello")
    refuse(photographs, "3 of 18", "too many", on_bad="skip")


def test_other_files_are_skipped_and_recorded(photographs: Path):
    (photographs / "train" / "red" / "notes.txt").write_text("a note")
    (photographs / "train" / "red" / "link.jpg").symlink_to("red.0.jpg")
    (photographs / "train" / "red" / ".DS_Store").write_bytes(b"")
    skipped = load_folder(photographs).skipped
    assert set(skipped) == {"train/red/notes.txt", "train/red/link.jpg"}


def test_dataset_too_large_for_the_cache_is_streamed(photographs: Path, tmp_path: Path):
    cached = load_folder(photographs)
    streamed = load_folder(photographs, cache_limit=1e-7)
    for name, split in cached.splits.items():
        other = streamed.splits[name]
        np.testing.assert_array_equal(other.images[:], split.images[:])
        assert other.labels.tolist() == split.labels.tolist()
    assert streamed.fingerprint == cached.fingerprint
    checked = [file.name for file in (tmp_path / "cache" / "checked").rglob("*") if file.is_file()]
    assert sorted(checked) == ["about.json", "bad.json"]


def test_streamed_bad_file_is_found_before_training(photographs: Path):
    (photographs / "train" / "red" / "red.1.jpg").write_bytes(b"hello")
    refuse(photographs, "train/red/red.1.jpg", "is no image", cache_limit=0)


def test_streamed_file_that_changes_after_the_start_is_named(photographs: Path):
    data = load_folder(photographs, cache_limit=0)
    (photographs / data.train.names[2]).write_bytes(encode(picture((9, 9, 9))))
    with pytest.raises(DataError, match="has changed") as caught:
        data.train.images[[1, 2, 3]]
    assert data.train.names[2] in str(caught.value)
    (photographs / data.train.names[1]).unlink()
    with pytest.raises(DataError, match="cannot be read"):
        data.train.images[[1]]


def test_entries_used_longest_ago_make_room(photographs: Path, tmp_path: Path):
    entry_bytes = 18 * 8 * 8 * 3
    entries = tmp_path / "cache" / "pixels"
    load_folder(photographs)
    (first,) = entries.iterdir()
    load_folder(photographs, interpolation="nearest")
    (second,) = set(entries.iterdir()) - {first}
    os.utime(second, (1, 1))
    load_folder(photographs, interpolation="area", cache_limit=(2.5 * entry_bytes + 1000) / 2**30)
    left = set(entries.iterdir())
    assert first in left
    assert second not in left
    assert len(left) == 2


def test_two_loads_at_once_make_one_whole_entry(photographs: Path, tmp_path: Path):
    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(lambda _: load_folder(photographs).train.images[:], range(8)))
    for pixels in loaded[1:]:
        np.testing.assert_array_equal(pixels, loaded[0])
    assert len(list((tmp_path / "cache" / "pixels").iterdir())) == 1


def test_files_on_the_skip_list_are_left_out_and_recorded(photographs: Path, tmp_path: Path):
    skip = {"train/red/red.1.jpg": "exact duplicate", "test/blue/blue.0.jpg": "is empty"}
    file = tmp_path / "skip.json"
    file.write_text(json.dumps({"format": 1, "folder": "photographs", "skip": skip}))
    data = load_folder(photographs, skip_list=str(file))
    assert not set(skip) & {*data.train.names, *data.test.names}
    assert len(data.train) == 7
    assert data.skipped == skip


def write_skip_list(tmp_path: Path, *names: str) -> str:
    file = tmp_path / "skip.json"
    file.write_text(json.dumps({"format": 1, "skip": dict.fromkeys(names, "bad")}))
    return str(file)


@pytest.mark.parametrize(
    "name",
    ["train\\red\\red.1.jpg", "red/red.1.jpg", "photographs/train/red/red.1.jpg", "no\n.jpg"],
)
def test_skip_list_of_which_no_file_is_there_is_refused(photographs: Path, tmp_path: Path, name):
    skip_list = write_skip_list(tmp_path, name, "other.jpg")
    refuse(
        photographs, f"{skip_list}: none of its 2 entries is a file of {photographs}",
        name.replace("\n", "\\n"), "as in test/blue/blue.0.jpg",
        f"epochlab check-data {photographs}", skip_list=skip_list,
    )  # fmt: skip


def test_entries_of_the_skip_list_that_are_not_there_are_a_warning(photographs, tmp_path: Path):
    gone = [f"train/red/gone.{number}.jpg" for number in range(7)]
    data = load_folder(
        photographs, skip_list=write_skip_list(tmp_path, *gone, "train/red/red.1.jpg")
    )
    assert len(data.train) == 7
    assert data.warnings == (
        f"7 of 8 entries of data.skip_list are no file of {photographs}: {', '.join(gone[:5])}, "
        "...; if the folder has changed, run `epochlab check-data` again",
    )


def test_skip_list_is_looked_up_in_the_whole_folder(photographs: Path, tmp_path: Path):
    (photographs / "train/red/notes.txt").write_text("no image")
    (photographs / "train/red/link.jpg").symlink_to("red.0.jpg")
    names = ("train/red/red.3.jpg", "train/red/notes.txt", "train/red/link.jpg")
    data = load_folder(photographs, skip_list=write_skip_list(tmp_path, *names), limit=4)
    assert data.skipped.keys() == set(names)
    assert not [warning for warning in data.warnings if "skip_list" in warning]


def test_empty_skip_list_is_of_every_folder(photographs: Path, tmp_path: Path):
    assert load_folder(photographs, skip_list=write_skip_list(tmp_path)).warnings == ()


def test_skip_list_that_empties_a_class_is_refused(photographs: Path, tmp_path: Path):
    skip = {f"train/red/red.{number}.jpg": "bad" for number in range(4)}
    file = tmp_path / "skip.json"
    file.write_text(json.dumps({"format": 1, "skip": skip}))
    refuse(photographs, "train/red", skip_list=str(file))


def test_expected_classes_are_compared_with_those_found(photographs: Path):
    assert load_folder(photographs, class_names=("red", "blue")).class_names == ("blue", "red")
    refuse(photographs, "not found: green", "expected: red", class_names=("blue", "green"))
    refuse(photographs, "named twice: red", class_names=("blue", "red", "red"))


def test_balanced_class_weights(photographs: Path):
    assert load_folder(photographs).class_weights is None
    for number in range(4, 12):
        content = encode(picture((220, 100 + number, 20)))
        (photographs / "train" / "red" / f"red.{number}.jpg").write_bytes(content)
    weights = load_folder(photographs, class_weight="balanced").class_weights
    assert weights == {0: 16 / (2 * 4), 1: 16 / (2 * 12)}


def copy_into(photographs: Path, name: str, place: str) -> None:
    (photographs / place).write_bytes((photographs / name).read_bytes())


def test_test_images_that_are_trained_on_are_refused(photographs: Path):
    copy_into(photographs, "train/red/red.0.jpg", "test/red/red.9.jpg")
    refuse(photographs, "1 of 11 validation and test images", "test/red/red.9.jpg", "check-data")


def test_image_under_two_labels_is_refused(photographs: Path):
    copy_into(photographs, "train/red/red.0.jpg", "train/blue/blue.9.jpg")
    refuse(photographs, "2 of 19 images are under two labels", "blue.9.jpg", "red.0.jpg")


def spoil_alike(photographs: Path, content: bytes) -> list[str]:
    """Makes one file of each class and split the same bytes, and no image."""
    names = [f"{s}/{c}/{c}.0.jpg" for s in ("test", "train", "validation") for c in CLASSES]
    for name in names:
        (photographs / name).write_bytes(content)
    return names


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html><html>404</html>"])
def test_bad_files_that_are_left_out_are_no_repeats(photographs: Path, content: bytes):
    for number in range(60):
        more = encode(picture((220, 20, 20 + number)))
        (photographs / "train" / "red" / f"more.{number}.jpg").write_bytes(more)
    names = spoil_alike(photographs, content)
    data = load_folder(photographs, on_bad="skip")
    assert data.warnings == ()
    assert sorted(data.skipped) == names
    refuse(photographs, "6 files cannot be decoded", *names, on_bad="error")


def test_repeats_are_counted_among_the_images_that_are_left(photographs: Path):
    for number in range(60):
        more = encode(picture((220, 20, 20 + number)))
        (photographs / "train" / "red" / f"more.{number}.jpg").write_bytes(more)
    spoil_alike(photographs, b"")
    copy_into(photographs, "train/red/red.1.jpg", "test/red/red.1.jpg")
    refuse(photographs, "1 of 6 validation and test images", "test/red/red.1.jpg", on_bad="skip")


def test_few_repeated_images_are_a_warning_in_the_record(photographs: Path):
    for number in range(100):
        content = encode(picture((220, 20, 20 + number)))
        (photographs / "test" / "red" / f"more.{number}.jpg").write_bytes(content)
    copy_into(photographs, "train/red/red.0.jpg", "test/red/red.9.jpg")
    data = load_folder(photographs)
    assert data.describe()["warnings"] == [
        "1 of 111 validation and test images are in another split too, byte for byte: "
        "test/red/red.9.jpg"
    ]


def test_class_with_two_training_images_is_a_warning(photographs: Path):
    for number in (2, 3):
        (photographs / "train" / "red" / f"red.{number}.jpg").unlink()
    assert load_folder(photographs).warnings == (
        "classes with hardly any training images: red (2)",
    )


def test_names_that_utf_8_cannot_say_are_escaped_in_tables(photographs: Path):
    content = encode(picture((220, 20, 90)))
    with open(os.fsencode(photographs) + b"/train/red/\xff\n.jpg", "wb") as file:
        file.write(content)
    names = load_folder(photographs).train.names
    assert r"train/red/\udcff\n.jpg" in names


def test_what_is_no_regular_file_is_neither_opened_nor_followed(photographs: Path):
    red = photographs / "train" / "red"
    (red / "dead.jpg").symlink_to("nowhere.jpg")
    (red / "loop.jpg").symlink_to("loop.jpg")
    (photographs / "train" / "linked").symlink_to(red)
    os.mkfifo(red / "pipe.jpg")
    data = load_folder(photographs)
    assert data.class_names == ("blue", "red")
    assert set(data.skipped) == {
        "train/linked", "train/red/dead.jpg", "train/red/loop.jpg", "train/red/pipe.jpg",
    }  # fmt: skip


def test_names_of_every_kind_are_read(photographs: Path):
    names = [
        "a b.jpg", "ü.jpg", "u\u0308.jpg", "-rf.jpg", "'quoted', \"twice\".JPG", "x" * 251 + ".jpg",
    ]  # fmt: skip
    for number, name in enumerate(names):
        content = encode(picture((220, 120 + number, 20)))
        (photographs / "train" / "red" / name).write_bytes(content)
    read = load_folder(photographs).train.names
    assert {f"train/red/{name}" for name in names} <= set(read)


@pytest.mark.parametrize("aspect", ["stretch", "crop", "pad"])
def test_odd_sizes_come_to_the_one_size(photographs: Path, aspect: str):
    for number, size in enumerate([(1, 1), (1, 3000), (3000, 1)]):
        content = encode(Image.new("RGB", size, (200 + number, 0, 0)))
        (photographs / "train" / "red" / f"odd.{number}.jpg").write_bytes(content)
    data = load_folder(photographs, aspect=aspect)
    odd = [index for index, name in enumerate(data.train.names) if "odd" in name]
    reds = data.train.images[odd][..., 0]
    assert reds.shape == (3, 8, 8)
    whole, strip = np.full(8, True), np.arange(8) == 3
    rows, columns = [whole] * 3, [whole] * 3
    if aspect == "pad":
        rows, columns = [whole, whole, strip], [whole, strip, whole]
    for red, row, column in zip(reds, rows, columns, strict=True):
        np.testing.assert_array_equal(red > 150, row[:, None] & column)


def test_webp_named_jpg_is_read_by_its_content(photographs: Path):
    content = encode(picture((220, 140, 20)), "WEBP")
    (photographs / "train" / "red" / "red.1.jpg").write_bytes(content)
    data = load_folder(photographs)
    (pixels,) = data.train.images[[data.train.names.index("train/red/red.1.jpg")]]
    assert abs(pixels[..., 1].mean() - 145) < 10


def test_exif_orientation_is_not_applied():
    image = Image.new("RGB", (8, 4), (255, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    assert decode_image(encode(image, "JPEG", exif=exif), "rgb").shape == (4, 8, 3)


def test_animation_gives_its_first_frame():
    frames = [Image.new("RGB", (6, 6), colour) for colour in ((250, 0, 0), (0, 0, 250))]
    content = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    pixels = decode_image(content, "rgb")
    assert pixels.shape == (6, 6, 3)
    assert (pixels[0, 0] == (250, 0, 0)).all()


def test_class_that_loses_every_image_is_refused_even_when_bad_files_are_skipped(photographs: Path):
    for number in range(100):
        content = encode(picture((220, 20, 20 + number)))
        (photographs / "train" / "red" / f"more.{number}.jpg").write_bytes(content)
    for file in (photographs / "validation" / "blue").iterdir():
        file.write_bytes(b"hello")
    refuse(photographs, "validation: no image", "is left of blue", on_bad="skip")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_folder_without_rights_is_named(photographs: Path):
    place = photographs / "train" / "red"
    place.chmod(0)
    try:
        refuse(photographs, "train/red", "Permission denied")
    finally:
        place.chmod(0o755)


def test_file_and_empty_folder_in_place_of_the_dataset(photographs: Path, tmp_path: Path):
    (tmp_path / "file").write_text("hello")
    (tmp_path / "empty").mkdir()
    refuse(tmp_path / "file", "a file, not a folder")
    refuse(tmp_path / "empty", "has no folder train, found nothing")


def test_missing_folder_and_missing_splits(photographs: Path, tmp_path: Path):
    refuse(tmp_path / "none", "no such folder", "epochlab prepare")
    refuse(photographs / "train", "has no folder train", "blue, red")


def test_empty_class_is_refused_and_named(photographs: Path):
    for split in ("train", "validation", "test"):
        (photographs / split / "green").mkdir()
    refuse(photographs, "train/green", "validation/green", "test/green")


def test_class_of_files_that_are_not_read_is_refused_with_their_suffix(photographs: Path):
    for name in ("a.tif", "b.TIF", "c.txt"):
        (photographs / "validation/red" / name).write_bytes(b"")
    for number in range(2):
        (photographs / f"validation/red/red.{number}.jpg").unlink()
    refuse(photographs, "no images in validation/red: only .tif (2), .txt (1), where .bmp .gif")


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
     ("1", "PNG"), ("RGB", "BMP"), ("P", "BMP"), ("L", "BMP"), ("1", "BMP"), ("P", "GIF"),
     ("RGB", "WEBP")],
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


@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (288, 192), (64, 64), (2000, 3)])
@pytest.mark.parametrize("size", [(1, 1), (8, 8), (150, 150), (64, 97)])
def test_nearest_is_tensorflows_nearest(shape: tuple[int, int], size: tuple[int, int]):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    expected = tf.image.resize(image, size, method="nearest").numpy()
    np.testing.assert_array_equal(resize_image(image, size, "nearest", "stretch"), expected)


def test_area_averages_what_falls_into_a_pixel():
    image = np.arange(16, dtype=np.uint8).reshape(4, 4, 1)
    assert resize_image(image, (2, 2), "area", "stretch").ravel().tolist() == [2, 4, 10, 12]
