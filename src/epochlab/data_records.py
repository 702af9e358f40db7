"""What is said and recorded of a run's data."""

import contextlib
import csv
from typing import TYPE_CHECKING

from epochlab.csv_text import format_csv, parse_csv
from epochlab.runs import Run
from epochlab.training_config import TrainingSettings

if TYPE_CHECKING:
    from epochlab.data.images import ImageData

FILES = "files.csv"
LISTED_FILES = 10


def describe_data(data: "ImageData", training: TrainingSettings) -> str:
    """Returns what the data is, how many batches an epoch has, and what to beware of."""
    from epochlab.training import count_epoch_steps

    counts = ", ".join(f"{len(split):,} {name}" for name, split in data.splits.items())
    shape = " x ".join(map(str, data.image_shape))
    lines = [
        f"data: {data.source}; {data.num_classes} classes, images {shape}",
        f"      {counts}; {count_epoch_steps(training, data)} batches of {training.batch_size} "
        "per epoch",
    ]
    if data.skipped:
        lines.append(f"      {len(data.skipped):,} files left out, listed in data.json")
    return "\n".join([*lines, *(f"warning: {warning}" for warning in data.warnings)])


def format_hashes(data: "ImageData") -> str:
    """Returns the text of `files.csv`: SHA-256 and name of each file."""
    hashes = ((digest, name) for name, digest in data.file_hashes.items())
    return format_csv([("sha256", "file"), *hashes])


def changed_files(run: Run, data: "ImageData") -> str:
    """Returns which files are others than those in the run's `files.csv`, for an error message."""
    with contextlib.suppress(OSError, ValueError, csv.Error):
        with (run.path / FILES).open(encoding="utf-8", newline="") as opened:
            _, *rows = parse_csv(opened.read())
        before = {name: digest for digest, name in rows}
        now = data.file_hashes
        changes = [
            *(f"{name} added" for name in now.keys() - before.keys()),
            *(f"{name} removed" for name in before.keys() - now.keys()),
            *(
                f"{name} changed"
                for name in now.keys() & before.keys()
                if now[name] != before[name]
            ),
        ]
        more = f" and {len(changes) - LISTED_FILES:,} more" if len(changes) > LISTED_FILES else ""
        return f" ({', '.join(sorted(changes)[:LISTED_FILES])}{more})" if changes else ""
    return ""
