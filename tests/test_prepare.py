"""`epochlab prepare`, called as a user calls it, on files of a few bytes."""

import errno
import fcntl
import hashlib
import json
import os
import re
import socket
import stat
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from epochlab import cli
from epochlab.data import listing
from epochlab.data.prepare import archive, building, placing, splits
from epochlab.data.sources import Source

Answer = tuple[int, str, str]


@pytest.fixture
def call(monkeypatch, capsys):
    """Runs `epochlab ARGUMENTS` in this process: exit code, stdout, stderr."""

    def run(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["epochlab", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


@pytest.fixture
def few(monkeypatch):
    """The split by number takes 3 + 2 + 2 images of each class."""
    for name, count in {"train": 3, "validation": 2, "test": 2}.items():
        monkeypatch.setitem(splits.NUMBER_COUNTS, name, count)


def make_files(folder: Path, names: Iterable[str]) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"image {name}".encode("utf-8", "surrogateescape"))
    return folder


def make_zip(path: Path, names: Iterable[str | zipfile.ZipInfo]) -> Path:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as opened:
        warnings.simplefilter("ignore", UserWarning)  # zipfile's own, of duplicate names
        for name in names:
            opened.writestr(name, b"image")
    return path


def flat_names(numbers: Iterable[int]) -> list[str]:
    return [f"{name}.{number}.jpg" for number in numbers for name in ("cat", "dog")]


def class_names(classes: dict[str, int]) -> list[str]:
    return [f"{name}/{index}.png" for name, count in classes.items() for index in range(count)]


def files_in(folder: Path) -> set[str]:
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return found - {"prepared.json"}


def manifest_of(folder: Path) -> dict:
    return json.loads((folder / "prepared.json").read_text())


def assert_refused(answer: Answer, code: int, *words: str) -> None:
    """One message on stderr, no table on stdout."""
    assert answer[0] == code, answer
    assert answer[2].startswith("error: ") and "Traceback" not in answer[2]
    assert "prepared:" not in answer[1]
    for word in words:
        assert word in answer[2]


# What is found, and how it is split.


@pytest.mark.usefixtures("few")
def test_split_by_number_takes_the_numbers_present_in_order(call, tmp_path):
    make_files(tmp_path / "flat", flat_names([0, 2, 10, 11, 12, 100, 2000, 2001]))
    assert call("prepare", "cats-dogs", tmp_path / "flat", tmp_path / "out")[0] == 0
    numbers = {"train": [0, 2, 10], "validation": [11, 12], "test": [100, 2000]}
    assert files_in(tmp_path / "out") == {
        f"{split}/{name}/{name}.{number}.jpg"
        for split, chosen in numbers.items()
        for name in ("cat", "dog")
        for number in chosen
    }
    assert manifest_of(tmp_path / "out")["left_out"] == 2


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(
    "pattern",
    ["train/{name}.{number}.jpg", "PetImages/{Name}/{number}.jpg", "{Name}/{number}.jpg"],
)
@pytest.mark.parametrize("packed", [False, True])
def test_layouts_of_kaggle_and_microsoft_give_the_same(call, tmp_path, pattern, packed):
    names = [
        pattern.format(name=name, Name=name.capitalize(), number=number)
        for name in ("cat", "dog")
        for number in range(1, 8)
    ]
    names += ["readme[1].txt"]
    source = (
        make_zip(tmp_path / "set.zip", names) if packed else make_files(tmp_path / "set", names)
    )
    code, out, _ = call("prepare", "cats-dogs", source, tmp_path / "out")
    assert code == 0
    assert "readme[1].txt: is not named cat.N.jpg" in out
    assert {"train/cat/cat.1.jpg", "validation/dog/dog.5.jpg"} < files_in(tmp_path / "out")
    assert len(files_in(tmp_path / "out")) == 14


@pytest.mark.usefixtures("few")
def test_zip_is_extracted_byte_by_byte(call, tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as opened:
        for name in flat_names(range(7)):
            opened.writestr(name, f"bytes of {name}" * 100)
    assert call("prepare", "cats-dogs", tmp_path / "set.zip", tmp_path / "out")[0] == 0
    assert (tmp_path / "out/test/dog/dog.6.jpg").read_text() == "bytes of dog.6.jpg" * 100


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["notes.txt"], ["found no images", "cat.N.jpg"]),
        (["train.zip", "sampleSubmission.csv"], ["train.zip", "unpack"]),
        (flat_names(range(6)), ["class cat: has 6 images", "7", "--split"]),
        ([*flat_names(range(7)), "cat.06.jpg"], ["cat.06.jpg", "cat.6.jpg", "same"]),
        ([f"cat.{number}.jpg" for number in range(7)], ["no image of the class dog"]),
        (["a/cat.1.jpg", "b/cat.1.jpg"], ["a/cat.N.jpg, b/cat.N.jpg", "expected one"]),
    ],
)
def test_unfit_cats_and_dogs_are_refused(call, tmp_path, names, words):
    make_files(tmp_path / "set", names)
    assert_refused(call("prepare", "cats-dogs", tmp_path / "set", tmp_path / "out"), 3, *words)
    assert os.listdir(tmp_path) == ["set"]


