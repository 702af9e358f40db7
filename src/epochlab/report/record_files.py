"""Records that would hang, or lead out of the folder, when they are opened."""

import stat
from pathlib import Path

from epochlab.errors import RunError

# What a run is read from.
RECORDS = (
    "config.yaml",
    "history.csv",
    "metrics.json",
    "sessions.json",
    "environment.json",
    "data.json",
    "run.lock",
)


def check_records(path: Path, folder: Path) -> None:
    """Refuses what would hang when it is opened, and what lies outside `folder`.

    Raises:
        RunError: If a record is no regular file, or a link to somewhere else.
    """
    inside = folder.resolve()
    for name in RECORDS:
        record = path / name
        try:
            is_inside = record.resolve().is_relative_to(inside)
            is_regular = stat.S_ISREG(record.stat().st_mode)
        except FileNotFoundError:
            continue
        except (OSError, RuntimeError) as error:  # the latter for a link to itself, in Python 3.11
            raise RunError(f"{record}: cannot be read ({error})") from error
        if not is_inside:
            raise RunError(f"{record}: is a link to a place outside {folder}; not read")
        if not is_regular:
            raise RunError(f"{record}: is no regular file; not read")
