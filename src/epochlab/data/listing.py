"""Which image files a directory holds: by split and by class."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from epochlab.data.images import limit_positions
from epochlab.data.sources import Source, list_folder, shown
from epochlab.errors import DataError
from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy_import("numpy")

SPLITS = ("train", "validation", "test")
IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")
OTHER_SUFFIX = f"its suffix is none of {' '.join(IMAGE_SUFFIXES)}"
LISTED_NAMES = 10


@dataclass(frozen=True)
class ListedImages:
    """The image files of all splits, in an order that no file system decides.

    Attributes:
        paths: Of each file, below the folder, with `/` between folders.
        splits: The split that each is in.
        labels: Its class, a position in `class_names`.
        class_names: The classes of the training split, in alphabetical order.
        skipped: Path of what is no image by its name or place -> reason.
        unmatched: Paths that were to be left out and are nowhere in the folder, sorted.
    """

    paths: tuple[str, ...]
    splits: tuple[str, ...]
    labels: tuple[int, ...]
    class_names: tuple[str, ...]
    skipped: Mapping[str, str]
    unmatched: tuple[str, ...] = ()

    def limited(self, limit: int | None) -> "ListedImages":
        """Returns at most `limit` images of each split, with the class shares kept.

        Raises:
            ConfigError: If `limit` is too small for one image of each class.
        """
        if limit is None:
            return self
        splits, labels = np.array(self.splits), np.array(self.labels)
        kept = sorted(
            int(position)
            for name in SPLITS
            for position in _limit_split(np.flatnonzero(splits == name), labels, limit, self)
        )
        return replace(
            self,
            paths=tuple(self.paths[position] for position in kept),
            splits=tuple(self.splits[position] for position in kept),
            labels=tuple(self.labels[position] for position in kept),
        )


def list_images(
    root: Path, class_names: Sequence[str] | None = None, skip: Mapping[str, str] | None = None
) -> ListedImages:
    """Lists the images below `root` and refuses every layout that would be misunderstood.

    Nothing is opened or followed.

    Args:
        root: A folder of splits, each with a folder per class.
        class_names: The classes that there must be, or None for whatever is there.
        skip: Paths to leave out -> reason.

    Raises:
        DataError: If there is no such folder, a split or a class is missing, empty, or too many.
    """
    if not root.is_dir():
        found = "no such folder" if not root.exists() else "a file, not a folder"
        raise DataError(f"data.path: {root}: {found}; make one with `epochlab prepare`")
    source = list_folder(root)
    classes = {name: _classes_of(source, name) for name in SPLITS}
    _check_classes(root, source, classes)
    _check_expected(root, classes["train"], class_names)
    skipped = dict(source.skipped)
    rows = []
    for file in source.files:
        split, _, rest = file.path.partition("/")
        name, _, base = rest.partition("/")
        if split not in SPLITS:
            continue
        if skip and file.path in skip:
            skipped[file.path] = skip[file.path]
        elif not base or "/" in base:
            skipped[file.path] = "does not lie directly in a class folder"
        elif not base.lower().endswith(IMAGE_SUFFIXES):
            skipped[file.path] = OTHER_SUFFIX
        else:
            rows.append((file.path, split, classes["train"].index(name)))
    found = tuple(classes["train"])
    _check_counts(root, rows, classes, found, skipped)
    paths, splits, labels = zip(*rows, strict=True)
    # Whatever is there counts, an image or not: an entry too many does no harm where it has a file.
    there = {file.path for file in source.files} | {path for path, _ in source.skipped}
    unmatched = tuple(sorted(set(skip or ()) - there))
    return ListedImages(paths, splits, labels, found, skipped, unmatched)


def explain_suffixes(skipped: Iterable[tuple[str, str]]) -> str:
    """Says what there is where images were expected, as in `: only .tif (12), where ... are read`.

    Args:
        skipped: Path and reason of what was left alone.

    Returns:
        The end of a sentence, or nothing where no file was left alone for its suffix.
    """
    counts = Counter(
        PurePosixPath(path).suffix.lower() or "no suffix"
        for path, reason in skipped
        if reason.startswith(OTHER_SUFFIX)
    )
    found = [f"{shown(suffix)} ({count:,})" for suffix, count in counts.most_common(LISTED_NAMES)]
    return f": only {', '.join(found)}, where {' '.join(IMAGE_SUFFIXES)} are read" if found else ""


def _limit_split(
    positions: "np.ndarray", labels: "np.ndarray", limit: int, listed: ListedImages
) -> "np.ndarray":
    return positions[limit_positions(labels[positions], limit, len(listed.class_names))]


def _classes_of(source: Source, split: str) -> list[str]:
    return [
        folder.partition("/")[2]
        for folder in source.folders
        if folder.count("/") == 1 and folder.startswith(f"{split}/")
    ]


def _check_classes(root: Path, source: Source, classes: Mapping[str, list[str]]) -> None:
    for needed in ("train", "test"):
        if needed not in source.folders:
            found = ", ".join(shown(f) for f in source.folders if "/" not in f) or "nothing"
            raise DataError(
                f"{root}: has no folder {needed}, found {found}; make the splits with "
                "`epochlab prepare folder SOURCE DEST --split 0.7,0.15,0.15`"
            )
    if len(classes["train"]) < 2:
        raise DataError(
            f"{root}/train: expected a folder for each of two or more classes, found "
            f"{len(classes['train'])}"
        )
    for split in ("validation", "test"):
        if split in source.folders and classes[split] != classes["train"]:
            missing = sorted(set(classes["train"]) - set(classes[split]))
            extra = sorted(set(classes[split]) - set(classes["train"]))
            parts = [
                f"{words} {', '.join(map(shown, names[:LISTED_NAMES]))}"
                for words, names in (("lacks", missing), ("has beyond train", extra))
                if names
            ]
            raise DataError(
                f"{root}/{split}: {' and '.join(parts)}; every split needs the classes of train"
            )


def _check_expected(root: Path, found: Sequence[str], expected: Sequence[str] | None) -> None:
    if expected is None or sorted(expected) == sorted(found):
        return
    parts = [
        f"{words} {', '.join(map(shown, names[:LISTED_NAMES]))}"
        for words, names in (
            ("not found:", sorted(set(expected) - set(found))),
            ("found but not expected:", sorted(set(found) - set(expected))),
            ("named twice:", sorted({name for name in expected if expected.count(name) > 1})),
        )
        if names
    ]
    raise DataError(
        f"{root}/train: data.class_names expects {', '.join(map(shown, expected[:LISTED_NAMES]))}; "
        f"{'; '.join(parts)}; mend data.class_names, or the folders"
    )


def _check_counts(
    root: Path,
    rows: Sequence[tuple[str, str, int]],
    classes: Mapping[str, list[str]],
    class_names: Sequence[str],
    skipped: Mapping[str, str],
) -> None:
    """Refuses a class folder without images: it would still be counted as a class."""
    present = {(split, label) for _, split, label in rows}
    empty = [
        f"{split}/{name}"
        for split in SPLITS
        if classes[split]
        for label, name in enumerate(class_names)
        if (split, label) not in present
    ]
    if empty:
        others = explain_suffixes(
            (path, why) for path, why in skipped.items() if path.rpartition("/")[0] in empty
        )
        raise DataError(
            f"{root}: no images in {', '.join(map(shown, empty[:LISTED_NAMES]))}{others}; "
            f"{'convert them, ' if others else ''}add images, or remove the class from every split"
        )