def test_ratio_splits_every_class(call, tmp_path):
    make_files(tmp_path / "set", class_names({"rose": 20, "tulip": 7, "ant": 3}))
    arguments = ("prepare", "folder", tmp_path / "set", tmp_path / "out")
    assert call(*arguments, "--split", "0.7,0.15,0.15")[0] == 0
    assert manifest_of(tmp_path / "out")["counts"] == {
        "train": {"ant": 1, "rose": 14, "tulip": 5},
        "validation": {"ant": 1, "rose": 3, "tulip": 1},
        "test": {"ant": 1, "rose": 3, "tulip": 1},
    }


def test_ratio_split_depends_on_the_seed_and_not_on_the_order_of_files(call, tmp_path):
    names = class_names({"a": 30, "b": 30})
    sources = [
        make_files(tmp_path / "one", names),
        make_files(tmp_path / "two", reversed(names)),
        make_zip(tmp_path / "three.zip", names[7:] + names[:7]),
    ]
    for number, (source, seed) in enumerate([*((path, 0) for path in sources), (sources[0], 1)]):
        destination = tmp_path / f"out{number}"
        call("prepare", "folder", source, destination, "--split", "0.5,0.3,0.2", "--seed", seed)
    first, second, third, other = (files_in(tmp_path / f"out{number}") for number in range(4))
    assert first == second == third
    assert len(first) == len(other) == 60 and first != other


def test_added_image_moves_a_few_others_of_its_class_only(call, tmp_path):
    names = class_names({"a": 200, "b": 200})
    for number, given in enumerate([names, [*names, "a/new.png"]]):
        make_files(tmp_path / f"set{number}", given)
        arguments = ("prepare", "folder", tmp_path / f"set{number}", tmp_path / f"out{number}")
        call(*arguments, "--split", "0.7,0.15,0.15")
    moved = files_in(tmp_path / "out0") - files_in(tmp_path / "out1")
    assert len(moved) <= 3
    assert not any("/b/" in path for path in moved)


def test_share_of_zero_makes_no_folder(call, tmp_path):
    make_files(tmp_path / "set", class_names({"a": 4, "b": 4}))
    arguments = ("prepare", "folder", tmp_path / "set", tmp_path / "out")
    assert call(*arguments, "--split", "0.5,0.5,0")[0] == 0
    assert sorted(os.listdir(tmp_path / "out")) == ["prepared.json", "train", "validation"]


def test_wrapping_folder_is_looked_through(call, tmp_path):
    make_files(tmp_path / "set/flowers", class_names({"a": 3, "b": 3}))
    arguments = ("prepare", "folder", tmp_path / "set", tmp_path / "out")
    assert call(*arguments, "--split", "0.4,0.3,0.3")[0] == 0
    assert sorted(os.listdir(tmp_path / "out/train")) == ["a", "b"]


