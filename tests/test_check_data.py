"""`epochlab check-data` on small generated images: what is found, what is told, what is skipped."""

import io
import json
import os
import random
import shutil
import socket
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from epochlab import cli
from epochlab.contact_sheets import Group, Tile, plot_contact_sheet
from epochlab.data import threads
from epochlab.data.checking import inspection, report
from epochlab.data.checking.file_types import fits_suffix, recognise_type
from epochlab.data.checking.looks import Look, describe_look, find_like_pairs
from epochlab.data.checking.report import Report, check_folder
from epochlab.data.checking.skip_list import format_skip_list, read_skip_list
from epochlab.data.checking.suspects import choose_suspects
from epochlab.data.listing import list_images
from epochlab.errors import DataError

Answer = tuple[int, str, str]
Found = dict[tuple[str, ...], str]

COUNTS = {"train": 10, "validation": 2, "test": 2}
SIZE = (64, 48)


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """Runs `epochlab check-data ARGUMENTS` in this process: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    # The command hides accelerators from its process; here it is the tests' process.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    def run(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["epochlab", "check-data", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


def picture(seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """Soft spots of colour: each seed looks different from any other."""
    spots = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(spots).resize(size, Image.Resampling.BICUBIC)


def encode(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    written = io.BytesIO()
    image.save(written, kind, **options)
    return written.getvalue()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A dataset without a fault: two classes with 10, 2 and 2 different images."""
    folder = tmp_path / "pets"
    seed = 0
    for split, count in COUNTS.items():
        for label in ("cat", "dog"):
            (folder / split / label).mkdir(parents=True)
            for number in range(count):
                (folder / split / label / f"{number}.jpg").write_bytes(encode(picture(seed)))
                seed += 1
    return folder


def found(result: Report, name: str) -> Found:
    """The items of one kind: paths -> reason."""
    return {
        item.paths: item.reason
        for finding in result.findings
        if finding.name == name
        for item in finding.items
    }


def kinds(result: Report) -> list[str]:
    return [finding.name for finding in result.findings]


def assert_refused(answer: Answer, code: int, *words: str) -> None:
    assert answer[0] == code, answer
    assert answer[2].startswith("error: ") and "Traceback" not in answer[2]
    assert answer[1] == ""
    for word in words:
        assert word in answer[2]


def test_faultless_dataset_has_no_finding(root: Path):
    result = check_folder(root)
    assert kinds(result) == []
    assert result.skip == {} and not result.is_harmful
    assert result.counts == {split: {"cat": n, "dog": n} for split, n in COUNTS.items()}
    assert result.types == {"JPEG": 28} and result.modes == {"RGB": 28}


def test_folder_of_class_folders_is_checked_too(root: Path):
    (root / "train/cat/bad.jpg").write_bytes(b"")
    shutil.copy(root / "train/cat/3.jpg", root / "train/cat/copy.jpg")
    result = check_folder(root / "train")
    assert kinds(result) == ["undecodable", "repeated"]
    assert result.counts == {"images": {"cat": 12, "dog": 10}}
    assert list(result.skip) == ["cat/bad.jpg", "cat/copy.jpg"]


# Files that cannot be decoded, and what they are.


def break_checksum(content: bytes) -> bytes:
    place = content.index(b"IDAT") + 8
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


