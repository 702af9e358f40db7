"""Parser events -> plain values, strictly, with the line of every key.

Plain scalars follow the YAML 1.2 core schema, where `1e-3` is a number and `no` is text.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import yaml

KeyPath = tuple[str | int, ...]
Fail = Callable[[int, str], NoReturn]

# LibYAML's parser where PyYAML was built with it, as its wheels are: ten times as fast.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
HALF_A_PAIR = "half of a surrogate pair is no text; write the character itself"
MAX_DEPTH = 20
# Pure Python reads about 20,000 values a second, so this keeps the slowest answer under a second.
MAX_VALUES = 10_000

_WORDS: dict[str, bool | None] = {"": None, "~": None}
_WORDS |= dict.fromkeys(("null", "Null", "NULL"))
_WORDS |= dict.fromkeys(("true", "True", "TRUE"), True)
_WORDS |= dict.fromkeys(("false", "False", "FALSE"), False)
# Python refuses to convert integers of thousands of digits; so long a one stays text.
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,299})")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_SURROGATE = re.compile("[\ud800-\udfff]")
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def format_path(path: KeyPath) -> str:
    """Returns the dotted key of `path`, with what a terminal would obey escaped."""
    steps = map(str, path)
    return ".".join(step if step.isprintable() else ascii(step)[1:-1] for step in steps)


def resolve_plain(text: str) -> str | int | float | bool | None:
    """Returns the value of an unquoted scalar by the YAML 1.2 core schema."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _NOT_FINITE.fullmatch(text):
        return float(text.replace(".", "", 1))
    return text


def build_values(text: str, fail: Fail) -> "ValueBuilder":
    """Builds the plain values of one YAML document.

    Args:
        text: The YAML text.
        fail: Called with a line (from 1) and a message where the text is wrong; it must raise.
    """
    odd = _UNPRINTABLE.search(text)
    if odd:
        name = "a NUL byte" if odd[0] == "\0" else f"the character U+{ord(odd[0]):04X}"
        line = text.count("\n", 0, odd.start()) + 1
        fail(line, f"found {name}, which YAML text cannot hold; remove it or give a text file")
    builder = ValueBuilder(fail)
    try:
        for event in yaml.parse(text, Loader=LOADER):
            builder.add(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context or "the text is damaged"
        if "tag" in problem:
            problem = "tags are not allowed; remove the !"
        elif "escape code" in problem:  # as LibYAML says it
            problem = HALF_A_PAIR
        elif "'\\t'" in problem or (mark and text[mark.index : mark.index + 1] == "\t"):
            problem = "found a tab; indent and separate with spaces"
        else:
            problem += "; check this line's indentation, colons, brackets and quotes"
        # LibYAML puts the end of the text on a line of its own: nothing stands there to be mended.
        last = text.rstrip().count("\n")
        fail(min(mark.line, last) + 1 if mark else 1, problem)
    return builder


@dataclass
class _Frame:
    """A list or mapping that is still open, and the key that waits for its value."""

    container: dict[str, Any] | list[Any]
    path: KeyPath
    key: str | None = None


class ValueBuilder:
    """Builds plain values from parse events, without recursion: nesting cannot end the stack."""

    def __init__(self, fail: Fail) -> None:
        self.root: Any = None
        self.first: yaml.NodeEvent | None = None
        self.lines: dict[KeyPath, int] = {}
        self._fail = fail
        self._open: list[_Frame] = []

    def add(self, event: yaml.Event) -> None:
        """Takes the next event of `yaml.parse`."""
        if isinstance(event, yaml.CollectionEndEvent):
            self._open.pop()
        elif isinstance(event, yaml.DocumentStartEvent) and self.first is not None:
            line = event.start_mark.line + 1
            self._fail(line, "a second document starts here; keep one document in a file")
        elif isinstance(event, yaml.NodeEvent):
            self._add_node(event, event.start_mark.line + 1)

    def _add_node(self, event: yaml.NodeEvent, line: int) -> None:
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            self._fail(line, "anchors (&) and aliases (*) are not allowed; write the value out")
        if getattr(event, "tag", None) is not None:
            tag = ascii(event.tag)[1:-1]  # pyright: ignore[reportAttributeAccessIssue]
            self._fail(line, f"tags are not allowed; remove {tag[:80]}")
        if isinstance(event, yaml.ScalarEvent) and _SURROGATE.search(event.value):
            self._fail(line, HALF_A_PAIR)
        if self.first is None:
            self.first = event
        frame = self._open[-1] if self._open else None
        if frame and isinstance(frame.container, dict) and frame.key is None:
            self._take_key(frame, event, line)
            return
        if isinstance(event, yaml.ScalarEvent):
            value = event.value if event.style else resolve_plain(event.value)
        else:
            value = {} if isinstance(event, yaml.MappingStartEvent) else []
        path = self._place(frame, value, line)
        if isinstance(value, dict | list):
            if len(self._open) == MAX_DEPTH:
                self._fail(line, f"nested more than {MAX_DEPTH} deep; make the structure flatter")
            self._open.append(_Frame(value, path))

    def _take_key(self, frame: _Frame, event: yaml.NodeEvent, line: int) -> None:
        if not isinstance(event, yaml.ScalarEvent):
            self._fail(line, "a list or mapping stands as a key; a key is a word")
        path = (*frame.path, event.value)
        if event.value in frame.container:
            name, earlier = format_path(path), self.lines[path]
            self._fail(line, f"{name}: this key stands in line {earlier} already; keep one of them")
        frame.key = event.value
        self.lines[path] = line

    def _place(self, frame: _Frame | None, value: Any, line: int) -> KeyPath:
        if frame is None:
            self.root = value
            path: KeyPath = ()
        elif isinstance(frame.container, dict):
            assert frame.key is not None
            frame.container[frame.key] = value
            path, frame.key = (*frame.path, frame.key), None
        else:
            path = (*frame.path, len(frame.container))
            frame.container.append(value)
        self.lines.setdefault(path, line)
        if len(self.lines) > MAX_VALUES:
            self._fail(line, f"more than {MAX_VALUES:,} values; is this a data file?")
        return path
