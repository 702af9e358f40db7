"""What is the matter with the classes, once the files on the skip list are left out."""

from collections import Counter
from collections.abc import Collection, Iterator

from epochlab.data.checking.findings import Item
from epochlab.data.checking.layout import WHOLE, Layout

TINY_CLASS = 10
STRONG_IMBALANCE = 10.0


def count_images(layout: Layout, skip: Collection[str] = ()) -> dict[str, dict[str, int]]:
    """Returns split -> class -> how many images there are beside those in `skip`."""
    counts = {split: dict.fromkeys(names, 0) for split, names in layout.classes.items()}
    found = Counter((image.split, image.label) for image in layout.images if image.path not in skip)
    for (split, label), count in found.items():
        counts[split][label] = count
    return counts


def find_class_items(layout: Layout, skip: Collection[str]) -> Iterator[tuple[str, Item]]:
    """Yields kind and item of everything found, split by split.

    Args:
        layout: The folder.
        skip: Paths of the images that training will leave out.
    """
    counts, listed = count_images(layout, skip), count_images(layout)
    if layout.has_splits:
        for needed in ("train", "test"):
            if needed not in counts:
                yield "missing_split", Item((needed,), "there is no such folder")
    yield from _find_missing(layout)
    for split, classes in counts.items():
        for label, count in classes.items():
            if not count:
                total = listed[split][label]
                reason = f"all {total:,} images are on the skip list" if total else "has no images"
                yield "empty_class", Item((layout.class_folder(split, label),), reason)
    yield from _find_unequal(layout, counts.get("train") or counts.get(WHOLE) or {})


def _find_missing(layout: Layout) -> Iterator[tuple[str, Item]]:
    classes = {split: set(names) for split, names in layout.classes.items()}
    everywhere = sorted(set().union(*classes.values()))
    if len(everywhere) < 2:
        reason = "is the only class; training needs two or more"
        for name in everywhere:
            yield "missing_class", Item((name,), reason)
    for split, names in classes.items():
        for label in everywhere:
            if label not in names:
                others = [other for other, there in classes.items() if label in there]
                have = "has" if len(others) == 1 else "have"
                reason = f"there is no such folder, but {' and '.join(others)} {have} that class"
                yield "missing_class", Item((f"{split}/{label}",), reason)


def _find_unequal(layout: Layout, counts: dict[str, int]) -> Iterator[tuple[str, Item]]:
    split = "train" if layout.has_splits else WHOLE
    filled = {label: count for label, count in counts.items() if count}
    for label, count in filled.items():
        if count < TINY_CLASS:
            reason = f"{count} {'image' if count == 1 else 'images'}, fewer than {TINY_CLASS}"
            yield "tiny_class", Item((layout.class_folder(split, label),), reason)
    if not filled:
        return
    largest, smallest = max(filled, key=filled.__getitem__), min(filled, key=filled.__getitem__)
    ratio = filled[largest] / filled[smallest]
    if ratio > STRONG_IMBALANCE:
        yield (
            "imbalance",
            Item(
                tuple(layout.class_folder(split, label) for label in (largest, smallest)),
                f"{filled[largest]:,} images and {filled[smallest]:,}, {ratio:.0f} times as many",
            ),
        )
