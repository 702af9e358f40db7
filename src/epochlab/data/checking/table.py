"""A report as lines for a terminal of 80 columns, or for a file."""

import textwrap
from collections.abc import Iterator, Mapping

from epochlab.data.checking.findings import Finding, Item
from epochlab.data.checking.report import Report
from epochlab.data.sources import shown

WIDTH = 80
# Beyond these only the number is told; report.json has all of them.
SHOWN_CLASSES = 20
SHOWN_ITEMS = 5
SHOWN_PATHS = 3

_INDENT = " " * 17
_LONGEST_CLASS = 40


def format_report(report: Report) -> str:
    """Returns the report for a reader: what is there, then each kind of finding with advice.

    Names of files and classes are shown as one printable line each.
    """
    lines = [f"{shown(report.folder)}: {report.num_images:,} images", ""]
    lines += _format_counts(report.counts)
    lines += ["", *_wrap("types    ", _join_counts(report.types))]
    lines += _wrap("colours  ", _join_counts(report.modes) or "none can be decoded")
    if report.findings:
        lines += ["", f"{'':8}{'count':>7}  finding"]
    for finding in report.findings:
        lines += _format_finding(finding)
    return "\n".join(lines)


def _format_counts(counts: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    names = sorted({name for classes in counts.values() for name in classes})
    rows = {
        _shorten(name): [classes.get(name, 0) for classes in counts.values()]
        for name in names[:SHOWN_CLASSES]
    }
    if hidden := names[SHOWN_CLASSES:]:
        rows[f"{len(hidden):,} more"] = [
            sum(classes.get(name, 0) for name in hidden) for classes in counts.values()
        ]
    rows["all"] = [sum(classes.values()) for classes in counts.values()]
    width = max(map(len, [*rows, "class"]))
    yield " ".join([f"{'class':{width}}", *(f"{split:>10}" for split in counts)])
    for name, row in rows.items():
        yield " ".join([f"{name:{width}}", *(f"{count:>10,}" for count in row)])


def _shorten(name: str) -> str:
    name = shown(name)
    return name if len(name) <= _LONGEST_CLASS else f"{name[: _LONGEST_CLASS - 3]}..."


def _join_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def _format_finding(finding: Finding) -> Iterator[str]:
    yield from _wrap(f"{finding.kind.severity:8}{len(finding.items):>7,}  ", finding.kind.title)
    for item in finding.items[:SHOWN_ITEMS]:
        yield from _wrap(_INDENT, f"{_join_paths(item)}: {item.reason}", hanging=2)
    if len(finding.items) > SHOWN_ITEMS:
        yield f"{_INDENT}and {len(finding.items) - SHOWN_ITEMS:,} more"
    yield from _wrap(f"{_INDENT}-> ", finding.kind.advice)


def _join_paths(item: Item) -> str:
    hidden = len(item.paths) - SHOWN_PATHS
    more = [f"{hidden:,} more"] if hidden > 0 else []
    return " = ".join([*map(shown, item.paths[:SHOWN_PATHS]), *more])


def _wrap(first: str, text: str, hanging: int = 0) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * (len(first) + hanging),
        break_long_words=False,
        break_on_hyphens=False,
    )
