"""The same bytes more than once in a dataset: in two splits, or under two labels."""

from collections import defaultdict
from collections.abc import Collection, Sequence

from epochlab.data.listing import ListedImages
from epochlab.data.sources import list_shown
from epochlab.errors import DataError

# Up to this share of a dataset a repeated file is a warning; beyond, no test result means anything.
MAXIMUM_REPEATED_SHARE = 0.05
LISTED_FILES = 5


def check_repeats(
    source: str, listed: ListedImages, hashes: Sequence[str], left_out: Collection[str]
) -> list[str]:
    """Looks for files with the same bytes in several splits or under several labels.

    Args:
        source: The dataset, for the message.
        listed: The files.
        hashes: SHA-256 of each.
        left_out: Paths of those that are neither trained on nor scored.

    Returns:
        A warning for each of the two that occurs.

    Raises:
        DataError: If more than 5 % of the images outside the training split are in another split
            too, or of all images are under several labels.
    """
    splits, labels = listed.splits, listed.labels
    used = [position for position, path in enumerate(listed.paths) if path not in left_out]
    same: dict[str, list[int]] = defaultdict(list)
    for position in used:
        same[hashes[position]].append(position)
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
    scored = sum(splits[position] != "train" for position in used)
    found = (
        (leaked, scored, "validation and test images are in another split too"),
        (torn, len(used), "images are under two labels"),
    )
    warnings = []
    for positions, total, words in found:
        if not positions:
            continue
        names = list_shown([listed.paths[position] for position in positions], LISTED_FILES)
        message = f"{len(positions):,} of {total:,} {words}, byte for byte: {names}"
        if len(positions) > MAXIMUM_REPEATED_SHARE * total:
            raise DataError(
                f"{source}: {message}; no result would mean anything; `epochlab check-data` lists "
                "them and writes a data.skip_list that leaves them out"
            )
        warnings.append(message)
    return warnings