def test_a_thousand_classes_end_in_a_short_table(call, tmp_path):
    make_files(tmp_path / "set", class_names({f"class{number:04}": 1 for number in range(1000)}))
    arguments = ("prepare", "folder", tmp_path / "set", tmp_path / "out")
    code, out, _ = call(*arguments, "--split", "1,0,0")
    assert code == 0 and len(out.splitlines()) < 30
    assert re.search(r"^980 more +980 +0 +0$", out, re.MULTILINE)


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ({"a": 5}, ["two or more classes, found 1"]),
        ({"a": 5, "b": 2}, ["class b: has 2 images", "too few"]),
        ({"train": 5, "validation": 5}, ["has splits already"]),
    ],
)
def test_unfit_class_folders_are_refused(call, tmp_path, classes, words):
    make_files(tmp_path / "set", class_names(classes))
    arguments = ("prepare", "folder", tmp_path / "set", tmp_path / "out")
    assert_refused(call(*arguments, "--split", "0.7,0.15,0.15"), 3, *words)
    assert os.listdir(tmp_path) == ["set"]


@pytest.mark.parametrize("names", [[], ["notes.txt"]])
def test_class_without_images_is_refused(call, tmp_path, names):
    make_files(tmp_path / "set", class_names({"a": 5, "b": 5}))
    (tmp_path / "set/void").mkdir()
    make_files(tmp_path / "set/void", names)
    arguments = ("prepare", "folder", tmp_path / "set", tmp_path / "out")
    assert_refused(call(*arguments, "--split", "0.7,0.15,0.15"), 3, "void")
    assert os.listdir(tmp_path) == ["set"]


@pytest.mark.parametrize("suffix", ["tif", "TIFF", "heic"])
def test_source_of_images_that_training_does_not_read_is_refused_by_name(call, tmp_path, suffix):
    make_files(tmp_path / "set", [f"{c}/{number}.{suffix}" for c in "ab" for number in range(4)])
    arguments = ("prepare", "folder", tmp_path / "set", tmp_path / "out")
    words = f"class folders a, b: only .{suffix.lower()} (8), where .bmp .gif .jpeg .jpg .png .webp"
    assert_refused(call(*arguments, "--split", "0.5,0.25,0.25"), 3, words, "convert them")
    assert os.listdir(tmp_path) == ["set"]


def test_every_image_that_is_counted_is_one_that_training_lists(call, tmp_path):
    names = [f"{c}/{n}{suffix}" for c in "ab" for n, suffix in enumerate(listing.IMAGE_SUFFIXES)]
    others = ["a/scan.tif", "a/scan.tiff", "a/jpg", "b/.jpg", "b/x.JPG"]
    make_files(tmp_path / "set", names + others)
    arguments = ("prepare", "folder", tmp_path / "set", tmp_path / "out")
    assert call(*arguments, "--split", "0.5,0.25,0.25")[0] == 0
    skipped = {row["path"] for row in manifest_of(tmp_path / "out")["skipped"]}
    assert skipped == {"a/scan.tif", "a/scan.tiff", "a/jpg"}
    assert set(listing.list_images(tmp_path / "out").paths) == files_in(tmp_path / "out")
    assert len(files_in(tmp_path / "out")) == 2 * len(listing.IMAGE_SUFFIXES) + 2


# Flags.


@pytest.mark.parametrize(
    "split",
    ["", "0.7", "0.7,0.2", "0.7,0.2,0.2", "0,0.5,0.5", "nan,0,1", "1e0,0,0", "2,-1,0", "a,b,c"],
)
def test_bad_split_is_a_usage_error(call, tmp_path, split):
    make_files(tmp_path / "set", class_names({"a": 5, "b": 5}))
    arguments = ("prepare", "folder", tmp_path / "set", tmp_path / "out")
    assert_refused(call(*arguments, f"--split={split}"), 2, "--split", "0.7,0.15,0.15")


def test_flags_that_mean_nothing_are_usage_errors(call, tmp_path):
    source, out = make_zip(tmp_path / "set.zip", flat_names(range(7))), tmp_path / "out"
    assert_refused(call("prepare", "cats-dogs", source, out, "--seed", 1), 2, "--seed 1")
    assert_refused(call("prepare", "cats-dogs", source, out, "--link"), 2, "--link", "zip")
    assert_refused(call("prepare", "folder", source, out), 2, "--split")
    assert_refused(call("prepare", "cats-dogs", source), 2, "DEST", "--help")
    assert_refused(call("prepare", "cats-dogs", source, out, "--splt=1,0,0"), 2, "--splt")
    assert_refused(call(), 2, "epochlab --help")