PNG_CONTENT = encode(picture(99), "PNG")
UNDECODABLE: list[tuple[str, Callable[[bytes], bytes], str]] = [
    ("empty.jpg", lambda _: b"", "is empty"),
    ("half.jpg", lambda content: content[: len(content) // 2], "cut off"),
    ("cut95.jpg", lambda content: content[: int(len(content) * 0.95)], "cut off"),
    ("checksum.png", lambda _: break_checksum(PNG_CONTENT), "damaged"),
    ("page.jpg", lambda _: b"<!DOCTYPE html><html>404</html>", "web page"),
    ("text.jpg", lambda _: b"not an image", "is no image"),
    ("tiff.jpg", lambda _: encode(picture(99), "TIFF"), "TIFF"),
    ("heic.jpg", lambda _: b"\0\0\0\x18ftypheic" + bytes(40), "HEIC"),
]


@pytest.mark.parametrize(
    ("name", "spoil", "reason"), UNDECODABLE, ids=[row[0] for row in UNDECODABLE]
)
def test_file_that_cannot_be_decoded_is_found_and_skipped(root: Path, name, spoil, reason):
    content = spoil((root / "train/cat/0.jpg").read_bytes())
    (root / "train/cat" / name).write_bytes(content)
    result = check_folder(root)
    assert found(result, "undecodable").keys() == {(f"train/cat/{name}",)}
    assert reason in found(result, "undecodable")[(f"train/cat/{name}",)]
    assert reason in result.skip[f"train/cat/{name}"] and result.is_harmful


def make_bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is large."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


def test_bomb_is_refused_from_its_header(root: Path):
    (root / "train/cat/bomb.png").write_bytes(make_bomb(30_000, 30_000))
    result = check_folder(root)
    assert "pixels" in found(result, "undecodable")[("train/cat/bomb.png",)]


def test_huge_file_is_not_read(root: Path, monkeypatch):
    monkeypatch.setattr(inspection, "MAXIMUM_BYTES", 10_000)
    with (root / "train/cat/huge.jpg").open("wb") as written:
        written.truncate(10_001)
    result = check_folder(root)
    assert result.skip == {"train/cat/huge.jpg": "has 10,001 bytes; at most 10,000 are read"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_without_read_permission_is_a_finding(root: Path):
    (root / "train/cat/0.jpg").chmod(0)
    assert "Permission denied" in check_folder(root).skip["train/cat/0.jpg"]


def test_file_that_vanishes_meanwhile_is_a_finding(root: Path, monkeypatch):
    layout = report.read_layout(root)
    (root / "train/cat/0.jpg").unlink()
    monkeypatch.setattr(report, "read_layout", lambda _: layout)
    reason = check_folder(root).skip["train/cat/0.jpg"]
    assert reason.startswith("cannot be read (No such file")


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (encode(picture(0)), "JPEG"),
        (PNG_CONTENT, "PNG"),
        (encode(picture(0), "GIF"), "GIF"),
        (encode(picture(0), "BMP"), "BMP"),
        (encode(picture(0), "WEBP"), "WebP"),
        (encode(picture(0), "TIFF"), "TIFF"),
        (b"MM\0*" + bytes(20), "TIFF"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b"\0\0\0\x18ftypavif", "AVIF"),
        (b"\0\0\0\x18ftypmp42", "video"),
        (b"\n <HTML>", "web page"),
        (b'<?xml version="1.0"?><svg>', "SVG"),
        (b"RIFF\0\0\0\0WAVE", None),
        (b"hello", None),
        (b"", None),
    ],
)
def test_type_by_the_first_bytes(content: bytes, name: str | None):
    assert recognise_type(content) == name


def test_suffixes_fit_whatever_their_case():
    assert fits_suffix("a/1.JPG", "JPEG") and fits_suffix("1.jpeg", "JPEG")
    assert not fits_suffix("1.png", "JPEG") and not fits_suffix("1.jpg", "HEIC")


def test_wrong_suffix_names_the_real_type_of_readable_and_unreadable_files(root: Path):
    (root / "train/cat/webp.jpg").write_bytes(encode(picture(90), "WEBP"))
    (root / "train/cat/tiff.jpg").write_bytes(encode(picture(91), "TIFF"))
    (root / "train/cat/right.PNG").write_bytes(encode(picture(92), "PNG"))
    result = check_folder(root)
    assert found(result, "wrong_suffix") == {
        ("train/cat/tiff.jpg",): "its content is TIFF",
        ("train/cat/webp.jpg",): "its content is WebP",
    }
    assert list(result.skip) == ["train/cat/tiff.jpg"]


# What is no fault, but good to know.


MODES = [
    ("CMYK", "JPEG", "CMYK"),
    ("LA", "PNG", "LA"),
    ("RGBA", "PNG", "RGBA"),
    ("P", "PNG", "palette"),
    ("1", "PNG", "1-bit"),
    ("I;16", "PNG", "16-bit"),
]


@pytest.mark.parametrize(("mode", "kind", "name"), MODES, ids=[row[0] for row in MODES])
def test_colour_mode_is_counted_and_its_treatment_told(root: Path, mode, kind, name):
    grey = np.asarray(picture(90).convert("L"), np.uint16)
    image = Image.fromarray(grey * 256) if mode == "I;16" else picture(90).convert(mode)
    path = f"train/cat/odd.{'jpg' if kind == 'JPEG' else 'png'}"
    (root / path).write_bytes(encode(image, kind))
    result = check_folder(root)
    assert result.modes == {"RGB": 28, name: 1}
    assert found(result, "color_mode").keys() == {(path,)}
    assert kinds(result) == ["color_mode"] and not result.is_harmful


def test_sixteen_bits_per_channel_and_transparent_colours_are_told_apart(root: Path):
    wide = bytearray(PNG_CONTENT)
    # A PNG of 16 bits per channel: the header alone is looked at, so that depth and CRC suffice.
    wide[24] = 16
    wide[29:33] = struct.pack(">I", zlib.crc32(bytes(wide[12:29])))
    assert inspection.read_header(bytes(wide)).mode == "16-bit"
    keyed = encode(picture(90), "PNG", transparency=(1, 2, 3))
    assert inspection.read_header(keyed).mode == "RGBA"


def test_grey_is_counted_and_no_finding(root: Path):
    (root / "train/cat/grey.jpg").write_bytes(encode(picture(90).convert("L")))
    result = check_folder(root)
    assert result.modes == {"RGB": 28, "grey": 1} and kinds(result) == []


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_told_unless_upright(kind: str, orientation: int):
    exif = Image.Exif()
    exif[0x0112] = orientation
    header = inspection.read_header(encode(picture(90), kind, exif=exif))
    assert header.orientation == orientation


def test_orientation_is_a_note_with_the_rule(root: Path):
    for orientation in (1, 6):
        exif = Image.Exif()
        exif[0x0112] = orientation
        content = encode(picture(90 + orientation), exif=exif)
        (root / f"train/cat/turned{orientation}.jpg").write_bytes(content)
    result = check_folder(root)
    (finding,) = result.findings
    assert found(result, "orientation") == {
        ("train/cat/turned6.jpg",): "orientation 6: turn it by 90 degrees to the right"
    }
    assert "does not apply it" in finding.kind.advice and not result.is_harmful


DAMAGED_EXIF = [b"", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff", b"\0" * 30]


@pytest.mark.parametrize("raw", DAMAGED_EXIF)
def test_damaged_exif_is_no_orientation_and_no_fault(root: Path, raw: bytes):
    content = encode(picture(90), exif=b"Exif\0\0" + raw)
    (root / "train/cat/exif.jpg").write_bytes(content)
    assert kinds(check_folder(root)) == []


@pytest.mark.parametrize("kind", ["GIF", "PNG"])
def test_animated_image_is_told(root: Path, kind: str):
    frames = [picture(90), picture(91), picture(92)]
    path = root / f"train/cat/moving.{kind.lower()}"
    path.write_bytes(encode(frames[0], kind, save_all=True, append_images=frames[1:]))
    result = check_folder(root)
    assert found(result, "animated").keys() == {(f"train/cat/moving.{kind.lower()}",)}
    assert result.skip == {}


def test_several_pictures_in_a_jpeg_are_no_animation():
    content = encode(picture(90), "MPO", save_all=True, append_images=[picture(91)])
    assert not inspection.read_header(content).animated


@pytest.mark.parametrize(
    ("size", "words"),
    [((31, 40), "a side of less than 32"), ((40, 31), "a side"), ((161, 40), "4 to 1"),
     ((40, 161), "4 to 1"), ((32, 32), None), ((160, 40), None)],
)  # fmt: skip
def test_odd_size_is_told(root: Path, size, words):
    (root / "train/cat/odd.png").write_bytes(encode(picture(90, size), "PNG"))
    items = found(check_folder(root), "odd_size")
    assert (words is None and not items) or words in items[("train/cat/odd.png",)]


# Classes.


def test_empty_class_folder_is_a_problem(root: Path):
    for split in COUNTS:
        (root / split / "mouse").mkdir()
    result = check_folder(root)
    assert kinds(result) == ["empty_class"] and result.is_harmful
    assert found(result, "empty_class")[("test/mouse",)] == "has no images"


def test_class_whose_images_are_all_skipped_is_empty(root: Path):
    for number in range(2):
        (root / f"test/cat/{number}.jpg").write_bytes(b"")
    result = check_folder(root)
    assert found(result, "empty_class") == {("test/cat",): "all 2 images are on the skip list"}


def test_class_missing_from_a_split_is_a_problem(root: Path):
    shutil.rmtree(root / "validation/dog")
    result = check_folder(root)
    assert kinds(result) == ["missing_class"] and result.is_harmful
    reason = found(result, "missing_class")[("validation/dog",)]
    assert "train and test have that class" in reason


def test_missing_test_split_is_a_problem_and_missing_validation_is_none(root: Path):
    shutil.rmtree(root / "validation")
    assert kinds(check_folder(root)) == []
    shutil.rmtree(root / "test")
    assert found(check_folder(root), "missing_split").keys() == {("test",)}


def test_single_class_is_a_problem(root: Path):
    shutil.rmtree(root / "train/dog")
    result = check_folder(root / "train")
    assert "two or more" in found(result, "missing_class")[("cat",)]


def test_tiny_class_is_a_warning_below_ten_images_in_train(root: Path):
    (root / "train/cat/9.jpg").unlink()
    result = check_folder(root)
    assert found(result, "tiny_class") == {("train/cat",): "9 images, fewer than 10"}
    assert not result.is_harmful


def test_strong_imbalance_is_a_warning_beyond_ten_to_one(root: Path):
    for number in range(1, 10):
        (root / f"train/dog/{number}.jpg").unlink()
    assert found(check_folder(root), "imbalance") == {}
    (root / "train/cat/new.jpg").write_bytes(encode(picture(90)))
    result = check_folder(root)
    assert found(result, "imbalance") == {
        ("train/cat", "train/dog"): "11 images and 1, 11 times as many"
    }
    assert not result.is_harmful


# Exact duplicates.


def copy(root: Path, source: str, *destinations: str) -> None:
    for destination in destinations:
        shutil.copy(root / source, root / destination)


def test_of_copies_in_one_split_all_but_the_first_are_skipped(root: Path):
    copy(root, "train/cat/5.jpg", "train/cat/a.jpg", "train/cat/b.jpg")
    result = check_folder(root)
    paths = ("train/cat/5.jpg", "train/cat/a.jpg", "train/cat/b.jpg")
    assert found(result, "repeated").keys() == {paths}
    assert result.skip == dict.fromkeys(paths[1:], "the same bytes as train/cat/5.jpg")
    assert kinds(result) == ["repeated"]  # and not near duplicates, too


@pytest.mark.parametrize(
    ("source", "copies", "kept"),
    [
        ("train/cat/5.jpg", ["test/cat/x.jpg"], "test/cat/x.jpg"),
        ("train/cat/5.jpg", ["validation/cat/x.jpg"], "validation/cat/x.jpg"),
        ("test/cat/0.jpg", ["validation/cat/x.jpg"], "test/cat/0.jpg"),
        ("test/cat/0.jpg", ["validation/cat/x.jpg", "train/cat/x.jpg"], "test/cat/0.jpg"),
        ("test/cat/0.jpg", ["test/cat/x.jpg", "train/cat/x.jpg"], "test/cat/0.jpg"),
    ],
)
def test_of_copies_in_several_splits_train_gives_way_and_test_stays(root, source, copies, kept):
    copy(root, source, *copies)
    result = check_folder(root)
    (paths,) = found(result, "leak")
    assert paths[0] == kept and set(paths) == {source, *copies}
    assert set(result.skip) == {source, *copies} - {kept}


def test_of_copies_under_two_labels_all_are_skipped(root: Path):
    copy(root, "test/cat/0.jpg", "test/dog/x.jpg", "train/cat/x.jpg")
    result = check_folder(root)
    paths = ("test/cat/0.jpg", "test/dog/x.jpg", "train/cat/x.jpg")
    assert found(result, "two_labels") == {paths: "the same bytes are labelled cat and dog"}
    assert set(result.skip) == set(paths) and kinds(result) == ["two_labels"]


def test_empty_files_are_no_duplicates_of_each_other(root: Path):
    for name in ("a", "b"):
        (root / f"train/cat/{name}.jpg").write_bytes(b"")
    assert kinds(check_folder(root)) == ["undecodable"]


# Near duplicates.


ALIKE: list[tuple[str, Callable[[Image.Image], bytes]]] = [
    ("low quality", lambda image: encode(image, quality=20)),
    ("another format", lambda image: encode(image, "PNG")),
    ("half the size", lambda image: encode(image.resize((32, 24)), "PNG")),
    ("brighter", lambda image: encode(ImageEnhance.Brightness(image).enhance(1.1))),
    ("darker", lambda image: encode(ImageEnhance.Brightness(image).enhance(0.7))),
    ("grey", lambda image: encode(image.convert("L"))),
]


@pytest.mark.parametrize(("change", "make"), ALIKE, ids=[row[0] for row in ALIKE])
def test_slightly_changed_image_is_found_and_not_skipped(root: Path, change, make):
    (root / "test/cat/x.png").write_bytes(make(picture(3)))
    result = check_folder(root)
    assert list(found(result, "near_leak")) == [("test/cat/x.png", "train/cat/3.jpg")]
    assert result.skip == {} and not result.is_harmful


@pytest.mark.parametrize(
    ("path", "name"),
    [("train/cat/x.jpg", "near_repeated"), ("test/cat/x.jpg", "near_leak"),
     ("train/dog/x.jpg", "near_two_labels"), ("test/dog/x.jpg", "near_two_labels")],
)  # fmt: skip
def test_near_duplicates_are_told_apart_by_split_and_label(root: Path, path, name):
    (root / path).write_bytes(encode(picture(3), quality=30))
    (pair,) = found(check_folder(root), name)
    assert set(pair) == {path, "train/cat/3.jpg"}


def test_skip_near_treats_them_like_exact_ones_of_the_same_label(root: Path):
    (root / "test/cat/x.jpg").write_bytes(encode(picture(3), quality=30))
    (root / "train/dog/x.jpg").write_bytes(encode(picture(4), quality=30))
    for name, quality in (("x", 30), ("y", 40), ("z", 60)):
        (root / f"train/cat/{name}.jpg").write_bytes(encode(picture(5), quality=quality))
    skip = check_folder(root, skip_near=True).skip
    assert skip == {
        "train/cat/3.jpg": "looks the same as test/cat/x.jpg",
        **{f"train/cat/{name}.jpg": "looks the same as train/cat/5.jpg" for name in "xyz"},
    }


def test_different_images_are_not_alike():
    described = [describe_look(np.asarray(picture(seed))) for seed in range(300)]
    assert None not in described
    assert find_like_pairs([look for look in described if look], ["a"] * 300, ["b"] * 300) == []


def test_images_of_one_colour_are_told_and_not_compared(root: Path):
    for number in range(3):
        content = encode(Image.new("RGB", SIZE, (100 + 20 * number, 100, 100)))
        (root / f"train/cat/plain{number}.jpg").write_bytes(content)
    result = check_folder(root)
    assert kinds(result) == ["one_colour"]
    assert len(found(result, "one_colour")) == 3


def make_look(bits: int, pattern: int) -> Look:
    thumbnail = np.random.default_rng(pattern).integers(0, 256, 256, dtype=np.uint8)
    return Look(np.uint64(bits).tobytes(), thumbnail.tobytes())


def test_pairs_are_those_of_a_plain_search_across_blocks():
    generator = np.random.default_rng(0)
    patterns = [int(pattern) for pattern in generator.integers(0, 40, 300)]
    bits = [pattern * 0x0123456789ABCDEF % 2**64 for pattern in patterns]
    for number in range(300):
        for flipped in generator.choice(64, 5, replace=False):
            bits[number] ^= 1 << int(flipped)
    pairs = find_like_pairs(
        list(map(make_look, bits, patterns)),
        [f"split {number % 2}" for number in range(300)],
        ["one label"] * 300,
    )

    def distance(first: int, second: int) -> int:
        return (bits[first] ^ bits[second]).bit_count()

    expected = {
        second
        for second in range(300)
        if any(
            patterns[first] == patterns[second] and distance(first, second) <= 8
            for first in range(second)
        )
    }
    assert {pair.second for pair in pairs} == expected
    assert 50 < len(expected) < 300
    for pair in pairs:
        assert pair.first < pair.second and pair.distance == distance(pair.first, pair.second) <= 8


def test_alike_bits_of_images_that_differ_are_no_pair():
    for pattern, pairs in ((1, 1), (2, 0)):
        looked = [make_look(7, 1), make_look(7, pattern)]
        assert len(find_like_pairs(looked, ["train"] * 2, ["cat"] * 2)) == pairs


def test_many_alike_images_give_few_pairs():
    pairs = find_like_pairs([make_look(7, 1)] * 500, ["a", "b"] * 250, ["c"] * 500)
    assert len(pairs) == 499 + 498
    assert {pair.first for pair in pairs} == {0, 1}


def test_dropping_the_second_of_a_pair_keeps_what_only_resembles_a_dropped_one():
    # Each differs from the next in 8 bits, from the one after that in 16.
    chain = [make_look(2 ** (8 * step) - 1, 1) for step in range(4)]
    pairs = find_like_pairs(chain, ["train"] * 4, ["cat"] * 4)
    assert [(pair.first, pair.second) for pair in pairs] == [(0, 1), (1, 2), (2, 3)]
    dropped: set[int] = set()
    for pair in pairs:
        if pair.first not in dropped:
            dropped.add(pair.second)
    assert dropped == {1, 3}


# What is left alone.


def test_what_is_no_image_is_listed_and_never_opened(root: Path):
    folder = root / "train/cat"
    os.mkfifo(folder / "pipe.jpg")
    os.mkfifo(folder / "pipe.txt")
    (folder / "dead.jpg").symlink_to("nowhere")
    (folder / "out.jpg").symlink_to("/etc/passwd")
    (folder / "loop").symlink_to(root, target_is_directory=True)
    (folder / "notes.txt").write_text("hello")
    (folder / "photo.tiff").write_bytes(encode(picture(90), "TIFF"))
    (folder / ".hidden").mkdir()
    (folder / ".hidden/1.jpg").write_bytes(b"")
    (folder / "deep").mkdir()
    (folder / "deep/1.jpg").write_bytes(b"")
    (folder / ".DS_Store").write_bytes(b"")
    (root / "val/cat").mkdir(parents=True)
    (root / "val/cat/1.jpg").write_bytes(b"")
    (root / "prepared.json").write_text("{}")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(folder / "socket.jpg"))
        result = check_folder(root)
    suffix = "its suffix is none of .bmp .gif .jpeg .jpg .png .webp"
    assert found(result, "left_alone") == {
        ("train/cat/.hidden",): "hidden folder",
        ("train/cat/dead.jpg",): "symbolic link, never followed",
        ("train/cat/deep/1.jpg",): "does not lie directly in a class folder",
        ("train/cat/loop",): "symbolic link, never followed",
        ("train/cat/notes.txt",): suffix,
        ("train/cat/out.jpg",): "symbolic link, never followed",
        ("train/cat/photo.tiff",): f"{suffix}; its content is TIFF",
        ("train/cat/pipe.jpg",): "named pipe, never opened",
        ("train/cat/pipe.txt",): "named pipe, never opened",
        ("train/cat/socket.jpg",): "socket, never opened",
        ("val/cat/1.jpg",): "lies in none of train, validation, test",
    }
    assert not result.is_harmful


ODD_NAMES = ["a b", "new\nline", "e\u0301", "\u00e9", "-x", "\udcff", "\x1b[31m", "\u732b"]
ODD_NAMES += ["x" * 250]


def test_odd_names_work_and_stay_apart(root: Path, call):
    try:
        for number, name in enumerate(ODD_NAMES):
            (root / f"train/cat/{name}.jpg").write_bytes(encode(picture(90 + number)))
            (root / f"train/dog/{name}.jpg").write_bytes(name.encode("utf-8", "surrogateescape"))
    except OSError as error:
        pytest.skip(f"this file system refuses such names: {error}")
    code, out, _ = call(root, "--out", "out")
    assert code == 3
    assert "train/dog/\\x1b[31m.jpg: is no image" in out
    assert "train/dog/new\\nline.jpg: is" in out
    assert "\x1b" not in out and "\udcff" not in out
    expected = {f"train/dog/{name}.jpg" for name in ODD_NAMES}
    skip = read_skip_list(Path("out/skip.json"))
    assert set(skip) == expected
    assert not expected & set(list_images(root, skip=skip).paths)


# The report as a whole.


def spoil_in_many_ways(root: Path) -> None:
    (root / "train/cat/bad.jpg").write_bytes(b"")
    (root / "train/cat/webp.jpg").write_bytes(encode(picture(90), "WEBP"))
    (root / "train/cat/near.jpg").write_bytes(encode(picture(3), quality=30))
    (root / "train/dog/rgba.png").write_bytes(encode(picture(91).convert("RGBA"), "PNG"))
    copy(root, "train/cat/5.jpg", "train/cat/again.jpg", "test/cat/leak.jpg")
    copy(root, "train/cat/6.jpg", "train/dog/wrong.jpg")


def test_report_does_not_depend_on_the_order_of_files(root: Path, monkeypatch):
    spoil_in_many_ways(root)
    expected = json.dumps(check_folder(root).to_json())
    scandir = os.scandir

    class Shuffled:
        def __init__(self, path):
            with scandir(path) as listing:
                self.entries = list(listing)
            random.Random(1).shuffle(self.entries)

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(os, "scandir", Shuffled)
    assert json.dumps(check_folder(root).to_json()) == expected


def test_nothing_in_the_folder_is_changed(root: Path, call):
    spoil_in_many_ways(root)

    def state() -> dict[str, tuple[int, bytes]]:
        files = [path for path in root.rglob("*") if path.is_file()]
        return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}

    before = state()
    assert call(root)[0] == 3
    assert state() == before


