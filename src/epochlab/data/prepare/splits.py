"""Which images train, which validate, which test: by number or by ratio."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from epochlab.data.listing import SPLITS
from epochlab.data.prepare.layouts import Image
from epochlab.data.sources import shown
from epochlab.errors import ConfigError, DataError

# Images per class in the articles that use the Kaggle set: 2,000 of its 25,000 train.
NUMBER_COUNTS = {"train": 1000, "validation": 500, "test": 500}

_RATIO = re.compile(r"[0-9]?\.?[0-9]{1,9}")


@dataclass(frozen=True)
class Ratios:
    """Shares of the images of each class, which add up to 1."""

    train: Decimal
    validation: Decimal
    test: Decimal

    def __str__(self) -> str:
        return ",".join(
            f"{share.normalize():f}" for share in (self.train, self.validation, self.test)
        )


def parse_ratios(text: str) -> Ratios:
    """Reads `0.7,0.15,0.15`: train, validation and test.

    Raises:
        ConfigError: If these are not three numbers that add up to 1, or nothing is left to train.
    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) == 3 and all(map(_RATIO.fullmatch, parts)):
        ratios = Ratios(*map(Decimal, parts))
        if ratios.train > 0 and ratios.train + ratios.validation + ratios.test == 1:
            return ratios
    raise ConfigError(
        f"--split {shown(text)}: expected three shares of train, validation and test that add up "
        "to exactly 1, the first above 0, as in --split 0.7,0.15,0.15"
    )


def split_by_number(images: Sequence[Image]) -> dict[str, list[Image]]:
    """Gives, of each class, the lowest 1000 numbers to train, 500 to validate, 500 to test.

    The numbers need not be without gaps: those that are there count, in ascending order. The Kaggle
    set, which starts at 0, gives 0..999, 1000..1499 and 1500..1999. What is above stays out.

    Raises:
        DataError: If a class has fewer images.
    """
    needed = sum(NUMBER_COUNTS.values())
    parts: dict[str, list[Image]] = {name: [] for name in SPLITS}
    for class_name, members in _by_class(images).items():
        if len(members) < needed:
            raise DataError(
                f"class {class_name}: has {len(members):,} images; the split by number takes "
                f"{needed:,} of each class; give the whole set, or --split 0.7,0.15,0.15"
            )
        _deal(parts, sorted(members, key=lambda image: image.number), NUMBER_COUNTS)
    return parts


def split_by_ratio(images: Sequence[Image], ratios: Ratios, seed: int) -> dict[str, list[Image]]:
    """Splits each class by `ratios`, in the order of a hash of seed, class and name.

    Neither the order of the files nor the rest of the data matters. An image that is added moves at
    most a few others, those at the borders between the splits, and no other class at all.

    Raises:
        DataError: If a class has too few images for one in each split.
    """
    parts: dict[str, list[Image]] = {name: [] for name in SPLITS}
    for class_name, members in _by_class(images).items():
        held_out = {
            name: _share(len(members), getattr(ratios, name)) for name in ("test", "validation")
        }
        left = len(members) - sum(held_out.values())
        if left < 1:
            raise DataError(
                f"class {shown(class_name)}: has {len(members)} images, too few for one in each "
                f"split of {ratios}; add images, take the class away, or change --split"
            )
        _deal(parts, sorted(members, key=_hash_order(seed)), held_out | {"train": left})
    return parts


def _by_class(images: Iterable[Image]) -> dict[str, list[Image]]:
    classes: dict[str, list[Image]] = defaultdict(list)
    for image in images:
        classes[image.class_name].append(image)
    return {name: classes[name] for name in sorted(classes)}


def _hash_order(seed: int) -> Callable[[Image], bytes]:
    def order(image: Image) -> bytes:
        key = f"{seed}\0{image.class_name}\0{image.name}".encode("utf-8", "surrogateescape")
        return hashlib.sha256(key).digest()

    return order


def _share(count: int, share: Decimal) -> int:
    """Rounds, but to no less than one image: an empty split of a class could not be scored."""
    if not share:
        return 0
    return max(1, int((count * share).to_integral_value(ROUND_HALF_UP)))


def _deal(
    parts: Mapping[str, list[Image]], ordered: Sequence[Image], counts: Mapping[str, int]
) -> None:
    start = 0
    for name, count in counts.items():
        parts[name].extend(ordered[start : start + count])
        start += count
