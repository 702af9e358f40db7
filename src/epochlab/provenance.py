"""Where a picture comes from, by the text fields in it."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from epochlab.errors import RunError

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


def describe_provenance(path: Path, outputs: Path) -> str:
    """Returns what the picture says of itself, and where its run is now, for a person.

    Raises:
        RunError: As `read_provenance`.
    """
    fields = read_provenance(path)
    lines = [str(path)]
    if "comparison" in fields:
        lines += _list_compared(fields.pop("comparison"), outputs)
    if "run" in fields:
        lines += _list_fields(path, outputs, fields)
    return "\n".join(lines)


def _list_compared(text: str, outputs: Path) -> list[str]:
    """Returns the lines about each run of a comparison, under the label of its curve."""
    lines = []
    try:
        for label, runs in dict(json.loads(text)).items():
            lines.append(f"  {label}")
            for fields in runs:
                lines += [f"  {line}" for line in _list_fields(None, outputs, fields)]
    except (ValueError, TypeError, KeyError, AttributeError):
        return [f"  {'comparison':14}{text}"]
    return lines


def _list_fields(path: Path | None, outputs: Path, fields: Mapping[str, str]) -> list[str]:
    lines = [f"  {name:14}{value}" for name, value in fields.items()]
    return [*lines, f"  {'folder':14}{_find_folder(path, outputs, fields)}"]


def _find_folder(path: Path | None, outputs: Path, fields: Mapping[str, str]) -> str:
    """Returns where the run is, and whether its config is still that of the picture."""
    beside = [path.absolute().parent] if path else []
    for folder in (*beside, outputs / fields.get("experiment", "") / fields["run"]):
        if folder.name != fields["run"] or not (folder / "config.yaml").is_file():
            continue
        sha256 = hashlib.sha256((folder / "config.yaml").read_bytes()).hexdigest()
        same = sha256 == fields.get("config_sha256")
        return f"{folder}{'' if same else ' (its config is no longer that of the picture)'}"
    return f"not found in {outputs}; --outputs DIR names another place"
