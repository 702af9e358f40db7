"""Rows 12 to 31: folders of photographs and what lies in them."""

import csv
import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
from case import Case, Cases, NotHere, Place
from command import Command, Outcome, epochlab, script
from conftest import make_digits, record_run
from photographs import encode, make_dataset, make_every_fault, picture

cases = Cases()
SMALL = ("data.path=pets", "data.image_size=[32, 32]", "training.epochs=1", "training.batch_size=4")
NETWORK = ("model.filters=[4]", "model.pooling=[true]", "training.steps_per_epoch=null")


def train(*settings: str, **more) -> Command:
    return Command(script("cats_dogs_baseline", settings=[*SMALL, *NETWORK, *settings]), **more)


def prepare(*arguments: str) -> Command:
    return Command(epochlab("prepare", *arguments))


def flat_set(place: Place, count: int = 10) -> Path:
    """A folder with the class folders cat and dog."""
    return make_dataset(place.path / "all", set=count) / "set"


@cases(
    12, "classes of the config that are not there", 3, "not found: mouse", "expected: dog",
    "mend data.class_names, or the folders", loads="tensorflow",
)  # fmt: skip
def _(place: Place) -> Command:
    make_dataset(place.path / "pets", train=3, test=2)
    return train("data.class_names=[cat, mouse]")


# 13: nothing there.


@cases(13, "npz that is not there", 3, "data.path: none.npz", "no such file", loads="tensorflow")
def _(place: Place) -> Command:
    return Command(script("mlp_mnist_relu", settings=["data.path=none.npz"]))


@cases(13, "missing folder to check", 3, "pets: there is no such folder", "give a folder of images")
def _(place: Place) -> Command:
    return Command(epochlab("check-data", "pets"))


@cases(13, "file for a folder", 3, "pets: is a file, not a folder", "give a folder of images")
def _(place: Place) -> Command:
    (place.path / "pets").write_text("hello")
    return Command(epochlab("check-data", "pets"))


@cases(13, "empty folder", 3, "pets: expected images in folders", "found nothing", "prepare")
def _(place: Place) -> Command:
    (place.path / "pets").mkdir()
    return Command(epochlab("check-data", "pets"))


@cases(13, "images without class folders", 3, "expected images in folders CLASS", "0.jpg")
def _(place: Place) -> Command:
    (place.path / "pets").mkdir()
    (place.path / "pets" / "0.jpg").write_bytes(encode(picture(0)))
    return Command(epochlab("check-data", "pets"))


@cases(13, "missing source to prepare", 3, "none: cannot be read", "give a folder or a zip")
def _(place: Place) -> Command:
    return prepare("cats-dogs", "none", "out")


@cases(13, "pipe as source", 3, "pipe: is neither a folder nor a file")
def _(place: Place) -> Command:
    os.mkfifo(place.path / "pipe")
    return prepare("cats-dogs", "pipe", "out")


@cases(13, "folder without read permission", 3, "locked", "Permission denied", "change its rights")
def _(place: Place) -> Command:
    if os.geteuid() == 0:
        raise NotHere("root may read everything")
    flat_set(place)
    (place.path / "all/set/locked").mkdir(mode=0)
    return prepare("folder", "all/set", "out", "--split", "0.7,0.15,0.15")


@cases(
    13, "skip list of the folder before it was split", 3, "skip.json: none of its 2 entries",
    "cat/0.jpg, dog/1.jpg", "run `epochlab check-data pets`", loads="tensorflow",
)  # fmt: skip
def _(place: Place) -> Command:
    make_dataset(place.path / "pets", train=3, test=2)
    skip = {"cat/0.jpg": "is empty", "dog/1.jpg": "is empty"}
    text = json.dumps({"format": 1, "folder": "raw", "skip": skip})
    (place.path / "skip.json").write_text(text)
    return train("data.skip_list=skip.json")


# 14 to 17: classes. One check of a folder with every such fault.


def make_bad_classes(place: Place) -> Command:
    root = make_dataset(place.path / "pets", train=12, validation=3, test=3)
    for split in ("train", "validation", "test"):
        (root / split / "empty").mkdir()
    (root / "train" / "rare").mkdir()
    (root / "train/rare/0.jpg").write_bytes(encode(picture(7000)))
    (root / "test" / "extra").mkdir()
    (root / "test/extra/0.jpg").write_bytes(encode(picture(7001)))
    return Command(epochlab("check-data", "pets", "--out", "told"))