def test_few_images_are_in_memory_at_a_time(root: Path, monkeypatch):
    open_now, most = 0, 0
    decode = inspection.decode_image

    def counted(content, color_mode):
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        decoded = decode(content, color_mode)
        open_now -= 1
        return decoded

    monkeypatch.setattr(inspection, "decode_image", counted)
    monkeypatch.setattr(threads, "SUBMITTED", 8)
    assert check_folder(root).num_images == 28
    assert most <= threads.THREADS


# The command.


def test_faultless_dataset_ends_with_zero_and_without_a_sheet(root: Path, call):
    code, out, err = call(root)
    assert (code, err) == (0, "")
    assert sorted(os.listdir("outputs/check-data/pets")) == ["report.json", "skip.json"]
    assert read_skip_list(Path("outputs/check-data/pets/skip.json")) == {}
    assert out.splitlines()[-1] == "nothing for the skip list"


def test_table_tells_counts_findings_advice_and_how_to_go_on(root: Path, call):
    spoil_in_many_ways(root)
    code, out, err = call(root)
    lines = out.splitlines()
    assert (code, err) == (3, "")
    assert ["cat", "14", "2", "3"] in [line.split() for line in lines]
    assert "problem       1  files that cannot be decoded" in lines
    assert f"{'':17}train/cat/bad.jpg: is empty" in lines
    assert any("--skip-near" in line for line in lines)
    assert lines[-2:] == [
        "to leave 5 files out, write into the YAML:",
        "  data.skip_list: outputs/check-data/pets/skip.json",
    ]
    assert max(map(len, lines)) <= 80 + len(str(root))


