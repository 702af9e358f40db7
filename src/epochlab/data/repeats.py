"""The same bytes more than once in a dataset: in two splits, or under two labels."""

from collections import defaultdict
from collections.abc import Sequence

from epochlab.data.sources import shown
from epochlab.errors import DataError

# Up to this share of a dataset a repeated file is a warning; beyond, no test result means anything.
MAXIMUM_REPEATED_SHARE = 0.05
LISTED_FILES = 5


def check_repeats(
    source: str,
    paths: Sequence[str],
    splits: Sequence[str],
    labels: Sequence[int],
    hashes: Sequence[str],
) -> list[str]:
    """Looks for files with the same bytes in several splits or under several labels.

    Args:
        source: The dataset, for the message.
        paths: Of each file.
        splits: The split that each is in.
        labels: The class of each.
        hashes: SHA-256 of each.

    Returns:
        A warning for each of the two that occurs.

    Raises:
        DataError: If more than 5 % of the images outside the training split are in another split
            too, or of all images are under several labels.
    """
    same: dict[str, list[int]] = defaultdict(list)
    for position, digest in enumerate(hashes):
        same[digest].append(position)
    repeated = [group for group in same.values() if len(group) > 1]
    leaked = [
        position
        for group in repeated
        if len({splits[position] for position in group}) > 1
        for position in group
        if splits[position] != "train"
    ]
    torn = [
        position
        for group in repeated
        if len({labels[position] for position in group}) > 1
        for position in group
    ]
    scored = sum(split != "train" for split in splits)
    found = (
        (leaked, scored, "validation and test images are in another split too"),
        (torn, len(paths), "images are under two labels"),
    )
    warnings = []
    for positions, total, words in found:
        if not positions:
            continue
        names = ", ".join(shown(paths[position]) for position in positions[:LISTED_FILES])
        message = f"{len(positions):,} of {total:,} {words}, byte for byte: {names}"
        message += ", ..." if len(positions) > LISTED_FILES else ""
        if len(positions) > MAXIMUM_REPEATED_SHARE * total:
            raise DataError(
                f"{source}: {message}; no result would mean anything; `epochlab check-data` lists "
                "them and writes a data.skip_list that leaves them out"
            )
        warnings.append(message)
    return warnings
