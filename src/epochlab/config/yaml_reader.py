"""YAML read strictly: from a file or a command line to plain values.

What a configuration never needs and what hides mistakes is refused: tags, anchors, aliases,
duplicate keys, several documents, deep nesting, huge files.
"""

import difflib
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml

from epochlab.config.yaml_events import Fail, KeyPath, build_values
from epochlab.errors import ConfigError

MAX_BYTES = 1_000_000


@dataclass(frozen=True)
class YamlDocument:
    """One document: its plain values, and the line (from 1) where each key path begins."""

    values: dict[str, Any]
    lines: dict[KeyPath, int]


def read_yaml(path: Path) -> YamlDocument:
    """Reads a YAML file whose top level is a mapping.

    Raises:
        ConfigError: The file is missing, no regular file, too large, not UTF-8 text or not YAML
            of the strict kind. The message names the path as given, and the line.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ConfigError(f"{path}: this is a directory; give the YAML file inside it")
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"{path}: this is not a regular file; give a YAML file")
        if status.st_size > MAX_BYTES:
            raise _too_large(str(path), status.st_size)
        with path.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)  # it may have grown, or not tell its size
    except FileNotFoundError:
        folder = path.parent
        names = [item.name for item in folder.glob("*.yaml")] if folder.is_dir() else []
        near = difflib.get_close_matches(path.name, names, n=1)
        remedy = f"did you mean {folder / near[0]}?" if near else "check the path"
        raise ConfigError(f"{path}: there is no such file; {remedy}") from None
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"{path}: cannot be read ({reason}); check the path") from None
    return parse_yaml(content, str(path))


def parse_yaml(content: str | bytes, source: str) -> YamlDocument:
    """Parses YAML text whose top level is a mapping.

    Args:
        content: The text, or its UTF-8 bytes.
        source: What messages call the text, as a rule its path.

    Raises:
        ConfigError: The text is not YAML of the strict kind. The message begins `source:line: `.
    """

    def fail(line: int, message: str) -> NoReturn:
        raise ConfigError(f"{source}:{line}: {message}")

    if len(content) > MAX_BYTES:
        raise _too_large(source, len(content))
    text = content if isinstance(content, str) else _decode(content, fail)
    builder = build_values(text, fail)
    if builder.first is None:
        fail(1, "the file is empty; a configuration is a mapping of keys to values")
    if not isinstance(builder.root, dict):
        found = "a list" if isinstance(builder.root, list) else "a single value"
        fail(
            builder.first.start_mark.line + 1,
            f"found {found} at the top; a configuration is a mapping of keys to values",
        )
    return YamlDocument(builder.root, builder.lines)


def parse_value(text: str, source: str) -> Any:
    """Parses the value of a command-line `KEY=VALUE`: a scalar, `[a, b]` or `{key: value}`.

    Raises:
        ConfigError: The value is none of these. The message begins `source: `.
    """

    def fail(_line: int, message: str) -> NoReturn:
        raise ConfigError(f"{source}: {message}")

    builder = build_values(text, fail)
    if builder.first is None and text.strip():
        fail(1, "the value is only a comment; put it in quotes")
    if isinstance(builder.first, yaml.CollectionStartEvent) and not builder.first.flow_style:
        fail(1, "write a list as [a, b] and a mapping as {key: value}, and quote text with ': '")
    return builder.root


def _too_large(source: str, size: int) -> ConfigError:
    return ConfigError(
        f"{source}: {size:,} bytes are too many for a configuration (at most {MAX_BYTES:,}); "
        "is this a data file?"
    )


def _decode(content: bytes, fail: Fail) -> str:
    remedy = "save the file as UTF-8 without a byte order mark"
    if content.startswith(b"\xef\xbb\xbf"):
        fail(1, f"the file begins with a byte order mark (BOM); {remedy}")
    # UTF-16 without its mark still shows: every other byte of plain English in it is NUL.
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or 0 in content[:2]:
        fail(1, f"the file is UTF-16 text or binary; if it is text, {remedy}")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
        fail(line, f"byte 0x{byte:02x} is not UTF-8; if this is text and not binary, {remedy}")