def test_skip_list_is_for_the_yaml_only_where_there_are_splits(root: Path, call):
    (root / "train/cat/bad.jpg").write_bytes(b"")
    out = call(root / "train", "--out", "there")[1]
    assert "data.skip_list" not in out
    assert out.splitlines()[-2:] == [
        "to leave out: 1 files, listed in there/skip.json",
        "training reads splits: make them with `epochlab prepare`, then check again there",
    ]


def test_long_lists_are_cut_and_counted(root: Path, call):
    for number in range(30):
        (root / f"train/cat/bad{number}.jpg").write_bytes(b"")
        (root / f"train/class{number:02}").mkdir()
    out = call(root)[1]
    assert f"{'':17}and 25 more\n" in out
    assert len([line for line in out.splitlines() if line.startswith("class")]) == 20
    assert "12 more" in out


def test_json_is_all_of_stdout_and_equals_the_file(root: Path, call):
    spoil_in_many_ways(root)
    code, out, err = call(root, "--json", "--out", "there")
    assert (code, err) == (3, "")
    told = json.loads(out)
    assert told == json.loads(Path("there/report.json").read_text())
    assert list(told) == [
        "format", "folder", "images", "counts", "types", "modes", "findings", "skip",
    ]  # fmt: skip
    assert told["folder"] == str(root)
    assert {finding["kind"]: finding["count"] for finding in told["findings"]} == {
        "undecodable": 1, "two_labels": 1, "leak": 1, "near_repeated": 1, "wrong_suffix": 1,
        "color_mode": 1,
    }  # fmt: skip
    assert out.isascii()


