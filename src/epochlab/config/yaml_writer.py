"""Plain values written as YAML that reads back equal, by YAML 1.1 and 1.2 readers alike."""

import json
import re
from typing import Any

from epochlab.config.yaml_events import resolve_plain

FLOW_WIDTH = 80

_SAFE_TEXT = re.compile(r"[A-Za-z_/][\w./-]*( [\w./-]+)*", re.ASCII)
# Text to us, but booleans to YAML 1.1 readers: written in quotes for their sake.
_YAML_1_1_BOOLEANS = {"y", "n", "yes", "no", "on", "off"}


def format_value(value: Any) -> str:
    """Returns a plain value as one line of YAML that reads back equal."""
    if isinstance(value, dict):
        items = (f"{format_value(str(key))}: {format_value(item)}" for key, item in value.items())
        return "{" + ", ".join(items) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(format_value, value)) + "]"
    if isinstance(value, str):
        safe = _SAFE_TEXT.fullmatch(value) and value.lower() not in _YAML_1_1_BOOLEANS
        return value if safe and isinstance(resolve_plain(value), str) else _quote(value)
    if isinstance(value, float):
        text = repr(value)
        if text.lstrip("-") in ("inf", "nan"):
            return text.replace("inf", ".inf").replace("nan", ".nan")
        # YAML 1.1 readers take 1e-06 for text and 1.0e-06 for a number.
        return text if "." in text else text.replace("e", ".0e")
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def dump_yaml(values: dict[str, Any]) -> str:
    """Returns a mapping as YAML text: mappings in block style, short lists as `[20, 50]`."""
    return "".join(f"{line}\n" for line in _block_lines(values))


def _block_lines(value: Any) -> list[str]:
    flow = format_value(value)
    if not value or not isinstance(value, dict | list | tuple):
        return [flow]
    lines: list[str] = []
    if isinstance(value, dict):
        for key, item in value.items():
            block = _block_lines(item)
            name = format_value(str(key))
            nested = isinstance(item, dict | list | tuple) and block != [format_value(item)]
            lines += (
                [f"{name}:", *(f"  {line}" for line in block)]
                if nested
                else [f"{name}: {block[0]}"]
            )
        return lines
    if "{" not in flow and len(flow) <= FLOW_WIDTH:
        return [flow]
    for item in value:
        first, *rest = _block_lines(item)
        lines += [f"- {first}", *(f"  {line}" for line in rest)]
    return lines


def _quote(text: str) -> str:
    """Returns `text` as a YAML double-quoted scalar, which takes JSON's escapes.

    What does not show is escaped: messages quote values, and a terminal would obey them.
    """
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(letter if letter.isprintable() else _escape(ord(letter)) for letter in quoted)


def _escape(code: int) -> str:
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
