"""Where the images of a folder lie: by split and class, or by class alone."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from epochlab.data.checking.file_types import recognise_type
from epochlab.data.listing import (
    IMAGE_SUFFIXES,
    LISTED_NAMES,
    OTHER_SUFFIX,
    SPLITS,
    explain_suffixes,
)
from epochlab.data.prepare.manifest import MANIFEST
from epochlab.data.sources import Source, SourceFile, list_folder, list_shown, shown
from epochlab.errors import DataError

# Stands for the split in a folder of class folders.
WHOLE = "images"


@dataclass(frozen=True, slots=True)
class PlacedImage:
    """A file that is an image by its name and place.

    Attributes:
        file: The file.
        split: `train`, `validation` or `test`, or `WHOLE` where there are no splits.
        label: The name of its class.
    """

    file: SourceFile
    split: str
    label: str

    @property
    def path(self) -> str:
        """Its path below the folder."""
        return self.file.path


@dataclass(frozen=True)
class Layout:
    """A folder of images.

    Attributes:
        source: Everything in it.
        images: Sorted by path.
        classes: Of each split that is there, the names of its class folders, sorted.
        left_alone: Path -> why training does not look at it, sorted by path.
    """

    source: Source
    images: tuple[PlacedImage, ...]
    classes: Mapping[str, tuple[str, ...]]
    left_alone: Mapping[str, str]

    @property
    def has_splits(self) -> bool:
        """Whether it has any of the folders train, validation and test."""
        return WHOLE not in self.classes

    def class_folder(self, split: str, label: str) -> str:
        """Returns the path of a class folder below the folder."""
        return f"{split}/{label}" if self.has_splits else label


def read_layout(root: Path) -> Layout:
    """Lists the images below `root`; of the files that are not, the first bytes are looked at.

    Raises:
        DataError: If there is no such folder, or it holds no image in a class folder.
    """
    if not os.path.isdir(root):
        found = "is a file, not a folder" if os.path.lexists(root) else "there is no such folder"
        raise DataError(f"{shown(str(root))}: {found}; give a folder of images")
    source = list_folder(root)
    present = [name for name in SPLITS if name in source.folders]
    classes = {
        split: tuple(_subfolders(source, f"{split}/" if present else ""))
        for split in present or [WHOLE]
    }
    images, left_alone = [], dict(source.skipped)
    for file in source.files:
        if file.path == MANIFEST:
            continue
        split, _, rest = file.path.partition("/") if present else (WHOLE, "", file.path)
        label, _, name = rest.partition("/")
        reason = _reason_to_leave_alone(source, file, split, name, present)
        if reason is None:
            images.append(PlacedImage(file, split, label))
        else:
            left_alone[file.path] = reason
    if not images:
        raise DataError(_explain_no_images(root, source, present, left_alone))
    return Layout(source, tuple(images), classes, dict(sorted(left_alone.items())))


def _subfolders(source: Source, prefix: str) -> Iterator[str]:
    for folder in source.folders:
        name = folder.removeprefix(prefix)
        if folder.startswith(prefix) and "/" not in name:
            yield name


def _reason_to_leave_alone(
    source: Source, file: SourceFile, split: str, name: str, present: list[str]
) -> str | None:
    if present and split not in present:
        return f"lies in none of {', '.join(SPLITS)}"
    if not name or "/" in name:
        return "does not lie directly in a class folder"
    if name.lower().endswith(IMAGE_SUFFIXES):
        return None
    real = _recognise_file(source, file)
    return f"{OTHER_SUFFIX}; its content is {real}" if real else OTHER_SUFFIX


def _recognise_file(source: Source, file: SourceFile) -> str | None:
    try:
        return recognise_type(next(source.read(file), b""))
    except DataError:
        return None


def _explain_no_images(
    root: Path, source: Source, present: list[str], left_alone: Mapping[str, str]
) -> str:
    expected = f"{present[0]}/CLASS" if present else "CLASS or train/CLASS"
    names = sorted({path.partition("/")[0] for path in source.folders})
    names = names or sorted(file.path for file in source.files)
    found = list_shown(names, LISTED_NAMES) or "nothing"
    others = explain_suffixes(left_alone.items())
    return (
        f"{shown(str(root))}: expected images in folders {expected}, found {found}{others}; "
        f"{'convert them, or ' if others else ''}make such folders with `epochlab prepare`"
    )
