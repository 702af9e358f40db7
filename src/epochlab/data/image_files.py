"""The image files of a dataset: hashed once, decoded when their pixels are asked for."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from epochlab.data.decoding import (
    Aspect,
    ColorMode,
    Interpolation,
    decode_image,
    resize_image,
)
from epochlab.data.sources import shown
from epochlab.data.threads import map_in_threads
from epochlab.errors import DataError
from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy_import("numpy")


class UnsteadyFileError(DataError):
    """A file cannot be read, or is not the one that was hashed: of that one nothing is known."""


@dataclass(frozen=True)
class ImageFiles:
    """A list of image files and how they come to one size.

    Attributes:
        root: The folder that they lie in.
        paths: Where each lies below `root`.
        hashes: SHA-256 of each when it was listed, hexadecimal.
        image_size: Height and width to come to, in pixels.
        color_mode: As in `decode_image`.
        interpolation: As in `resize_image`.
        aspect: As in `resize_image`.
    """

    root: Path
    paths: Sequence[str]
    hashes: Sequence[str]
    image_size: tuple[int, int]
    color_mode: ColorMode
    interpolation: Interpolation
    aspect: Aspect

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every image, in pixels."""
        return (*self.image_size, 3 if self.color_mode == "rgb" else 1)

    def decode(self, position: int) -> "np.ndarray":
        """Returns the pixels of one file, uint8 `image_shape`.

        Raises:
            UnsteadyFileError: If it cannot be read, or is not the file any more that was hashed.
            DataError: If it cannot be decoded, with the reason alone.
        """
        content = _read(self.root / self.paths[position])
        if hashlib.sha256(content).hexdigest() != self.hashes[position]:
            raise UnsteadyFileError(
                f"{shown(str(self.root / self.paths[position]))}: has changed since this run "
                "listed it; leave the data alone while a run reads it, and start again"
            )
        image = decode_image(content, self.color_mode)
        return resize_image(image, self.image_size, self.interpolation, self.aspect)

    def read(self, positions: "np.ndarray") -> "np.ndarray":
        """Decodes the files at `positions`, int64 `(m,)`, to uint8 `(m, *image_shape)`."""
        decoded = list(map_in_threads(self.decode, positions.tolist()))
        return np.stack(decoded) if decoded else np.empty((0, *self.image_shape), np.uint8)


def hash_files(root: Path, paths: Sequence[str]) -> list[str]:
    """Returns the SHA-256 of each file, hexadecimal.

    Raises:
        UnsteadyFileError: If a file cannot be read.
    """
    return list(map_in_threads(lambda path: hashlib.sha256(_read(root / path)).hexdigest(), paths))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnsteadyFileError(
            f"{shown(str(path))}: cannot be read ({error.strerror}); bring the file back, or "
            "change its rights"
        ) from error
