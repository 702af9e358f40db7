"""Tables as CSV that a spreadsheet shows and never computes.

File names, class names and settings come from anywhere, and a spreadsheet takes a cell that begins
with `=`, `+`, `-` or `@` for a formula, quoted or not, one that may start a program (OWASP, "CSV
Injection"). Such a text gets an apostrophe in front, the spreadsheets' own sign for text. Numbers
stay numbers. `parse_csv` takes the apostrophe away again.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# The wide signs are computed where Chinese or Japanese is written. What has the apostrophe already
# gets one more, so that taking one away gives every text back.
_COMPUTED = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def format_csv(rows: Iterable[Sequence[Any]]) -> str:
    """Returns the rows as CSV text, one line each; of the cells only texts are guarded."""
    return "".join(map(_format_row, rows))


def format_records(records: Sequence[Mapping[str, Any]]) -> str:
    """Returns a header, the keys of the first record, and a row per record; nothing without one."""
    if not records:
        return ""
    columns = list(records[0])
    return format_csv([columns, *([row.get(column) for column in columns] for row in records)])


def parse_csv(text: str) -> list[list[str]]:
    """Returns the cells that `format_csv` was given, as texts.

    Raises:
        csv.Error: If it is no such text.
    """
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    return [[_unguard(cell) for cell in row] for row in rows]


def _format_row(row: Sequence[Any]) -> str:
    written = io.StringIO(newline="")
    # Only with this ending both kinds of line break are quoted inside a cell.
    csv.writer(written, lineterminator="\r\n").writerow(map(_guard, row))
    return written.getvalue().removesuffix("\r\n") + "\n"


def _guard(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and _COMPUTED.match(cell) else cell


def _unguard(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _COMPUTED.match(cell) else cell