def bad_class(row: int, name: str, *says: str) -> None:
    told = ("told*", "outputs*")
    more = {"loads": "tensorflow", "answers": "report", "changes": told, "once": "bad classes"}
    cases.listed.append(Case(row, name, make_bad_classes, 3, says, seconds=8, **more))


bad_class(14, "empty class folder, checked", "train/empty: has no images")
bad_class(16, "class that validation and test lack, checked", "validation/rare: there is no such")
bad_class(16, "class that only test has, checked", "train/extra: there is no such folder")
bad_class(17, "class of one image, checked", "train/rare: 1 image, fewer than 10")


@cases(
    14, "empty class folder, trained on", 3, "no images in train/void, test/void",
    "add images, or remove the class from every split", loads="tensorflow",
)  # fmt: skip
def _(place: Place) -> Command:
    make_dataset(place.path / "pets", train=3, test=2)
    for split in ("train", "test"):
        (place.path / "pets" / split / "void").mkdir()
    return train("data.class_names=null")


@cases(14, "empty class folder, prepared", 3, "no image directly in the class folder void")
def _(place: Place) -> Command:
    (flat_set(place) / "void").mkdir()
    return prepare("folder", "all/set", "out", "--split", "0.7,0.15,0.15")


@cases(15, "one class, prepared", 3, "two or more classes, found 1")
def _(place: Place) -> Command:
    shutil.rmtree(flat_set(place) / "dog")
    return prepare("folder", "all/set", "out", "--split", "0.7,0.15,0.15")


@cases(15, "one class in an npz", 3, "digits.npz: y_train has one class only", loads="tensorflow")
def _(place: Place) -> Command:
    arrays = dict(np.load(place.workshop.digits))
    arrays |= {name: arrays[name] * 0 for name in ("y_train", "y_test")}
    np.savez(place.path / "digits.npz", **arrays)
    return Command(script("mlp_mnist_relu", settings=["data.path=digits.npz"]))


@cases(17, "class of two images, prepared", 3, "class dog: has 2 images", "too few")
def _(place: Place) -> Command:
    for path in sorted((flat_set(place) / "dog").iterdir())[2:]:
        path.unlink()
    return prepare("folder", "all/set", "out", "--split", "0.7,0.15,0.15")


@cases(
    17, "validation share that rounds to no training image", 3,
    "data.validation_fraction: 0.999 of the 400", "leaves an empty split",
    "give another fraction", loads="tensorflow",
)  # fmt: skip
def _(place: Place) -> Command:
    shutil.copy(place.workshop.digits, place.path)
    settings = ["data.path=digits.npz", "data.validation_fraction=0.999"]
    return Command(script("mlp_mnist_relu", settings=settings))


@cases(
    17, "npz sorted by label", 3, "digits.npz: data.validation_fraction: 0.3", "all of class 3",
    "shuffle the images of the file together with their labels", loads="tensorflow",
)  # fmt: skip
def _(place: Place) -> Command:
    arrays = dict(np.load(place.workshop.digits))
    order = np.argsort(arrays["y_train"], kind="stable")
    arrays |= {name: arrays[name][order] for name in ("x_train", "y_train")}
    np.savez(place.path / "digits.npz", **arrays)
    return Command(script("mlp_mnist_relu", settings=["data.path=digits.npz"]))


# 18 to 30: files. One check of a folder with every kind among 126 good ones.


def make_every_file(place: Place) -> Command:
    try:
        make_every_fault(place.path / "pets")
    except OSError as error:
        raise NotHere(f"this file system refuses such names: {error}") from error
    return Command(epochlab("check-data", "pets", "--out", "told", "--json"))


def found(row: int, name: str, *says: str, check=None, shows: str | None = None) -> None:
    """A file that the check tells of, with path and reason as they stand in the JSON."""
    more = {"loads": "tensorflow", "answers": "report", "changes": ("told*",), "seconds": 15}
    case = Case(
        row,
        name,
        make_every_file,
        3,
        says,
        once="every file",
        check=check,
        **more | {"shows": shows},
    )
    cases.listed.append(case)


def _told(path: str, reason: str) -> str:
    shown = ascii(path)[1:-1]
    return f"{shown if len(shown) < 60 else f'{shown[:40]}...'}: {reason}"