def test_destination_in_the_source_is_refused(call, tmp_path):
    make_files(tmp_path / "set", flat_names(range(7)))
    assert_refused(call("prepare", "cats-dogs", tmp_path / "set", tmp_path / "set/out"), 2, "DEST")


def test_help_loads_neither_numpy_nor_tensorflow():
    code = (
        "import sys; sys.argv = ['epochlab', '--help']\n"
        "from epochlab import cli\n"
        "try: cli.main()\n"
        "except SystemExit as ended: assert not ended.code\n"
        "print({'numpy', 'tensorflow', 'keras', 'pydantic', 'rich'} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "prepare" in ended.stdout
    assert ended.stdout.splitlines()[-1] == "set()"


# Links, copies, and the second call.


@pytest.fixture
def flat(tmp_path, few) -> Path:
    """A folder of seven cats and seven dogs: what the split by number takes."""
    return make_files(tmp_path / "flat", flat_names(range(7)))


@pytest.mark.parametrize(("flags", "links"), [([], 2), (["--link"], 2), (["--copy"], 1)])
def test_files_are_hard_links_or_copies(call, flat, tmp_path, flags, links):
    assert call("prepare", "cats-dogs", flat, tmp_path / "out", *flags)[0] == 0
    assert (tmp_path / "out/train/cat/cat.0.jpg").stat().st_nlink == links


def test_copies_where_links_are_not_possible(call, flat, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    code, out, _ = call("prepare", "cats-dogs", flat, tmp_path / "out")
    assert code == 0 and "copied: 14 files" in out
    assert (tmp_path / "out/train/cat/cat.0.jpg").read_bytes() == b"image cat.0.jpg"


def test_table_and_last_line(call, flat, tmp_path):
    out = call("prepare", "cats-dogs", flat, tmp_path / "out")[1].splitlines()
    assert [line.split() for line in out[-5:-1]] == [
        ["class", "train", "validation", "test"],
        ["cat", "3", "2", "2"],
        ["dog", "3", "2", "2"],
        ["all", "6", "4", "4"],
    ]
    assert out[-1] == f"prepared: {tmp_path / 'out'}"


def test_second_call_verifies_and_changes_nothing(call, flat, tmp_path):
    call("prepare", "cats-dogs", flat, tmp_path / "out")
    before = (tmp_path / "out/prepared.json").stat()
    (tmp_path / "out/skip.txt").write_text("a list of ours, beside the splits")
    code, out, _ = call("prepare", "cats-dogs", flat, tmp_path / "out")
    assert code == 0 and "all 14 files verified" in out
    assert os.path.samestat(before, (tmp_path / "out/prepared.json").stat())
    assert sorted(os.listdir(tmp_path)) == ["flat", "out"]


def test_manifest_has_size_and_hash_of_every_file(call, flat, tmp_path):
    call("prepare", "cats-dogs", flat, tmp_path / "out")
    records = manifest_of(tmp_path / "out")["files"]
    assert records.keys() == files_in(tmp_path / "out")
    assert records["train/cat/cat.0.jpg"] == {
        "size": 15,
        "sha256": hashlib.sha256(b"image cat.0.jpg").hexdigest(),
        "source": "cat.0.jpg",
    }


def damage_byte(out: Path) -> None:
    (out / "train/cat/cat.0.jpg").write_bytes(b"image cat.X.jpg")


def remove_file(out: Path) -> None:
    (out / "train/cat/cat.0.jpg").unlink()


def add_file(out: Path) -> None:
    (out / "train/cat/other.jpg").write_bytes(b"")


def add_folder(out: Path) -> None:
    (out / "train/mouse").mkdir()


def exchange_for_pipe(out: Path) -> None:
    remove_file(out)
    os.mkfifo(out / "train/cat/cat.0.jpg")


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (damage_byte, ["train/cat/cat.0.jpg (changed)"]),
        (remove_file, ["train/cat/cat.0.jpg (missing)"]),
        (add_file, ["train/cat/other.jpg (too many)"]),
        (add_folder, ["train/mouse (too many)"]),
        (exchange_for_pipe, ["train/cat/cat.0.jpg (missing)"]),
    ],
)
def test_damaged_destination_is_refused_and_left_alone(call, flat, tmp_path, harm, words):
    call("prepare", "cats-dogs", flat, tmp_path / "out", "--copy")
    harm(tmp_path / "out")
    before = files_in(tmp_path / "out")
    answer = call("prepare", "cats-dogs", flat, tmp_path / "out", "--copy")
    assert_refused(answer, 3, *words, "prepare again")
    assert files_in(tmp_path / "out") == before