def test_skip_list_written_is_what_training_obeys(root: Path, call):
    spoil_in_many_ways(root)
    call(root, "--out", "there")
    written = json.loads(Path("there/skip.json").read_text())
    assert written["format"] == 1 and written["folder"] == str(root)
    assert list(written["skip"]) == [
        "train/cat/5.jpg", "train/cat/6.jpg", "train/cat/again.jpg", "train/cat/bad.jpg",
        "train/dog/wrong.jpg",
    ]  # fmt: skip
    listed = list_images(root, skip=read_skip_list(Path("there/skip.json")))
    assert not set(listed.paths) & set(written["skip"])


def test_skip_near_makes_the_exit_code_3(root: Path, call):
    (root / "train/cat/near.jpg").write_bytes(encode(picture(3), quality=30))
    assert call(root)[0] == 0
    assert call(root, "--skip-near")[0] == 3


def test_sheet_shows_suspects_and_goes_when_there_are_none(root: Path, call):
    spoil_in_many_ways(root)
    assert "suspects: there/suspects.png" in call(root, "--out", "there")[1]
    with Image.open("there/suspects.png") as sheet:
        assert sheet.width > 800 and sheet.height > 300
        assert sheet.info["Source"] == str(root)
    for path in ("bad", "webp", "near", "again", "5", "6"):
        (root / f"train/cat/{path}.jpg").unlink()
    call(root, "--out", "there")
    assert sorted(os.listdir("there")) == ["report.json", "skip.json"]


