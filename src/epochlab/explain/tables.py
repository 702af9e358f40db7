"""The tables in a run folder, read back as they were given."""

from pathlib import Path

from epochlab.csv_text import parse_csv


def read_table(path: Path) -> list[dict[str, str]]:
    """Returns the rows of a CSV file that Epochlab wrote, each by the names of its columns.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is empty, no UTF-8 text, or a row has more or fewer cells than the header.
        csv.Error: If it is no CSV.
    """
    with path.open(encoding="utf-8", newline="") as opened:
        header, *rows = parse_csv(opened.read()) or [[]]
    if not header:
        raise ValueError("it is empty")
    return [dict(zip(header, row, strict=True)) for row in rows if row]
