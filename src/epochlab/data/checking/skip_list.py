"""The skip list: files below a folder that training leaves out, each with a reason."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from epochlab.data.sources import list_shown, shown
from epochlab.errors import DataError

SKIP_FORMAT = 1
SKIP_NAME = "skip.json"
REMEDY = "make one with `epochlab check-data DIR`, or set data.skip_list to null"
LISTED_ENTRIES = 5


def format_skip_list(folder: str, skip: Mapping[str, str]) -> str:
    """Returns the text of a skip list.

    It is ASCII, so that file names survive that are not UTF-8.

    Args:
        folder: The folder that was checked, as it was given.
        skip: Path below it, with `/` between folders, -> reason.
    """
    content = {"format": SKIP_FORMAT, "folder": folder, "skip": dict(sorted(skip.items()))}
    return json.dumps(content, indent=2) + "\n"


def read_skip_list(path: Path) -> dict[str, str]:
    """Reads what `epochlab check-data` wrote, or what somebody wrote in its place.

    Returns:
        Path of each file to leave out, below the folder of the images, with `/` between folders,
        -> reason, in the order of the paths.

    Raises:
        DataError: If there is no such file, or it is no skip list.
    """
    content = _read_json(path)
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected a skip list, got {_name_type(content)}; {REMEDY}")
    if content.get("format") != SKIP_FORMAT:
        given = json.dumps(content.get("format"))[:40] if "format" in content else "none"
        raise DataError(
            f"{path}: expected a skip list with format {SKIP_FORMAT}, got format {given}; {REMEDY}"
        )
    skip = content.get("skip")
    if not isinstance(skip, dict):
        given = _name_type(skip) if "skip" in content else "none"
        raise DataError(f"{path}: skip: expected paths and reasons, got {given}; {REMEDY}")
    for name, reason in skip.items():
        _check_entry(path, name, reason)
    return dict(sorted(skip.items()))


def check_entries(
    path: Path, num_entries: int, unmatched: Sequence[str], folder: str, example: str
) -> list[str]:
    """Looks whether a skip list is one of the folder that it is used for.

    Args:
        path: The skip list.
        num_entries: How many files it names.
        unmatched: Those of them that are not in the folder.
        folder: The folder, for the message.
        example: Path of any image below it.

    Returns:
        A warning, if only some of the files are there.

    Raises:
        DataError: If none of the files is there: a list of another folder, or in another spelling.
    """
    if not unmatched:
        return []
    names = list_shown(unmatched, LISTED_ENTRIES)
    if len(unmatched) == num_entries:
        raise DataError(
            f"{path}: none of its {num_entries:,} entries is a file of {folder}: {names}; expected "
            f"paths below that folder with / between folders, as in {shown(example)}; run "
            f"`epochlab check-data {folder}` for a list of its files, or set data.skip_list to null"
        )
    return [
        f"{len(unmatched):,} of {num_entries:,} entries of data.skip_list are no file of {folder}: "
        f"{names}; if the folder has changed, run `epochlab check-data` again"
    ]


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such skip list; {REMEDY}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); {REMEDY}") from error
    except RecursionError as error:
        raise DataError(f"{path}: is no skip list: nested too deeply; {REMEDY}") from error
    except ValueError as error:
        raise DataError(f"{path}: is no skip list: {error}; {REMEDY}") from error


def _check_entry(path: Path, name: str, reason: object) -> None:
    quoted = json.dumps(name)
    parts = PurePosixPath(name).parts
    if not parts or parts[0] == "/" or ".." in parts or str(PurePosixPath(name)) != name:
        raise DataError(
            f"{path}: skip: {quoted}: expected a path below the folder of the images, as in "
            f'"train/cat/1.jpg"; {REMEDY}'
        )
    if not isinstance(reason, str):
        raise DataError(
            f"{path}: skip: {quoted}: expected a reason in words, got {_name_type(reason)}; "
            f"{REMEDY}"
        )


def _name_type(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}
    return "null" if value is None else names.get(type(value), "a number")