def test_sheet_is_bounded_and_takes_from_every_kind(root: Path):
    for number in range(100):
        (root / f"train/cat/bad{number:02}.jpg").write_bytes(b"")
    copy(root, "train/cat/5.jpg", "test/cat/leak.jpg")
    suspects = choose_suspects(check_folder(root).findings, 40)
    assert sum(len(suspect.paths) for suspect in suspects) == 40
    assert suspects[-1].paths == ("test/cat/leak.jpg", "train/cat/5.jpg")
    assert [suspect.decodable for suspect in suspects] == [False] * 38 + [True]


def test_sheet_with_odd_shapes_and_letters_is_drawn(tmp_path: Path):
    tall, wide = np.zeros((200, 1, 3), np.uint8), np.zeros((1, 200, 3), np.uint8)
    pair = Group("a pair", [Tile(tall, "\u732b $x$\n" + "y" * 300), Tile(wide, "\udcff")])
    groups = [pair, Group("alone", [Tile(None, "")]), pair, pair]
    plot_contact_sheet(tmp_path / "sheet.png", groups, title="\U0001f431", provenance={})
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width < 1300


@pytest.mark.parametrize("kind", ["missing", "file", "pipe", "empty", "flat"])
def test_bad_folder_is_refused_in_one_message(root: Path, call, kind: str):
    folder = root / "new"
    if kind == "file":
        folder.write_text("x")
    elif kind == "pipe":
        os.mkfifo(folder)
    elif kind != "missing":
        folder.mkdir()
    if kind == "flat":
        copy(root, "train/cat/0.jpg", "new/0.jpg")
    word = {"missing": "no such folder", "flat": "0.jpg", "empty": "nothing"}.get(kind, "a file")
    assert_refused(call(folder), 3, "new", word)
    assert not Path("outputs").exists()


