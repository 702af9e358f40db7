"""Where a picture comes from, by the text fields in it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from epochlab.errors import RunError
from epochlab.run_search import list_run_folders

FIELDS = ("experiment", "run", "seed", "config_sha256", "commit", "versions", "best_epoch")


def read_provenance(path: Path) -> dict[str, str]:
    """Returns what the picture at `path` says of itself.

    Raises:
        RunError: If it is no PNG file, or not one of Epochlab's.
    """
    from PIL import Image

    try:
        with Image.open(path, formats=["PNG"]) as image:
            image.load()  # text may come after the pixels
            fields = {str(key): str(value) for key, value in image.info.items()}
    except (OSError, ValueError, SyntaxError) as error:
        reason = "no such file" if not path.exists() else "not a PNG file that can be read"
        raise RunError(f"{path}: {reason}; give a picture that Epochlab drew") from error
    known = ("comparison", *FIELDS)
    found = {name: fields[name] for name in known if name in fields}
    if not {"run", "comparison"} & set(found):
        raise RunError(
            f"{path}: says nothing of where it comes from; it is not Epochlab's, or a program has "
            "saved it anew without its text fields"
        )
    return found


@dataclass(frozen=True)
class RunFolders:
    """The folders of all runs, for one or many pictures.

    Attributes:
        outputs: Folder of all experiments' runs.
    """

    outputs: Path

    @cached_property
    def by_name(self) -> Mapping[str, Sequence[Path]]:
        """All run folders by their names, looked for when this is first asked for."""
        found: dict[str, list[Path]] = {}
        for folder in list_run_folders(self.outputs):
            found.setdefault(folder.name, []).append(folder)
        return found


def describe_provenance(path: Path, folders: RunFolders) -> str:
    """Returns what the picture says of itself, and where its run is now, for a person.

    Raises:
        RunError: As `read_provenance`.
    """
    fields = read_provenance(path)
    lines = [str(path)]
    if "comparison" in fields:
        lines += _list_compared(fields.pop("comparison"), folders)
    if "run" in fields:
        lines += _list_fields(path, folders, fields)
    return "\n".join(lines)


def _list_compared(text: str, folders: RunFolders) -> list[str]:
    """Returns the lines about each run of a comparison, under the label of its curve."""
    lines = []
    try:
        for label, runs in dict(json.loads(text)).items():
            lines.append(f"  {label}")
            for fields in runs:
                lines += [f"  {line}" for line in _list_fields(None, folders, fields)]
    except (ValueError, TypeError, KeyError, AttributeError):
        return [f"  {'comparison':14}{text}"]
    return lines


def _list_fields(path: Path | None, folders: RunFolders, fields: Mapping[str, str]) -> list[str]:
    lines = [f"  {name:14}{value}" for name, value in fields.items()]
    return [*lines, f"  {'folder':14}{_find_folder(path, folders, fields)}"]


def _find_folder(path: Path | None, folders: RunFolders, fields: Mapping[str, str]) -> str:
    """Returns where the run is, and whether its config is still that of the picture.

    Looked for beside the picture, then where a script puts a run, then anywhere in the outputs: a
    trial of a sweep lies deeper. Trials that began in the same second have one name, so that the
    config tells which of them it is.
    """
    name, experiment = fields["run"], fields.get("experiment", "")
    near = [path.absolute().parent] if path else []
    near = [
        folder
        for folder in (*near, folders.outputs / experiment / name)
        if folder.name == name and (folder / "config.yaml").is_file()
    ]
    for folder in near:
        if _has_config(folder, fields):
            return str(folder)
    anywhere = folders.by_name.get(name, ())
    for folder in anywhere:
        if _has_config(folder, fields):
            return str(folder)
    # Runs of other experiments may have the name, too.
    changed = [*near, *(folder for folder in anywhere if folder.parent.name == experiment)]
    if changed:
        known = "config_sha256" in fields
        return f"{changed[0]}{' (its config is no longer that of the picture)' if known else ''}"
    return f"not found in {folders.outputs}; --outputs DIR names another place"


def _has_config(folder: Path, fields: Mapping[str, str]) -> bool:
    sha256 = hashlib.sha256((folder / "config.yaml").read_bytes()).hexdigest()
    return sha256 == fields.get("config_sha256")
