"""Hashes of numbers, not of the files that hold them."""

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import keras
    import numpy as np
else:
    np = lazy_import("numpy")


def arrays_sha256(arrays: Mapping[str, "np.ndarray"]) -> str:
    """Returns one SHA-256 over names, dtypes, shapes and bytes, hexadecimal, in order of name."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])  # which makes one number an array of one
        digest.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(as_bytes(array).data)
    return digest.hexdigest()


def as_bytes(array: "np.ndarray") -> "np.ndarray":
    """Returns the bytes of `array` in C order, uint8 `(n,)`; a copy only where it is in another."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def weights_sha256(model: "keras.Model") -> str:
    """Returns the SHA-256 over all weights of `model`: what two equal trainings share."""
    return arrays_sha256({weight.path: np.asarray(weight) for weight in model.weights})