@pytest.mark.parametrize("place", ["cat", "train/cat"])
def test_images_of_another_kind_alone_are_named(tmp_path: Path, call, place: str):
    (tmp_path / "scans" / place).mkdir(parents=True)
    for number in range(3):
        (tmp_path / "scans" / place / f"{number}.tif").write_bytes(encode(picture(0), "TIFF"))
    words = "only .tif (3), where .bmp .gif .jpeg .jpg .png .webp are read; convert them"
    assert_refused(call("scans"), 3, "scans: expected images in folders", words)


def test_outputs_in_the_checked_folder_or_below_a_file_are_refused(root: Path, call):
    assert_refused(call(root, "--out", root / "out"), 2, "--out")
    assert_refused(call(root, "--out", root), 2, "--out")
    Path("file").write_text("precious")
    assert_refused(call(root, "--out", "file/out"), 5, "--out")
    assert Path("file").read_text() == "precious"


def test_interrupt_ends_with_130_and_writes_nothing(root: Path, call, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(report, "find_exact_copies", interrupt)
    assert call(root) == (130, "", "")
    assert not Path("outputs").exists()


@pytest.mark.slow
def test_process_of_its_own_is_quiet_about_damaged_images(root: Path):
    content = (root / "train/cat/0.jpg").read_bytes()
    (root / "train/cat/half.jpg").write_bytes(content[: len(content) // 2])
    code = "from epochlab import cli; cli.main()"
    ended = subprocess.run(
        [sys.executable, "-c", code, "check-data", root],
        cwd=root.parent,
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stderr) == (3, "")
    assert "train/cat/half.jpg: is damaged" in ended.stdout


def test_help_says_what_the_exit_code_means(call):
    code, out, _ = call("--help")
    assert code == 0 and "exit code is 3" in out


# Reading a skip list.


def test_skip_list_comes_back_as_it_was_written(tmp_path: Path):
    skip = {"train/cat/\udcff\n.jpg": "is empty", "train/cat/a.jpg": "r\u00e9sum\u00e9"}
    (tmp_path / "skip.json").write_text(format_skip_list("fold\udcffer", skip), encoding="ascii")
    assert read_skip_list(tmp_path / "skip.json") == skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", ["is no skip list"]),
        ("", ["is no skip list"]),
        ("[" * 100_000, ["is no skip list"]),
        ("[]", ["got a list"]),
        ("{}", ["format 1", "got format none"]),
        ('{"format": 2, "skip": {}}', ["got format 2"]),
        ('{"format": 1}', ["skip", "got none"]),
        ('{"format": 1, "skip": ["a"]}', ["skip", "got a list"]),
        ('{"format": 1, "skip": {"a.jpg": null}}', ['"a.jpg"', "got null"]),
        ('{"format": 1, "skip": {"/a.jpg": "x"}}', ['"/a.jpg"', "below the folder"]),
        ('{"format": 1, "skip": {"../a.jpg": "x"}}', ['"../a.jpg"', "below the folder"]),
        ('{"format": 1, "skip": {"": "x"}}', ["below the folder"]),
    ],
)
def test_what_is_no_skip_list_is_refused(tmp_path: Path, text: str, words: list[str]):
    path = tmp_path / "skip.json"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read_skip_list(path)
    for word in [str(path), "check-data", *words]:
        assert word in str(caught.value)


def test_missing_skip_list_folder_or_other_encoding_is_refused(tmp_path: Path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\0")
    for name, word in (("none", "no such"), (".", "cannot be read"), ("binary", "no skip list")):
        with pytest.raises(DataError, match=word):
            read_skip_list(tmp_path / name)


@pytest.mark.skipif("EPOCHLAB_CATS_DOGS" not in os.environ, reason="needs real photographs")
def test_real_photographs_have_two_near_duplicates(tmp_path: Path):
    (tmp_path / "set").mkdir()
    for name in ("cat", "dog"):
        (tmp_path / "set" / name).mkdir()
        for path in Path(os.environ["EPOCHLAB_CATS_DOGS"]).glob(f"{name}.*.jpg"):
            shutil.copy(path, tmp_path / "set" / name)
    result = check_folder(tmp_path / "set")
    assert set(found(result, "near_repeated")) == {
        ("cat/cat.4126.jpg", "cat/cat.4575.jpg"),
        ("dog/dog.180.jpg", "dog/dog.74.jpg"),
    }
