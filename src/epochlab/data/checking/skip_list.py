"""The list of files that a loader leaves out."""

import json
from pathlib import Path

from epochlab.errors import DataError

FORMAT = 1


def read_skip_list(path: Path) -> dict[str, str]:
    """Reads a `skip.json`, as `epochlab check-data` writes it.

    Args:
        path: The file: `{"format": 1, "folder": ..., "skip": {"train/cat/1.jpg": "reason"}}`.

    Returns:
        Path of each file to leave out, below the dataset's folder -> reason.

    Raises:
        DataError: If the file is missing, damaged or of another layout.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{path}: cannot be read as a skip list ({error}); expected the skip.json of "
            "`epochlab check-data`; make it again, or set data.skip_list to null"
        ) from error
    skip = content.get("skip") if isinstance(content, dict) else None
    if (
        not isinstance(skip, dict)
        or content.get("format") != FORMAT
        or not all(isinstance(reason, str) for reason in skip.values())
    ):
        raise DataError(
            f"{path}: not a skip list; expected an object with format {FORMAT} and skip, an object "
            "from file to reason; make it again with `epochlab check-data`"
        )
    return skip