def bad(row: int, name: str, file: str, reason: str) -> None:
    """A file that goes on the skip list."""
    path = f"train/cat/{file}"

    def check(place: Place, outcome: Outcome) -> None:
        skip = json.loads((place.path / "told/skip.json").read_text())["skip"]
        assert reason in skip[path], skip.get(path)
        assert skip == json.loads(outcome.stdout)["skip"]

    found(row, name, reason, check=check, shows=_told(path, reason))


def noted(row: int, name: str, kind: str, file: str, reason: str) -> None:
    """A file that is told of and trained on, or never looked at."""
    path = file if "/" in file else f"train/cat/{file}"

    def check(place: Place, outcome: Outcome) -> None:
        told = json.loads(outcome.stdout)
        items = [
            item
            for finding in told["findings"]
            if finding["kind"] == kind
            for item in finding["items"]
        ]
        assert any(path in item["paths"] and reason in item["reason"] for item in items), items
        assert path not in told["skip"]

    found(row, name, reason, check=check, shows=_told(path, reason))


bad(18, "file of 0 bytes", "empty.jpg", "is empty")
bad(18, "text named .jpg", "text.jpg", "is no image")
bad(18, "web page named .jpg", "page.jpg", "is a web page, not an image")
bad(19, "JPEG cut in half", "half.jpg", "is damaged or cut off")
bad(19, "JPEG cut at 95 %", "cut95.jpg", "is damaged or cut off")
bad(20, "PNG with a bad CRC", "checksum.png", "is damaged or cut off")
noted(21, "CMYK", "color_mode", "cmyk.jpg", "CMYK")
noted(21, "grey with transparency", "color_mode", "la.png", "transparency")
noted(21, "RGBA", "color_mode", "rgba.png", "transparency")
noted(21, "palette", "color_mode", "palette.png", "palette")
noted(21, "1-bit", "color_mode", "onebit.png", "1-bit")
noted(22, "16-bit PNG", "color_mode", "sixteen.png", "upper 8")
noted(23, "animated GIF", "animated", "moving.gif", "frame")
noted(23, "animated PNG", "animated", "moving.png", "frame")
noted(24, "EXIF orientation 3", "orientation", "turned3.jpg", "orientation 3: turn it by 180")
noted(24, "EXIF orientation 6", "orientation", "turned6.jpg", "orientation 6: turn it by 90")
noted(25, "WebP named .jpg", "wrong_suffix", "webp.jpg", "its content is WebP")
noted(25, "PNG named .jpg", "wrong_suffix", "png.jpg", "its content is PNG")
bad(25, "HEIC named .jpg", "heic.jpg", "HEIC, AVIF or video")
bad(25, "AVIF named .jpg", "avif.jpg", "HEIC, AVIF or video")
bad(25, "TIFF named .jpg", "tiff.jpg", "is a TIFF image, which cannot be read; convert it")
noted(25, "TIFF", "left_alone", "photo.tiff", "its content is TIFF")


@cases(25, "class folders of TIFF alone, prepared", 3, "only .tif (20)", "convert them")
def _(place: Place) -> Command:
    for path in flat_set(place).rglob("*.jpg"):
        path.rename(path.with_suffix(".tif"))
    return prepare("folder", "all/set", "out", "--split", "0.7,0.15,0.15")


bad(26, "PNG of 30,000 x 30,000 pixels", "bomb.png", "pixels; at most")
noted(26, "image of 1 x 1", "odd_size", "dot.png", "a side of less than 32")
noted(26, "image of 20,000 x 1", "odd_size", "strip.png", "a side of less than 32")
noted(28, "dead link", "left_alone", "dead.jpg", "symbolic link, never followed")
noted(28, "link out of the folder", "left_alone", "out.jpg", "symbolic link, never followed")
noted(28, "link to the folder itself", "left_alone", "loop", "symbolic link, never followed")
noted(28, "linked class folder", "left_alone", "train/linked", "symbolic link, never followed")
noted(28, "pipe named .jpg", "left_alone", "pipe.jpg", "named pipe, never opened")
noted(28, "socket named .jpg", "left_alone", "socket.jpg", "socket, never opened")
bad(29, "name with a space", "a b.jpg", "is empty")
bad(29, "name with a line break", "new\nline.jpg", "is empty")
bad(29, "decomposed accent beside a composed one", "cafe\u0301.jpg", "is empty")
bad(29, "name that is not UTF-8", "\udcff.jpg", "is empty")
bad(29, "name with a leading -", "-x.jpg", "is empty")
bad(29, "name with a terminal's control codes", "\x1b[31m.jpg", "is empty")
bad(29, "name of 254 bytes", "x" * 250 + ".jpg", "is empty")


