"""The manifest of a prepared folder: what it was made from, and whether it is still that."""

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from epochlab.data.listing import SPLITS
from epochlab.data.sources import Source, SourceFile, list_folder, shown
from epochlab.errors import DataError

MANIFEST = "prepared.json"
# Counts up when the manifest's keys change their meaning.
MANIFEST_FORMAT = 1
_REMEDY = "remove it and prepare again, or choose another DEST; nothing was changed"


def write_manifest(folder: Path, content: Mapping[str, Any]) -> None:
    """Writes the manifest into `folder` and puts it on disk."""
    # Plain ASCII: names that are not UTF-8 come back from it as they were.
    with (folder / MANIFEST).open("x", encoding="ascii") as written:
        json.dump({"format": MANIFEST_FORMAT, **content}, written, indent=1)
        written.write("\n")
        written.flush()
        os.fsync(written.fileno())


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Reads the manifest of `folder`; None where nothing is there, or an empty folder.

    Raises:
        DataError: If anything else is there, or the manifest is damaged.
    """
    if not os.path.lexists(folder):
        return None
    if not folder.is_dir():
        raise DataError(f"{folder}: is there already and no folder; choose another DEST")
    try:
        if not any(folder.iterdir()):
            return None
        if not stat.S_ISREG((folder / MANIFEST).lstat().st_mode):
            raise FileNotFoundError
        content = json.loads((folder / MANIFEST).read_text(encoding="ascii"))
        _check_form(content)
    except FileNotFoundError as error:
        raise DataError(
            f"{folder}: is there already and was not made by `epochlab prepare`, or not whole; "
            f"{_REMEDY}"
        ) from error
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be read ({error.strerror}); change its rights"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{folder / MANIFEST}: is damaged; {_REMEDY}") from error
    return content


def _check_form(content: Any) -> None:
    """Makes sure of what the comparisons rely on, whoever wrote the file."""
    keys = {"size", "sha256", "source"}
    if (
        content["format"] != MANIFEST_FORMAT
        or not isinstance(content["arguments"], dict)
        or not all(keys <= record.keys() for record in content["files"].values())
    ):
        raise ValueError("another form")


def check_arguments(folder: Path, manifest: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Refuses a folder that was made by other arguments, naming them."""
    made = manifest["arguments"]
    differences = [
        f"{name} {shown(str(made.get(name)))}, asked for {shown(str(value))}"
        for name, value in asked.items()
        if made.get(name) != value
    ]
    if differences:
        raise DataError(f"{folder}: was made with {'; '.join(differences)}; {_REMEDY}")


def check_source(
    folder: Path, manifest: Mapping[str, Any], source: Source, files: Mapping[str, SourceFile]
) -> None:
    """Refuses a folder whose source would give other files by now, so far as sizes tell."""
    made = {name: (record["size"], record["source"]) for name, record in manifest["files"].items()}
    now = {name: (file.size, file.path) for name, file in files.items()}
    changed = sorted(name for name in made.keys() | now.keys() if made.get(name) != now.get(name))
    if changed:
        raise DataError(
            f"{folder}: {source.place} has changed since it was made: it gives {_few(changed)} "
            f"otherwise; {_REMEDY}"
        )


def verify_files(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Compares every file below train, validation and test with the manifest.

    Whatever lies beside these folders, a list of files to skip say, does not matter.

    Raises:
        DataError: If a file is missing, changed or too many.
    """
    records = manifest["files"]
    listed = list_folder(folder)
    found = {file.path: file for file in listed.files}
    # A folder more would be a class more to whatever reads this, even an empty one.
    folders = {str(parent) for path in records for parent in PurePosixPath(path).parents}
    present = [*found, *(path for path, _ in listed.skipped)]
    extra = [path for path in present if path not in records]
    extra += [path for path in listed.folders if path not in folders]
    problems = [f"{path} (too many)" for path in extra if path.partition("/")[0] in SPLITS]
    for path, record in records.items():
        if path not in found:
            problems.append(f"{path} (missing)")
        elif not _is_same(listed, found[path], record):
            problems.append(f"{path} (changed)")
    if problems:
        raise DataError(f"{folder}: is no longer what was made: {_few(problems)}; {_REMEDY}")


def _is_same(listed: Source, file: SourceFile, record: Mapping[str, Any]) -> bool:
    if file.size != record["size"]:
        return False
    digest = hashlib.sha256()
    for chunk in listed.read(file):
        digest.update(chunk)
    return digest.hexdigest() == record["sha256"]


def _few(names: list[str]) -> str:
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return ", ".join(map(shown, names[:3])) + more