def test_destination_made_by_other_arguments_is_refused(call, flat, tmp_path):
    call("prepare", "cats-dogs", flat, tmp_path / "out", "--split", "0.4,0.3,0.3")
    before = files_in(tmp_path / "out")
    for flags, word in (
        ([], "split 0.4,0.3,0.3, asked for by number"),
        (["--split", "0.4,0.3,0.3", "--seed", "1"], "seed 0, asked for 1"),
        (["--split", "0.4,0.3,0.3", "--copy"], "storage link, asked for copy"),
    ):
        assert_refused(call("prepare", "cats-dogs", flat, tmp_path / "out", *flags), 3, word)
    assert files_in(tmp_path / "out") == before
    same = call("prepare", "cats-dogs", flat, tmp_path / "out", "--split", ".40,0.30,.3")
    assert same[0] == 0


def test_changed_source_is_noticed(call, flat, tmp_path):
    call("prepare", "cats-dogs", flat, tmp_path / "out")
    (flat / "cat.0.jpg").unlink()
    (flat / "cat.8.jpg").write_bytes(b"")
    answer = call("prepare", "cats-dogs", flat, tmp_path / "out")
    assert_refused(answer, 3, "has changed since", "train/cat/cat.0.jpg")


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 1}', '{"format": 2}', "\N{BULLET}"])
def test_damaged_manifest_is_refused(call, flat, tmp_path, content):
    make_files(tmp_path / "out", ["train/cat/cat.0.jpg"])
    (tmp_path / "out/prepared.json").write_text(content, encoding="utf-8")
    assert_refused(call("prepare", "cats-dogs", flat, tmp_path / "out"), 3, "prepared.json")


def test_foreign_destination_is_refused_and_left_alone(call, flat, tmp_path):
    make_files(tmp_path / "out", ["train/cat/cat.0.jpg"])
    (tmp_path / "file").write_text("precious")
    answer = call("prepare", "cats-dogs", flat, tmp_path / "out")
    assert_refused(answer, 3, "was not made by", "choose another DEST")
    assert_refused(call("prepare", "cats-dogs", flat, tmp_path / "file"), 3, "no folder")
    assert files_in(tmp_path) >= {"out/train/cat/cat.0.jpg", "file"}
    assert sorted(os.listdir(tmp_path)) == ["file", "flat", "out"]


def test_empty_destination_and_missing_parents_are_made(call, flat, tmp_path):
    (tmp_path / "empty").mkdir()
    assert call("prepare", "cats-dogs", flat, tmp_path / "empty")[0] == 0
    assert call("prepare", "cats-dogs", flat, tmp_path / "new/folder/out")[0] == 0
    assert len(files_in(tmp_path / "new/folder/out")) == 14


# Breaks in the middle.


def test_interrupt_leaves_nothing(call, flat, tmp_path, monkeypatch):
    read = Source.read

    def interrupted(self, file):
        if file.path == "dog.3.jpg":
            raise KeyboardInterrupt
        return read(self, file)

    monkeypatch.setattr(Source, "read", interrupted)
    assert call("prepare", "cats-dogs", flat, tmp_path / "new/out")[0] == 130
    assert os.listdir(tmp_path) == ["flat"]


def test_killed_call_leaves_no_destination_and_the_next_one_cleans_up(call, flat, tmp_path):
    code = (
        "import os, sys\n"
        "from epochlab import cli\n"
        "from epochlab.data.prepare import building\n"
        "building.write_manifest = lambda *_: os._exit(9)\n"
        "cli.main()"
    )
    arguments = ["prepare", "cats-dogs", str(flat), "out", "--split", "0.4,0.3,0.3"]
    ended = subprocess.run([sys.executable, "-c", code, *arguments], cwd=tmp_path)
    assert ended.returncode == 9
    assert sorted(os.listdir(tmp_path)) == [".out.epochlab-preparing", "flat"]
    assert call("prepare", "cats-dogs", flat, tmp_path / "out")[0] == 0
    assert sorted(os.listdir(tmp_path)) == ["flat", "out"]
    assert len(files_in(tmp_path / "out")) == 14


