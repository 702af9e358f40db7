"""Rows 32 to 35: archives, and what is fetched or shipped."""

import io
import os
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from case import Case, Cases, Place
from command import Command, Outcome, epochlab, script

cases = Cases()
PREPARE = ("prepare", "folder", "set.zip", "out", "--split", "0.4,0.3,0.3")
GOOD = [f"{name}/{number}.jpg" for name in ("cat", "dog") for number in range(6)]


def make_zip(
    path: Path, members: Iterable[str | zipfile.ZipInfo] = (), content: bytes = b"image"
) -> Path:
    """Writes a whole set, and these members beside it."""
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as opened:
        warnings.simplefilter("ignore", UserWarning)  # zipfile's own, of duplicate names
        for name in (*GOOD, *members):
            opened.writestr(name, content)
    return path


def member(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo("placeholder")
    made.filename, made.external_attr = name, mode << 16
    return made


def archive(row: int, name: str, make: Callable[[Path], object], *says: str) -> None:
    """An archive that is refused before anything is written."""

    def command(place: Place) -> Command:
        make(place.path / "set.zip")
        return Command(epochlab(*PREPARE))

    cases.listed.append(Case(row, name, command, 3, ("set.zip", *says)))


def members(name: str, *says: str, of: list[zipfile.ZipInfo]) -> None:
    archive(32, name, lambda path: make_zip(path, of), *says, "nothing was written")


LINK, PIPE = stat.S_IFLNK | 0o777, stat.S_IFIFO | 0o644
members("member ../x.jpg", "../x.jpg", "leads out of its folder", of=[member("../x.jpg")])
members("member cat/../../x.jpg", "leads out of its", of=[member("cat/../../x.jpg")])
members("member with an absolute path", "/abs/x.jpg has an absolute", of=[member("/abs/x.jpg")])
members("member on a drive", "C:/x.jpg has an absolute path", of=[member("C:/x.jpg")])
members("member with a backslash", "backslash", of=[member("cat\\x.jpg")])
members("member that is a link", "x.jpg is a symbolic link", of=[member("cat/x.jpg", LINK)])
members("member that is a pipe", "x.jpg is no regular file", of=[member("cat/x.jpg", PIPE)])
members("member twice", "cat/x.jpg is there twice", of=[member("cat/x.jpg"), member("cat/x.jpg")])
members("members that differ in case", "CAT differs from cat in case", of=[member("CAT/x.jpg")])
members(
    "members that differ in accents",
    "accents only",
    of=[member("cat/e\u0301.jpg"), member("cat/\u00e9.jpg")],
)
members(
    "file and folder of one name", "a file and a folder at once", of=[member("cat/0.jpg/1.jpg")]
)
members("name of 2,000 letters", "more than 1,024 letters", of=[member("cat/" + "x" * 2000)])


def patched(offset: int, value: bytes) -> Callable[[Path], object]:
    """Overwrites bytes of the last entry of the archive's directory."""

    def make(path: Path) -> None:
        content = bytearray(make_zip(path).read_bytes())
        at = content.rindex(b"PK\1\2") + offset
        content[at : at + len(value)] = value
        path.write_bytes(content)

    return make


def make_flat_bomb(path: Path) -> None:
    with zipfile.ZipFile(make_zip(path), "a", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("cat/bomb.jpg", bytes(2**26))
        opened.writestr("dog/noise.jpg", os.urandom(2**20))


def make_nested_bomb(path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("zeros", bytes(2**26))
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("train.zip", inner.getvalue())


def make_crowd(path: Path) -> None:
    """An end record that tells of a million members; none of them is read."""
    content = bytearray(make_zip(path).read_bytes())
    end = content.rindex(b"PK\5\6")
    struct.pack_into("<HHL", content, end + 8, 0xFFFF, 0xFFFF, 1_000_000 * 80)
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(make_zip(path).read_bytes()[:-100])


def spoil(path: Path) -> None:
    path.write_bytes(make_zip(path).read_bytes().replace(b"image", b"imAge", 1))


BY_HAND = "unpack it by hand"
archive(33, "flat bomb", make_flat_bomb, "bomb.jpg unpacks to 67,108,864 bytes", BY_HAND)
archive(33, "zip in a zip", make_nested_bomb, "two or more classes, found 0", "give the folder")
archive(33, "a million members", make_crowd, "list of members takes 80,000,000 bytes", BY_HAND)
archive(33, "overlapping members", patched(42, bytes(4)), "shares its bytes", BY_HAND)
archive(33, "encrypted member", patched(8, b"\1\0"), "dog/5.jpg is encrypted")
archive(33, "unknown packing", patched(10, b"\x0c\0"), "packed by method 12")
archive(33, "cut off", cut, "is no whole zip archive", "fetch it again")
archive(33, "wrong CRC", spoil, "cat/0.jpg", "CRC", "fetch the archive again")
archive(33, "web page", lambda path: path.write_text("<html>404</html>"), "no whole zip archive")
archive(33, "0 bytes", lambda path: path.write_bytes(b""), "is no whole zip archive")


def check_prepared(place: Place, _: Outcome) -> None:
    assert sorted(path.name for path in place.path.iterdir()) == ["out", "set.zip"]
    assert len(list(place.path.glob("out/*/*/*.jpg"))) == len(GOOD)


@cases(
    34, "half a folder of a call that was killed", 0, "prepared: out", answers="report",
    changes=("out*", ".out.*"), check=check_prepared,
)  # fmt: skip
def _(place: Place) -> Command:
    make_zip(place.path / "set.zip")
    half = place.path / ".out.epochlab-preparing" / "train" / "cat"
    half.mkdir(parents=True)
    (half / "0.jpg").write_bytes(b"im")
    return Command(epochlab(*PREPARE))


@cases(34, "half a folder unpacked by hand", 3, "out", "was not made by", "choose another DEST")
def _(place: Place) -> Command:
    make_zip(place.path / "set.zip")
    (place.path / "out/train/cat").mkdir(parents=True)
    (place.path / "out/train/cat/0.jpg").write_bytes(b"image")
    return Command(epochlab(*PREPARE))


@cases(34, "record of the prepared folder cut off", 3, "prepared.json")
def _(place: Place) -> Command:
    make_zip(place.path / "set.zip")
    (place.path / "out/train/cat").mkdir(parents=True)
    (place.path / "out/prepared.json").write_text('{"format": 1, "files": {')
    return Command(epochlab(*PREPARE))


def digits_like(name: str, make: Callable[[Path, Path], object], *says: str) -> None:
    """An `.npz` in the place of MNIST."""

    def command(place: Place) -> Command:
        make(place.workshop.digits, place.path / "digits.npz")
        return Command(script("mlp_mnist_relu", settings=["data.path=digits.npz"]))

    cases.listed.append(Case(35, name, command, 3, ("digits.npz", *says), loads="tensorflow"))


def cut_in_half(good: Path, path: Path) -> None:
    content = good.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def leave_out(good: Path, path: Path) -> None:
    with np.load(good) as arrays:
        np.savez(path, x_train=arrays["x_train"], x_test=arrays["x_test"])


digits_like("npz cut in half", cut_in_half, "cannot be read", "fetch or make the file again")
digits_like("npz without labels", leave_out, "lacks y_train, y_test", "expected an .npz file")

OFFLINE = {
    **{name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "HTTPS_PROXY")},
    "KERAS_HOME": "keras",
}
WEIGHTS = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"


def transfer(place: Place) -> Command:
    (place.path / "digits.npz").write_bytes(place.workshop.digits.read_bytes())
    return Command(script("vgg16_mnist", settings=["data.path=digits.npz"]), OFFLINE)


@cases(
    35, "pretrained weights without a network", 5, WEIGHTS, "fetch https://", "put it at",
    loads="tensorflow", seconds=8, changes=("keras*", "outputs"),
)  # fmt: skip
def _(place: Place) -> Command:
    return transfer(place)


@cases(
    35, "half of the pretrained weights in Keras's cache", 4, WEIGHTS, "its MD5 is", "delete it",
    loads="tensorflow", seconds=8, changes=("keras/keras.json",),
)  # fmt: skip
def _(place: Place) -> Command:
    (place.path / "keras/models").mkdir(parents=True)
    (place.path / "keras/models" / WEIGHTS).write_bytes(b"half of it")
    return transfer(place)


CASES = cases.listed
