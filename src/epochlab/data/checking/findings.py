"""What a check can find: each kind with its weight, its words and the advice that goes with it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["problem", "warning", "note"]


@dataclass(frozen=True)
class Kind:
    """One kind of finding.

    Attributes:
        severity: A `problem` stops or spoils a training, a `warning` may, a `note` is a fact.
        title: What its items are, in the plural.
        advice: What to do about them.
        heading: What stands above a picture of one, or None where a look does not help.
    """

    severity: Severity
    title: str
    advice: str
    heading: str | None = None


@dataclass(frozen=True)
class Item:
    """One thing found.

    Attributes:
        paths: The files or folders that it is about, below the checked folder. Of images that
            belong together, the one to keep comes first.
        reason: What is the matter with them.
    """

    paths: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Finding:
    """All items of one kind.

    Attributes:
        name: The kind, a key of `KINDS`.
        items: At least one, in an order that no file system decides.
    """

    name: str
    items: tuple[Item, ...]

    @property
    def kind(self) -> Kind:
        """What is known of the kind."""
        return KINDS[self.name]


# In the order in which they are told.
KINDS = {
    "missing_split": Kind(
        "problem",
        "splits that training needs and that are not there",
        "Make them with `epochlab prepare`.",
    ),
    "missing_class": Kind(
        "problem",
        "classes that are not in every split",
        "Training refuses this: add the folders, with images, or remove the class everywhere.",
    ),
    "empty_class": Kind(
        "problem",
        "class folders without an image to train on",
        "Training refuses this: add images, or remove the class from every split.",
    ),
    "undecodable": Kind(
        "problem",
        "files that cannot be decoded",
        "Fetch or convert them again; until then the skip list leaves them out.",
        heading="cannot be decoded",
    ),
    "two_labels": Kind(
        "problem",
        "images that lie under two labels, byte for byte",
        "Remove the copies whose label is wrong; until then the skip list leaves all of them out.",
        heading="the same, two labels",
    ),
    "leak": Kind(
        "problem",
        "images that lie in two splits, byte for byte",
        "They make the test look better than it is. The skip list keeps them in test, or else in "
        "validation.",
        heading="the same, in two splits",
    ),
    "repeated": Kind(
        "problem",
        "images that lie twice in one split, byte for byte",
        "They count twice. The skip list keeps the first.",
        heading="the same, in one split",
    ),
    "near_two_labels": Kind(
        "warning",
        "pairs that look the same under two labels",
        "Look at them, and remove what is labelled wrongly.",
        heading="alike, two labels",
    ),
    "near_leak": Kind(
        "warning",
        "pairs that look the same in two splits",
        "Look at them; --skip-near puts the one in train (or else in validation) on the skip list.",
        heading="alike, in two splits",
    ),
    "near_repeated": Kind(
        "warning",
        "pairs that look the same in one split",
        "Look at them; --skip-near puts the second on the skip list.",
        heading="alike, in one split",
    ),
    "wrong_suffix": Kind(
        "warning",
        "files whose suffix does not fit their content",
        "Rename them. Training goes by content, other programs may not.",
    ),
    "tiny_class": Kind(
        "warning",
        "classes with very few images",
        "Hardly anything can be learned from them: collect more, or merge classes.",
    ),
    "imbalance": Kind(
        "warning",
        "large differences between classes",
        "Accuracy then says little about the small ones: look at the accuracy of each class.",
    ),
    "odd_size": Kind(
        "note",
        "images of odd size or shape",
        "Look at them: they may be icons, banners or strips.",
        heading="odd size or shape",
    ),
    "one_colour": Kind(
        "note",
        "images of nearly one colour",
        "Look at them: there may be nothing to see. They are not compared for likeness.",
        heading="nearly one colour",
    ),
    "color_mode": Kind(
        "note",
        "images that are neither plain RGB nor plain grey",
        "Nothing to do, if what is said of each is what you want.",
    ),
    "orientation": Kind(
        "note",
        "photographs that their EXIF orientation would turn or mirror",
        "Training does not apply it: they are seen as stored. Turn the pixels, in every split, if "
        "that matters.",
    ),
    "animated": Kind(
        "note",
        "animated images",
        "The first frame is used.",
    ),
    "left_alone": Kind(
        "note",
        "files and folders that are left alone",
        "Training leaves them alone too. Move or convert what should be trained on.",
    ),
}


def collect_findings(found: Iterable[tuple[str, Item]]) -> tuple[Finding, ...]:
    """Sorts items by kind, in the order of `KINDS`; within a kind they keep theirs.

    Args:
        found: The name of the kind and the item.
    """
    items: dict[str, list[Item]] = {name: [] for name in KINDS}
    for name, item in found:
        items[name].append(item)
    return tuple(Finding(name, tuple(found)) for name, found in items.items() if found)
