"""The same image twice, by its bytes or by its look, and which copy stays."""

from collections.abc import Sequence

from epochlab.data.checking.findings import Item
from epochlab.data.checking.inspection import Decoded, Inspected
from epochlab.data.checking.layout import WHOLE
from epochlab.data.checking.looks import Look, find_like_pairs
from epochlab.data.sources import shown

# What is to be judged stays whole: train gives way to validation, and validation to test.
RANKS = {"test": 0, "validation": 1, "train": 2, WHOLE: 3}

Found = tuple[list[tuple[str, Item]], dict[str, str]]


def find_exact_copies(images: Sequence[Inspected]) -> Found:
    """Finds images of the same bytes, by SHA-256. Those that cannot be decoded are left out.

    Returns:
        Kind and item of each group, and path -> reason of what belongs on the skip list: of copies
        under two labels all, of others all but the first in test, or else in validation, or else
        in train.
    """
    groups: dict[bytes, list[Inspected]] = {}
    for image in _by_rank(images):
        groups.setdefault(image.digest, []).append(image)
    items, skip = [], {}
    for group in groups.values():
        if len(group) == 1:
            continue
        paths = tuple(image.path for image in group)
        labels = sorted({image.image.label for image in group})
        splits = list(dict.fromkeys(image.image.split for image in group))
        if len(labels) > 1:
            reason = f"the same bytes are labelled {' and '.join(map(shown, labels))}"
            items.append(("two_labels", Item(paths, reason)))
            skip |= dict.fromkeys(paths, reason)
            continue
        if len(splits) > 1:
            items.append(("leak", Item(paths, f"the same bytes in {' and '.join(splits)}")))
        else:
            items.append(("repeated", Item(paths, f"the same bytes {len(paths):,} times")))
        skip |= dict.fromkeys(paths[1:], f"the same bytes as {shown(paths[0])}")
    return items, skip


def find_near_copies(images: Sequence[Inspected]) -> Found:
    """Finds images that look the same.

    Args:
        images: Those to compare: of exact copies one at most.

    Returns:
        Kind and item of each pair, the one that stays first; and path -> reason of what gives way
        among images of the same class.
    """
    looks: list[Look] = []
    ranked: list[Inspected] = []
    for image in _by_rank(images):
        if isinstance(image.result, Decoded) and image.result.look is not None:
            looks.append(image.result.look)
            ranked.append(image)
    splits = [image.image.split for image in ranked]
    labels = [image.image.label for image in ranked]
    items, skip = [], {}
    for pair in find_like_pairs(looks, splits, labels) if looks else ():
        first, second = ranked[pair.first], ranked[pair.second]
        item = Item((first.path, second.path), f"look the same ({pair.distance} of 64 bits differ)")
        if first.image.label != second.image.label:
            items.append(("near_two_labels", item))
            continue
        same_split = first.image.split == second.image.split
        items.append(("near_repeated" if same_split else "near_leak", item))
        if first.path not in skip:
            skip.setdefault(second.path, f"looks the same as {shown(first.path)}")
    return items, skip


def _by_rank(images: Sequence[Inspected]) -> list[Inspected]:
    decoded = [image for image in images if isinstance(image.result, Decoded)]
    return sorted(decoded, key=lambda image: (RANKS[image.image.split], image.path))
