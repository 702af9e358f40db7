"""Groups, arrays and names in an HDF5 file that is not trusted: nothing leads out of the file."""

import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epochlab.errors import RunError
from epochlab.lazy_import import lazy_import

if TYPE_CHECKING:
    import h5py
    import numpy as np
else:
    h5py = lazy_import("h5py")
    np = lazy_import("numpy")

# The largest network of Keras has a fifth of it.
MAXIMUM_ENTRIES = 5_000
MAXIMUM_NAME_BYTES = 2**16


@dataclass(frozen=True)
class Hdf5Source:
    """A file that is being read, and what a person can do if it is no good.

    Attributes:
        path: The file.
        remedy: The end of each message.
    """

    path: Path
    remedy: str

    def error(self, found: str) -> RunError:
        """Returns the refusal of the file: what was found in it, and the remedy."""
        return RunError(f"{self.path}: {found}; {self.remedy}")


def shown(name: str) -> str:
    """Returns a name from a file as printable text of bounded length."""
    escaped = ascii(name)[1:-1]
    return escaped if len(escaped) <= 80 else escaped[:77] + "..."


def step(source: Hdf5Source, group: Any, name: str, *, to_array: bool = False) -> Any:
    """Returns the group, or the array, that lies at `name` below `group`.

    Raises:
        RunError: If it is not there, or not a part of this very file: a link to somewhere else in
            it or out of it, an array whose values lie in other files.
    """
    place = shown(f"{group.name}/{name}")
    for part in name.split("/"):
        link = group.get(part, getlink=True) if part and isinstance(group, h5py.Group) else None
        if link is None:
            raise source.error(f"has no {place}, which it says it has")
        if not isinstance(link, h5py.HardLink):
            raise source.error(f"{place} is a link; links are not followed")
        group = group[part]
    if isinstance(group, h5py.Dataset) != to_array:
        raise source.error(f"{place} is no {'array' if to_array else 'group'}")
    if to_array and (group.external or group.is_virtual):
        raise source.error(f"{place} lies in other files; they are not opened")
    return group


def has_names(group: "h5py.Group", attribute: str) -> bool:
    """Tells whether `group` has that list of names, whole or in numbered parts."""
    return attribute in group.attrs or f"{attribute}0" in group.attrs


def read_names(source: Hdf5Source, group: "h5py.Group", attribute: str) -> list[str]:
    """Returns the names that an attribute lists; Keras cuts long lists into numbered attributes.

    Raises:
        RunError: If they are no text, or too many to be true.
    """
    parts = [attribute]
    if attribute not in group.attrs:
        numbered = (f"{attribute}{number}" for number in range(MAXIMUM_ENTRIES))
        parts = list(itertools.takewhile(lambda part: part in group.attrs, numbered))
    names: list[str] = []
    for part in parts:
        stored = group.attrs.get_id(part)
        count = math.prod(stored.shape)
        check_count(source, count + len(names), attribute)
        # Keras writes an empty list as one of numbers.
        if count and (not _is_text(stored) or stored.dtype.itemsize > MAXIMUM_NAME_BYTES):
            raise source.error(
                f"{attribute} of {shown(str(group.name))} is {stored.dtype}, expected names"
            )
        names += map(_to_text, np.ravel(np.asarray(group.attrs[part])) if count else [])
    return names


def read_text(group: "h5py.Group", attribute: str) -> str | None:
    """Returns an attribute that is one text, or None if there is no such attribute."""
    if attribute not in group.attrs:
        return None
    stored = group.attrs.get_id(attribute)
    value: Any = group.attrs[attribute] if stored.shape == () and _is_text(stored) else None
    return _to_text(value) if isinstance(value, str | bytes) else None


def check_count(source: Hdf5Source, count: int, what: str) -> None:
    """Refuses a list longer than any network has layers."""
    if count > MAXIMUM_ENTRIES:
        raise source.error(f"{shown(what)} has {count} entries, more than a network")


def _is_text(stored: Any) -> bool:
    return stored.dtype.kind == "S" or h5py.check_string_dtype(stored.dtype) is not None


def _to_text(name: str | bytes) -> str:
    return name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else str(name)
