"""A folder of images, checked: all findings, and which files training should leave out."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from epochlab.data.checking.class_findings import count_images, find_class_items
from epochlab.data.checking.duplicates import find_exact_copies, find_near_copies
from epochlab.data.checking.findings import Finding, Item, collect_findings
from epochlab.data.checking.image_findings import find_image_items, find_undecodable
from epochlab.data.checking.inspection import Decoded, inspect_images
from epochlab.data.checking.layout import WHOLE, read_layout

REPORT_FORMAT = 1


@dataclass(frozen=True)
class Report:
    """The result of a check. The same folder gives the same report.

    Attributes:
        folder: The folder as it was given.
        counts: Split -> class -> images, those included that are on the skip list. A folder
            without splits has one, `images`.
        types: What the files are by their content -> how many.
        modes: Colour mode -> how many images, of those that can be decoded.
        findings: By kind.
        skip: Path of each image that training should leave out -> reason, sorted by path.
    """

    folder: str
    counts: Mapping[str, Mapping[str, int]]
    types: Mapping[str, int]
    modes: Mapping[str, int]
    findings: tuple[Finding, ...]
    skip: Mapping[str, str]

    @property
    def num_images(self) -> int:
        """How many files are images by their name and place."""
        return sum(sum(classes.values()) for classes in self.counts.values())

    @property
    def has_splits(self) -> bool:
        """Whether the folder is one of splits, as training reads it."""
        return WHOLE not in self.counts

    @property
    def is_harmful(self) -> bool:
        """Whether a training on the folder as it is would be refused or spoilt."""
        return bool(self.skip) or any(
            finding.kind.severity == "problem" for finding in self.findings
        )

    def to_json(self) -> dict[str, Any]:
        """Returns the report as JSON takes it."""
        return {
            "format": REPORT_FORMAT,
            "folder": self.folder,
            "images": self.num_images,
            "counts": self.counts,
            "types": self.types,
            "modes": self.modes,
            "findings": [
                {
                    "kind": finding.name,
                    "severity": finding.kind.severity,
                    "title": finding.kind.title,
                    "advice": finding.kind.advice,
                    "count": len(finding.items),
                    "items": [
                        {"paths": list(item.paths), "reason": item.reason} for item in finding.items
                    ],
                }
                for finding in self.findings
            ],
            "skip": self.skip,
        }


def check_folder(
    folder: Path, *, skip_near: bool = False, tell: Callable[[int, int], None] | None = None
) -> Report:
    """Checks a folder with train, validation and test folders, or with class folders alone.

    Nothing is changed in it, no link is followed, and nothing but regular files is opened.

    Args:
        folder: The folder.
        skip_near: Whether the skip list takes images that only look the same as another of their
            class, too.
        tell: Called now and then with the number of images done and of all images.

    Raises:
        DataError: If there is no such folder, or it holds no image in a class folder.
    """
    layout = read_layout(folder)
    images = inspect_images(layout, tell)
    undecodable = find_undecodable(images)
    exact_items, exact_skip = find_exact_copies(images)
    left = [image for image in images if image.path not in exact_skip]
    near_items, near_skip = find_near_copies(left)
    skip = undecodable | exact_skip | (near_skip if skip_near else {})
    return Report(
        folder=str(folder),
        counts=count_images(layout),
        types=_count(image.type_name or "unknown" for image in images),
        modes=_count(
            image.result.header.mode for image in images if isinstance(image.result, Decoded)
        ),
        findings=collect_findings(
            [
                *find_class_items(layout, skip),
                *find_image_items(images),
                *exact_items,
                *near_items,
                *(("left_alone", Item((path,), why)) for path, why in layout.left_alone.items()),
            ]
        ),
        skip=dict(sorted(skip.items())),
    )


def _count(names: Iterable[str]) -> dict[str, int]:
    """Returns how often each name occurs, the most frequent first."""
    return dict(sorted(Counter(names).items(), key=lambda row: (-row[1], row[0])))
