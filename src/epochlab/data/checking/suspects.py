"""Which of the images that were found a person should look at, side by side where they are two."""

from collections.abc import Sequence
from dataclasses import dataclass

from epochlab.data.checking.findings import Finding


@dataclass(frozen=True)
class Suspect:
    """One image, or two that are the same, to be looked at.

    Attributes:
        heading: What kind of finding it is, in a few words.
        paths: One or two files below the checked folder.
        reason: What is the matter.
        decodable: Whether there is a picture to show.
    """

    heading: str
    paths: tuple[str, ...]
    reason: str
    decodable: bool


def choose_suspects(findings: Sequence[Finding], most_pictures: int) -> list[Suspect]:
    """Chooses what to draw: of each pictured kind in turn one item, until the sheet is full.

    Args:
        findings: By kind.
        most_pictures: At most this many files in all.

    Returns:
        The chosen ones, by kind in the order of `findings`.
    """
    waiting = [
        [
            Suspect(heading, item.paths[:2], item.reason, finding.name != "undecodable")
            for item in finding.items
        ]
        for finding in findings
        if (heading := finding.kind.heading) is not None
    ]
    chosen: list[list[Suspect]] = [[] for _ in waiting]
    room = most_pictures
    position = 0
    while any(position < len(suspects) for suspects in waiting):
        for suspects, taken in zip(waiting, chosen, strict=True):
            if position < len(suspects) and len(suspects[position].paths) <= room:
                taken.append(suspects[position])
                room -= len(suspects[position].paths)
        if not room:
            break
        position += 1
    return [suspect for taken in chosen for suspect in taken]
