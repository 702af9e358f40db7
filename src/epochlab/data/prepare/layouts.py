"""Which images of a source belong to which class: by name, or by folder."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from epochlab.data.listing import IMAGE_SUFFIXES, OTHER_SUFFIX, explain_suffixes
from epochlab.data.sources import Source, SourceFile, shown
from epochlab.errors import DataError

_FLAT_NAME = re.compile(r"(cat|dog)\.([0-9]{1,9})\.jpe?g", re.IGNORECASE)
_NUMBERED_NAME = re.compile(r"([0-9]{1,9})\.jpe?g", re.IGNORECASE)


@dataclass(frozen=True)
class Image:
    """One image of a class.

    Attributes:
        file: Where it comes from.
        class_name: Its class, the name of its folder below a split.
        name: Its name in that folder.
        number: N of `cat.N.jpg`; 0 where the names carry no number.
    """

    file: SourceFile
    class_name: str
    name: str
    number: int = 0


@dataclass(frozen=True)
class Layout:
    """The images found in a source, and the path and reason of every file left alone."""

    images: tuple[Image, ...]
    skipped: tuple[tuple[str, str], ...]


def find_cats_dogs(source: Source) -> Layout:
    """Finds `cat.N.jpg` and `dog.N.jpg` in one folder, or `Cat/N.jpg` and `Dog/N.jpg`.

    Both layouts give the same names, `cat.N.jpg` and `dog.N.jpg`, N without leading zeros.

    Raises:
        DataError: If the source has none of them, several folders of them, or a number twice.
    """
    found: dict[str, list[Image]] = defaultdict(list)
    skipped = []
    for file in source.files:
        recognised = _recognise(file.path)
        if recognised is None:
            skipped.append((file.path, "is not named cat.N.jpg, dog.N.jpg, Cat/N.jpg or Dog/N.jpg"))
            continue
        pattern, class_name, number = recognised
        name = f"{class_name}.{number}.jpg"
        found[pattern].append(Image(file, class_name, name, number))
    if len(found) != 1:
        raise DataError(f"{source.place}: {_explain_patterns(source, sorted(found))}")
    (images,) = found.values()
    _check_unique(source, images)
    missing = {"cat", "dog"} - {image.class_name for image in images}
    if missing:
        raise DataError(
            f"{source.place}: has no image of the class {missing.pop()}; expected cat.N.jpg and "
            "dog.N.jpg; give the whole set"
        )
    return Layout(tuple(images), tuple(skipped))


def _recognise(path: str) -> tuple[str, str, int] | None:
    """Returns the pattern that `path` is one of, the class and the number."""
    folder, _, name = path.rpartition("/")
    if match := _FLAT_NAME.fullmatch(name):
        pattern = f"{folder}/cat.N.jpg".removeprefix("/")
        return pattern, match[1].lower(), int(match[2])
    above, _, class_name = folder.rpartition("/")
    if (match := _NUMBERED_NAME.fullmatch(name)) and class_name.lower() in ("cat", "dog"):
        return f"{above}/Cat/N.jpg".removeprefix("/"), class_name.lower(), int(match[1])
    return None


def _explain_patterns(source: Source, patterns: Sequence[str]) -> str:
    if patterns:
        return (
            f"holds several sets: {', '.join(map(shown, patterns[:5]))}; expected one; give the "
            "folder of one of them, or use `epochlab prepare folder` for folders of classes"
        )
    inner = [file.path for file in source.files if file.path.lower().endswith(".zip")]
    hint = f"; it holds {shown(inner[0])}: unpack that and give it" if inner else ""
    return (
        f"found no images; expected cat.N.jpg and dog.N.jpg in one folder, or Cat/N.jpg and "
        f"Dog/N.jpg{hint or '; give the folder or zip that has them'}"
    )


def _check_unique(source: Source, images: Iterable[Image]) -> None:
    known: dict[str, Image] = {}
    for image in images:
        other = known.setdefault(image.name, image)
        if other is not image:
            raise DataError(
                f"{source.place}: {shown(other.file.path)} and {shown(image.file.path)} have the "
                "same class and number; take one of them away"
            )


def find_class_folders(source: Source) -> Layout:
    """Finds the images of a folder of class folders. One wrapping folder is looked through.

    Raises:
        DataError: If there are fewer than two classes, a class is empty, or the source has splits.
    """
    root = _find_root(source)
    classes = {path for path in source.folders if path.rpartition("/")[0] == root}
    names = {path.rpartition("/")[2] for path in classes}
    if "train" in names and {"validation", "valid", "val", "test"} & names:
        raise DataError(
            f"{source.place}: has splits already ({', '.join(sorted(map(shown, names)))}); train "
            "on it as it is, or give one of its folders"
        )
    if len(names) < 2:
        raise DataError(
            f"{source.place}: expected a folder for each of two or more classes, found "
            f"{len(names)}; give the folder above the class folders"
        )
    images, skipped = [], []
    for file in source.files:
        folder, _, name = file.path.rpartition("/")
        reason = _reason_against(folder, name, classes)
        if reason is None:
            images.append(Image(file, folder.rpartition("/")[2], name))
        else:
            skipped.append((file.path, reason))
    empty = sorted(names - {image.class_name for image in images})
    if empty:
        folders = {path for path in classes if path.rpartition("/")[2] in empty}
        others = explain_suffixes(row for row in skipped if row[0].rpartition("/")[0] in folders)
        raise DataError(
            f"{source.place}: no image directly in the class folder"
            f"{'s' if len(empty) > 1 else ''} {', '.join(map(shown, empty[:10]))}{others}; "
            f"{'convert them, ' if others else ''}add images, or take the folder away: an empty "
            "class would still count as one"
        )
    return Layout(tuple(images), tuple(skipped))


def _find_root(source: Source) -> str:
    tops = [path for path in source.folders if "/" not in path]
    if len(tops) != 1 or not any(path.count("/") == 1 for path in source.folders):
        return ""
    return tops[0]


def _reason_against(folder: str, name: str, classes: Collection[str]) -> str | None:
    if folder not in classes:
        return "does not lie directly in a class folder"
    return None if name.lower().endswith(IMAGE_SUFFIXES) else OTHER_SUFFIX