def test_two_calls_at_once_do_not_mix(call, flat, tmp_path):
    beside = tmp_path / ".out.epochlab-preparing"
    make_files(beside, ["train/cat/cat.0.jpg"])
    descriptor = os.open(beside, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    assert_refused(call("prepare", "cats-dogs", flat, tmp_path / "out"), 5, "just now")
    os.close(descriptor)
    assert files_in(beside) == {"train/cat/cat.0.jpg"}


def test_destination_that_another_made_meanwhile_is_not_overwritten(
    call, flat, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        building, "write_manifest", lambda *_: make_files(tmp_path / "out", ["other.jpg"])
    )
    assert_refused(call("prepare", "cats-dogs", flat, tmp_path / "out"), 3, "meanwhile")
    assert os.listdir(tmp_path / "out") == ["other.jpg"]
    assert sorted(os.listdir(tmp_path)) == ["flat", "out"]


def test_full_disk_is_told_before_and_survived_during(call, flat, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(placing, "_sync", refuse)
    answer = call("prepare", "cats-dogs", flat, tmp_path / "new/out")
    assert_refused(answer, 5, "No space left", "free some space")
    monkeypatch.setattr(placing.shutil, "disk_usage", lambda _: type("", (), {"free": 10}))
    answer = call("prepare", "cats-dogs", flat, tmp_path / "new/out", "--copy")
    assert_refused(answer, 5, "need 210 bytes, 10 are free")
    assert os.listdir(tmp_path) == ["flat"]


def test_destination_below_a_file_is_refused(call, flat, tmp_path):
    (tmp_path / "file").write_text("precious")
    answer = call("prepare", "cats-dogs", flat, tmp_path / "file/out")
    assert_refused(answer, 5, "cannot be written")
    assert (tmp_path / "file").read_text() == "precious"


def test_file_that_grows_while_it_is_read_is_refused(call, flat, tmp_path, monkeypatch):
    monkeypatch.setattr(Source, "read", lambda *_: iter([b"more than was listed"]))
    answer = call("prepare", "cats-dogs", flat, tmp_path / "out", "--copy")
    assert_refused(answer, 3, "cat.0.jpg", "being written")
    assert os.listdir(tmp_path) == ["flat"]


# Odd things in folders.


def test_links_pipes_and_sockets_are_listed_and_never_opened(call, flat, tmp_path):
    (tmp_path / "secret").write_text("not an image")
    (flat / "cat.100.jpg").symlink_to(tmp_path / "secret")
    (flat / "cat.101.jpg").symlink_to("nowhere")
    (flat / "loop").symlink_to(flat, target_is_directory=True)
    os.mkfifo(flat / "cat.-1.jpg")
    os.mkfifo(flat / "cat.102.jpg")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(flat / "socket.jpg"))
        assert call("prepare", "cats-dogs", flat, tmp_path / "out")[0] == 0
    assert {item["path"]: item["reason"] for item in manifest_of(tmp_path / "out")["skipped"]} == {
        "cat.-1.jpg": "named pipe, never opened",
        "cat.100.jpg": "symbolic link, never followed",
        "cat.101.jpg": "symbolic link, never followed",
        "cat.102.jpg": "named pipe, never opened",
        "loop": "symbolic link, never followed",
        "socket.jpg": "socket, never opened",
    }
    assert len(files_in(tmp_path / "out")) == 14


def test_odd_names_work_and_stay_apart(call, tmp_path):
    odd = ["a b", "new\nline", "e\u0301", "\u00e9", "-x", "\udcff", "A", "a", "x" * 250]
    names = [f"{name}.png" for name in odd]
    try:
        make_files(tmp_path / "set", [f"cl\n\udcffass/{name}" for name in names])
        make_files(tmp_path / "set", [f"-other/{name}" for name in names])
    except OSError as error:
        pytest.skip(f"this file system refuses such names: {error}")
    arguments = ("prepare", "folder", tmp_path / "set", tmp_path / "out", "--split", "0.4,0.3,0.3")
    for _ in range(2):
        code, out, _ = call(*arguments)
        assert code == 0
        assert re.search(r"^cl\\n\\udcffass +3 +3 +3$", out, re.MULTILINE)
    assert len(files_in(tmp_path / "out")) == 2 * len(names)


def test_what_systems_leave_is_ignored_and_hidden_folders_are_no_classes(call, tmp_path):
    make_files(tmp_path / "set", class_names({"a": 3, "b": 3}))
    make_files(tmp_path / "set", [".DS_Store", "a/Thumbs.db", "a/._0.png", "__MACOSX/a.png"])
    make_files(tmp_path / "set", [".ipynb_checkpoints/1.png", "a/2.svg", "b/deep/1.png"])
    arguments = ("prepare", "folder", tmp_path / "set", tmp_path / "out")
    assert call(*arguments, "--split", "0.4,0.3,0.3")[0] == 0
    assert sorted(os.listdir(tmp_path / "out/train")) == ["a", "b"]
    skipped = [item["path"] for item in manifest_of(tmp_path / "out")["skipped"]]
    assert skipped == [".ipynb_checkpoints", "a/2.svg", "b/deep/1.png"]


def test_missing_and_special_sources_are_refused(call, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    answer = call("prepare", "cats-dogs", tmp_path / "none", tmp_path / "out")
    assert_refused(answer, 3, "No such file", "give a folder or a zip")
    answer = call("prepare", "cats-dogs", tmp_path / "pipe", tmp_path / "out")
    assert_refused(answer, 3, "neither a folder nor a file")
    assert os.listdir(tmp_path) == ["pipe"]


# Hostile and damaged zips. Each also holds a whole set, so that nothing else is wrong with it.


def member(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo("placeholder")
    made.filename, made.external_attr = name, mode << 16
    return made


def assert_zip_refused(call, path: Path, *words: str) -> None:
    answer = call("prepare", "cats-dogs", path, path.parent / "new/out")
    assert_refused(answer, 3, path.name, *words)
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([member("../x.jpg")], ["../x.jpg", ".."]),
        ([member("a/../../x.jpg")], ["a/../../x.jpg", ".."]),
        ([member("/abs/x.jpg")], ["/abs/x.jpg", "absolute"]),
        ([member("C:/x.jpg")], ["C:/x.jpg", "absolute"]),
        ([member("a\\x.jpg")], ["backslash"]),
        ([member("a\nx/../x.jpg")], ["a\\nx/../x.jpg"]),
        ([member("x.jpg", stat.S_IFLNK | 0o777)], ["x.jpg", "symbolic link"]),
        ([member("x.jpg", stat.S_IFIFO | 0o644)], ["x.jpg", "no regular file"]),
        ([member("."), member(".")], ["no name"]),
        ([member("x" * 2000)], ["1,024 letters"]),
        ([member("x.jpg"), member("x.jpg")], ["x.jpg", "twice"]),
        ([member("x.jpg"), member("./x.jpg")], ["x.jpg", "twice"]),
        ([member("x.jpg"), member("X.JPG")], ["X.JPG", "x.jpg", "case"]),
        ([member("e\u0301.jpg"), member("\u00e9.jpg")], ["accents"]),
        ([member("Pets/1.jpg"), member("pets/2.jpg")], ["Pets", "pets", "case"]),
        ([member("x"), member("x/1.jpg")], ["x", "a file and a folder"]),
        ([member("x/1.jpg"), member("x")], ["x", "a file and a folder"]),
    ],
)
def test_member_that_could_do_harm_is_named(call, tmp_path, members, words):
    path = make_zip(tmp_path / "set.zip", [*flat_names(range(7)), *members])
    assert_zip_refused(call, path, *words, "nothing was written")


def patch_zip(path: Path, offset: int, value: bytes) -> None:
    """Overwrites bytes of the last entry of the archive's directory."""
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\1\2") + offset
    content[at : at + len(value)] = value
    path.write_bytes(content)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(
    ("offset", "value", "words"),
    [
        (8, b"\1\0", ["dog.6.jpg", "encrypted"]),
        (10, b"\x0c\0", ["dog.6.jpg", "method 12"]),
        (42, b"\0\0\0\0", ["shares its bytes"]),
        (8, b"\0\x08", ["no whole zip"]),
    ],
    ids=["encrypted", "method", "overlap", "not UTF-8"],
)
def test_member_with_a_bad_header_is_refused(call, tmp_path, offset, value, words):
    names = flat_names(range(7))
    path = make_zip(tmp_path / "set.zip", names)
    if "no whole zip" in words:
        patch_zip(path, 46, b"\xff")
    patch_zip(path, offset, value)
    assert_zip_refused(call, path, *words)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ("MAXIMUM_MEMBERS", ["holds 14 members", "10 allowed"]),
        ("MAXIMUM_BYTES", ["unpacks to 70 bytes", "10 allowed"]),
        ("MAXIMUM_DIRECTORY_BYTES", ["list of members", "10 allowed"]),
    ],
)
def test_caps_on_the_whole_archive(call, tmp_path, monkeypatch, limit, words):
    monkeypatch.setattr(archive, limit, 10)
    path = make_zip(tmp_path / "set.zip", flat_names(range(7)))
    assert_zip_refused(call, path, *words)


