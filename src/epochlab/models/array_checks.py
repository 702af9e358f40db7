"""What an array in a weights file must be before it is read, and after it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import h5py
    import numpy as np
else:
    np = lazy_import("numpy")

# HDF5 unpacks whole chunks, whatever the array's own size is.
SMALL_CHUNK = 2**20


@dataclass(frozen=True)
class Mismatch:
    """One row of the table that a person gets to see."""

    place: str
    expected: str
    found: str


def check_form(dataset: "h5py.Dataset", shape: tuple[int, ...]) -> str | None:
    """Returns what is wrong with an array that has not been read, or None if it may be read.

    Only arrays of the expected shape and type are ever read: a file that declares terabytes, or
    Python objects, costs no memory and runs nothing.
    """
    found = f"{dataset.dtype} {dataset.shape}"
    if dataset.shape is None or tuple(dataset.shape) != shape:
        if dataset.shape is not None and sorted(dataset.shape) == sorted(shape):
            return f"{found}, transposed?"
        return found
    if dataset.dtype.kind != "f" or dataset.dtype.itemsize != 4:
        return found
    if dataset.id.get_storage_size() == 0:
        return f"{found}, but no values stored"
    if dataset.chunks and math.prod(dataset.chunks) > max(math.prod(shape), SMALL_CHUNK):
        return f"{found} in chunks of {dataset.chunks}"
    return None


def check_values(array: "np.ndarray") -> str | None:
    """Returns what is wrong with an array that has been read, or None."""
    not_finite = array.size - np.count_nonzero(np.isfinite(array))
    return f"{not_finite:,} of {array.size:,} values NaN or infinite" if not_finite else None


def format_table(mismatches: Sequence[Mismatch]) -> str:
    """Returns the table of everything that does not fit, one line each under a heading."""
    rows = [Mismatch("layer", "expected", "found"), *mismatches]
    places = max(len(row.place) for row in rows)
    wanted = max(len(row.expected) for row in rows)
    return "\n".join(
        f"  {row.place:<{places}}  {row.expected:<{wanted}}  {row.found}" for row in rows
    )