def check_ignored(place: Place, outcome: Outcome) -> None:
    assert "DS_Store" not in outcome.stdout and "Thumbs.db" not in outcome.stdout
    assert "right.JPG" not in outcome.stdout


found(
    29,
    ".DS_Store, Thumbs.db and .JPG are no finding",
    '"format"',
    check=check_ignored,
    shows="no finding names them",
)
noted_pairs = {
    "same bytes in train and test": ("leak", "test/cat/leak.jpg", "train/cat/5.jpg"),
    "same bytes under two labels": ("two_labels", "train/cat/6.jpg", "train/dog/wrong.jpg"),
    "same bytes twice in a class": ("repeated", "train/cat/7.jpg", "train/cat/again.jpg"),
    "nearly the same picture": ("near_repeated", "train/cat/8.jpg", "train/cat/near.jpg"),
}


def pair(name: str, kind: str, *paths: str) -> None:
    def check(_: Place, outcome: Outcome) -> None:
        (finding,) = (f for f in json.loads(outcome.stdout)["findings"] if f["kind"] == kind)
        assert set(paths) in [set(item["paths"]) for item in finding["items"]], finding

    found(30, name, *paths, check=check, shows=f"{kind}: {' = '.join(paths)}")


for pair_name, values in noted_pairs.items():
    pair(pair_name, *values)


@cases(
    18, "text named .jpg, trained on", 3, "train/cat/1.jpg: is no image",
    "leave them out with data.on_bad: skip", loads="tensorflow", seconds=8,
)  # fmt: skip
def _(place: Place) -> Command:
    make_dataset(place.path / "pets", train=3, test=2)
    (place.path / "pets/train/cat/1.jpg").write_text("hello")
    return train()


@cases(
    18, "files of 0 bytes in several splits, trained on", 3, "test/dog/1.jpg: is empty",
    "leave them out with data.on_bad: skip", loads="tensorflow", seconds=8,
)  # fmt: skip
def _(place: Place) -> Command:
    make_dataset(place.path / "pets", train=3, test=2)
    for name in ("train/cat/1.jpg", "test/dog/1.jpg"):
        (place.path / "pets" / name).write_bytes(b"")
    return train()


@cases(
    27, "more than a tenth of the files are bad", 3, "3 of 16 files cannot be decoded (19%)",
    "too many to leave out", loads="tensorflow", seconds=8,
)  # fmt: skip
def _(place: Place) -> Command:
    make_dataset(place.path / "pets", train=6, test=2)
    for number in range(3):
        (place.path / f"pets/train/cat/{number}.jpg").write_text("hello")
    return train("data.on_bad=skip")


@cases(
    27, "skip list that empties a class", 3, "no images in test/cat", "add images, or remove",
    loads="tensorflow",
)  # fmt: skip
def _(place: Place) -> Command:
    make_dataset(place.path / "pets", train=3, test=2)
    skip = {f"test/cat/{number}.jpg": "is empty" for number in range(2)}
    text = json.dumps({"format": 1, "folder": "pets", "skip": skip})
    (place.path / "skip.json").write_text(text)
    return train("data.skip_list=skip.json")


@cases(
    30, "test images that are trained on", 3, "2 of 4 validation and test images are in another",
    "epochlab check-data", loads="tensorflow",
)  # fmt: skip
def _(place: Place) -> Command:
    root = make_dataset(place.path / "pets", train=3, test=2)
    for number in range(2):
        shutil.copy(root / f"train/cat/{number}.jpg", root / f"test/cat/{number}.jpg")
    return train()


# 29: names in tables.

FORMULAS = ("=HYPERLINK(1)", "@x\ny")


def check_table(place: Place, _: Outcome) -> None:
    """No cell is a formula, every row is whole, and the names can be had back."""
    rows = list(csv.reader(io.StringIO((place.path / "told/runs.csv").read_text(), newline="")))
    assert len(rows) == 3 and {len(row) for row in rows} == {len(rows[0])}
    column = rows[0].index("model.activation")
    assert [row[column] for row in rows[1:]] == [f"'{text}" for text in FORMULAS]