@pytest.mark.usefixtures("few")
def test_bomb_of_zeros_is_refused(call, tmp_path):
    path = make_zip(tmp_path / "set.zip", flat_names(range(7)))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("bomb.jpg", bytes(2**21))
    assert_zip_refused(call, path, "100 times")
    with zipfile.ZipFile(path, "a") as opened:
        opened.writestr("noise.jpg", os.urandom(2**18))
    assert_zip_refused(call, path, "bomb.jpg unpacks to 2,097,152 bytes")


@pytest.mark.usefixtures("few")
def test_damaged_member_is_named_and_nothing_stays(call, tmp_path):
    path = make_zip(tmp_path / "set.zip", flat_names(range(7)))
    path.write_bytes(path.read_bytes().replace(b"image", b"imAge", 1))
    assert_zip_refused(call, path, "cat.0.jpg", "CRC", "fetch the archive again")


@pytest.mark.parametrize("content", [b"", b"PK", b"<html>404</html>", b"PK\5\6" + bytes(18)])
def test_what_is_no_zip_is_refused(call, tmp_path, content):
    (tmp_path / "set.zip").write_bytes(content)
    assert_zip_refused(call, tmp_path / "set.zip")


@pytest.mark.parametrize("share", [0.3, 0.9, 0.99])
def test_truncated_zip_is_refused(call, tmp_path, share):
    path = make_zip(tmp_path / "set.zip", flat_names(range(7)))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert_zip_refused(call, path, "no whole zip")


