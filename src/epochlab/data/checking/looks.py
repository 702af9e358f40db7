"""What an image looks like in 264 bytes, and which images look the same."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from epochlab.data.decoding import resize_image
from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy_import("numpy")

# Chosen on 4,000 photographs of cats and dogs. Of their 8 million pairs the two that are the same
# picture differ in 0 bits and correlate by 0.999; any other pair differs in at least 10 bits and
# correlates by less than 0.9. The same photograph at JPEG quality 10, half the size, 0.7 or 1.2 of
# the brightness or 1.3 of the contrast stays within 8 bits and (but for few) above 0.98. The
# correlation is for drawings and digits, of which many share their coarse structure.
MAXIMUM_DISTANCE = 8
MINIMUM_CORRELATION = 0.98
# Standard deviation of the thumbnail, of 255. The photographs have 12 and more; below, the hash
# would tell noise from noise.
MINIMUM_CONTRAST = 3.0

THUMBNAIL_SIDE = 16

_GRID = 32
_FREQUENCIES = 8
# Images that are compared with all earlier ones at once; more of them fall out of the CPU's cache.
_BLOCK = 64


@dataclass(frozen=True, slots=True)
class Look:
    """An image's coarse structure.

    Attributes:
        bits: The perceptual hash, 64 bits.
        thumbnail: 16 x 16 grey values, 0..255.
    """

    bits: bytes
    thumbnail: bytes


@dataclass(frozen=True, slots=True)
class LikePair:
    """Two images that look the same.

    Attributes:
        first: The position of the one that comes first.
        second: The position of the other.
        distance: In how many of 64 bits their hashes differ.
    """

    first: int
    second: int
    distance: int


def describe_look(image: "np.ndarray") -> Look | None:
    """Returns what `image` looks like, or None if it is of nearly one colour.

    The hash is the DCT hash of C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash
    Functions" (2010), section 3.2.1: the signs of the 64 lowest frequencies against their median.

    Args:
        image: uint8 `(height, width, 3)`, 0..255.
    """
    small = resize_image(image, (_GRID, _GRID), "area", "stretch")
    grey = small @ np.array([0.299, 0.587, 0.114])
    step = _GRID // THUMBNAIL_SIDE
    blocks = grey.reshape(THUMBNAIL_SIDE, step, THUMBNAIL_SIDE, step)
    thumbnail = blocks.mean((1, 3)).round().astype(np.uint8)
    if thumbnail.std() < MINIMUM_CONTRAST:
        return None
    angles = np.pi / _GRID * (np.arange(_GRID) + 0.5) * np.arange(_FREQUENCIES)[:, None]
    waves = np.cos(angles)
    spectrum = (waves @ grey @ waves.T).ravel()
    # The first is the mean brightness, which says nothing about structure.
    bits = np.packbits(spectrum > np.median(spectrum[1:]))
    return Look(bits.tobytes(), thumbnail.tobytes())


def find_like_pairs(
    looks: Sequence[Look], splits: Sequence[str], labels: Sequence[str]
) -> list[LikePair]:
    """Finds images that look the same as an earlier one.

    Each image is paired at most three times: with the most similar earlier image of its class in
    its own split, of its class in another split, and of another class. So the answer stays small
    even if all images are alike. Within a class, earlier images that are like no still earlier
    one of the class go first: who drops every `second` keeps every `first` of these.

    All pairs of hashes are compared, 64 rows at a time: 100,000 images take seconds.

    Args:
        looks: Of each image, those to keep first.
        splits: The split of each.
        labels: The class of each.

    Returns:
        The pairs, sorted by `second`.
    """
    split_of, label_of = (np.unique(names, return_inverse=True)[1] for names in (splits, labels))
    leads = np.ones(len(looks), bool)
    pairs = []
    for row, earlier, distances in _compare(looks):
        same_label = label_of[earlier] == label_of[row]
        same_split = split_of[earlier] == split_of[row]
        led = same_label & leads[earlier]
        leads[row] = not led.any()
        for wanted in (same_label & ~same_split, same_label & same_split, ~same_label):
            chosen = np.flatnonzero(wanted & led if (wanted & led).any() else wanted)
            if len(chosen):
                nearest = chosen[np.argmin(distances[chosen])]
                pairs.append(LikePair(int(earlier[nearest]), row, int(distances[nearest])))
    return pairs


def _compare(looks: Sequence[Look]) -> Iterator[tuple[int, "np.ndarray", "np.ndarray"]]:
    """Yields each position with earlier ones that look the same: these and their distances."""
    hashes = np.frombuffer(b"".join(look.bits for look in looks), np.uint64)
    thumbnails = np.frombuffer(b"".join(look.thumbnail for look in looks), np.uint8)
    thumbnails = thumbnails.reshape(len(looks), -1)
    for start in range(0, len(looks), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(looks)))
        distances = np.bitwise_count(hashes[rows, None] ^ hashes[: rows[-1] + 1])
        alike = distances <= MAXIMUM_DISTANCE
        alike &= np.arange(rows[-1] + 1) < rows[:, None]
        columns = np.flatnonzero(alike.any(axis=0))
        if not len(columns):
            continue
        distances, alike = distances[:, columns], alike[:, columns]
        alike &= _normalise(thumbnails[rows]) @ _normalise(thumbnails[columns]).T >= (
            MINIMUM_CORRELATION
        )
        for position in np.flatnonzero(alike.any(axis=1)):
            chosen = alike[position]
            yield int(rows[position]), columns[chosen], distances[position, chosen]


def _normalise(thumbnails: "np.ndarray") -> "np.ndarray":
    """Makes the dot product of two rows their correlation."""
    centred = thumbnails - thumbnails.mean(axis=1, keepdims=True, dtype=np.float32)
    return centred / np.linalg.norm(centred, axis=1, keepdims=True)