@cases(
    29, "settings that a spreadsheet would compute, compared", 0, "runs.csv", answers="report",
    changes=("told*",), seconds=15, check=check_table,
    shows="told/runs.csv has '=HYPERLINK(1) and '@x",
)  # fmt: skip
def _(place: Place) -> Command:
    for seed, formula in enumerate(FORMULAS):
        run = record_run(place.path / "outputs", f"seed={seed}")
        config = run.config_path.read_text()
        assert "activation: relu" in config
        config = config.replace("activation: relu", f"activation: {json.dumps(formula)}")
        run.config_path.write_text(config)
    return Command(epochlab("compare", "outputs", "--out", "told"))


NAMES = ("=1+1.png", "-dash.png", "new\nline.png", "caf\udce9.png", "a,b.png")
SHOWN = ["./=1+1.png", "./-dash.png", "new\\nline.png", "caf\\udce9.png", "a,b.png"]


def check_predictions(_: Place, outcome: Outcome) -> None:
    rows = list(csv.DictReader(io.StringIO(outcome.stdout, newline="")))
    assert [row["file"] for row in rows] == SHOWN
    assert all(row["class"].startswith("'=") for row in rows)


@cases(
    29, "names that a spreadsheet would compute, predicted", 0, "predicted 5 images",
    loads="tensorflow", answers="report", seconds=8, check=check_predictions,
)  # fmt: skip
def _(place: Place) -> Command:
    run = place.workshop.copy_run(place.workshop.finished_run, place.path)
    recorded = json.loads((run / "data.json").read_text())
    recorded["class_names"] = [f"=cmd|{number}" for number in range(4)]
    (run / "data.json").write_text(json.dumps(recorded))
    for name in NAMES:
        (place.path / name).write_bytes(encode(picture(1), "PNG"))
    return Command(epochlab("predict", run.relative_to(place.path), "--", *NAMES))


# 31: data that changes.


def prepared(place: Place) -> Path:
    """A dataset that `epochlab prepare` has made, and whose source is still there."""
    from command import run

    flat_set(place)
    made = run(prepare(*PREPARE), place.path, place.workshop.environment(place.path))
    assert made.code == 0, made
    return place.path / "out"


PREPARE = ("folder", "all/set", "out", "--split", "0.6,0.2,0.2", "--copy")


def some_file(folder: Path) -> Path:
    return min((folder / "train/cat").iterdir())


@cases(31, "prepared file that changed", 3, "out", "(changed)", "prepare again")
def _(place: Place) -> Command:
    path = some_file(prepared(place))
    path.write_bytes(encode(picture(1)))
    return prepare(*PREPARE)


@cases(31, "prepared file that went away", 3, "out", "(missing)", "prepare again")
def _(place: Place) -> Command:
    some_file(prepared(place)).unlink()
    return prepare(*PREPARE)


@cases(31, "file that was added to a prepared folder", 3, "new.jpg (too many)", "prepare again")
def _(place: Place) -> Command:
    (prepared(place) / "train/cat/new.jpg").write_bytes(encode(picture(1)))
    return prepare(*PREPARE)


@cases(
    31, "photograph that changes during training", 3, "train/cat/0.jpg", "has changed",
    loads="tensorflow", seconds=30, changes=("outputs*", "pets/train/cat/0.jpg"),
)  # fmt: skip
def _(place: Place) -> Command:
    make_dataset(place.path / "pets", train=6, test=2)

    def change(_: int) -> None:
        (place.path / "pets/train/cat/0.jpg").write_bytes(encode(picture(1)))

    words = train("data.cache_limit=0.0", "training.epochs=300").words
    return Command(words, during=[("epoch   2/300", change)])


@cases(
    31, "data that changed since a run was cut off", 4, "data.sha256: was", "--allow-changes",
    loads="tensorflow", changes=("*/run.lock",),
)  # fmt: skip
def _(place: Place) -> Command:
    place.workshop.copy_run(place.workshop.killed_run, place.path)
    make_digits(place.path / "digits.npz", train=404)
    return Command(script("mlp_mnist_relu", "--resume", "outputs/mlp_mnist_relu/run"))


CASES = cases.listed