@pytest.mark.usefixtures("few")
def test_utf8_names_without_the_flag_are_read_as_utf8(call, tmp_path):
    names = class_names({"rosé": 3, "b": 3})
    path = make_zip(tmp_path / "set.zip", names)
    content = path.read_bytes()
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        pieces = content.split(signature)
        flag = offset - len(signature)
        pieces[1:] = [piece[:flag] + b"\0\0" + piece[flag + 2 :] for piece in pieces[1:]]
        content = signature.join(pieces)
    path.write_bytes(content)
    arguments = ("prepare", "folder", path, tmp_path / "out", "--split", "0.4,0.3,0.3")
    assert call(*arguments)[0] == 0
    assert sorted(os.listdir(tmp_path / "out/train")) == ["b", "rosé"]


@pytest.mark.skipif("EPOCHLAB_CATS_DOGS" not in os.environ, reason="needs real photographs")
def test_real_photographs_split_by_number(call, tmp_path):
    arguments = ("prepare", "cats-dogs", os.environ["EPOCHLAB_CATS_DOGS"], tmp_path / "out")
    assert call(*arguments)[0] == 0
    ranges = {"train": (1, 1000), "validation": (4001, 4500), "test": (4501, 5000)}
    for split, (first, last) in ranges.items():
        for name in ("cat", "dog"):
            numbers = [
                int(path.name.split(".")[1]) for path in (tmp_path / "out" / split / name).iterdir()
            ]
            assert sorted(numbers) == list(range(first, last + 1))
