"""A config class for people and editors: what each key takes and means, from the class itself."""

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from epochlab.config.schema import Schema, section_types

_ATTRIBUTE = re.compile(r"^ {4}(\w+): ", re.MULTILINE)
_NONE = re.compile(r"\bNone\b")  # as YAML spells it


def describe_keys(section: Schema) -> dict[str, str]:
    """Returns what each key of a section means, on one line, from the docstrings of its classes."""
    meanings: dict[str, str] = {}
    for owner in reversed(section.__mro__):
        document = inspect.cleandoc(owner.__doc__ or "") if owner is not BaseModel else ""
        _, _, attributes = document.partition("\nAttributes:\n")
        _, *parts = _ATTRIBUTE.split(attributes)
        for name, text in zip(parts[::2], parts[1::2], strict=True):
            meanings[name] = _NONE.sub("null", " ".join(text.split()))
    return {name: meanings[name] for name in section.model_fields if name in meanings}


def make_json_schema(schema: Schema) -> dict[str, Any]:
    """Returns the JSON Schema of a whole config, with the meaning of each key.

    An editor that speaks YAML completes and checks with it.

    Args:
        schema: The config class of an experiment.
    """
    described = schema.model_json_schema()
    sections = {section.__name__: section for section, _ in _walk(schema, "")}
    definitions = {schema.__name__: described, **described.get("$defs", {})}
    for name, definition in definitions.items():
        definition.pop("title", None)
        text = str(definition.get("description", ""))
        definition["description"] = text.partition("\n\nAttributes:")[0]
        meanings = describe_keys(sections[name]) if name in sections else {}
        for key, value in definition.get("properties", {}).items():
            value.pop("title", None)
            if key in meanings:
                value["description"] = meanings[key]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **described}


def format_reference(schemas: Mapping[str, Schema]) -> str:
    """Returns Markdown: each section once, with its keys, what they take and mean.

    Args:
        schemas: Name of an experiment -> the class of its config.
    """
    places: dict[Schema, dict[str, list[str]]] = {}
    for experiment, schema in schemas.items():
        for section, path in _walk(schema, ""):
            places.setdefault(section, {}).setdefault(path, []).append(experiment)
    parts = []
    for section, used in places.items():
        if "" in used:  # a whole config: its sections stand for themselves
            continue
        parts.append(_format_section(section, used, len(schemas)))
    return "\n".join(parts)


def _format_section(section: Schema, used: Mapping[str, list[str]], count: int) -> str:
    document = inspect.cleandoc(section.__doc__ or "").partition("\n\nAttributes:")[0]
    heading = ", ".join(f"`{path}`" for path in used)
    experiments = sorted({name for names in used.values() for name in names})
    meanings = describe_keys(section)
    kinds = section.model_json_schema()["properties"]
    variant = f" {_say(kinds['name'])}" if "name" in kinds else ""
    lines = [f"## {heading}{variant}", "", document, ""]
    if len(experiments) < count:
        lines += [f"In {', '.join(f'`{name}`' for name in experiments)}.", ""]
    lines += ["| key | takes | meaning |", "| --- | --- | --- |"]
    for key in section.model_fields:
        takes, meaning = _say(kinds[key]), meanings.get(key, "")
        lines.append(f"| `{key}` | {_escape(takes)} | {_escape(meaning)} |")
    return "\n".join([*lines, ""])


def _escape(text: str) -> str:
    return text.replace("|", "\\|")


def _say(kind: Mapping[str, Any]) -> str:
    """Returns what a JSON Schema takes, in words."""
    match kind:
        case {"$ref": _} | {"discriminator": _}:
            return "a section"
        case {"const": choice}:
            return f"`{choice}`"
        case {"enum": choices}:
            return ", ".join(f"`{choice}`" for choice in choices)
        case {"anyOf": members}:
            return " or ".join(dict.fromkeys(_say(member) for member in members))
        case {"type": "array", "prefixItems": items}:
            return f"[{', '.join(_say(item) for item in items)}]"
        case {"type": "array", "items": item}:
            return f"a list, each {_say(item)}"
        case {"type": "null"}:
            return "`null`"
        case {"type": "boolean"}:
            return "`true`, `false`"
        case {"type": "string"}:
            return "text"
        case {"type": "integer" | "number"}:
            return _say_number(kind)
    return "as said there"


def _say_number(kind: Mapping[str, Any]) -> str:
    words = "whole number" if kind["type"] == "integer" else "number"
    bounds = [
        f"{sign} {kind[name]:g}"
        for name, sign in (
            ("exclusiveMinimum", ">"),
            ("minimum", ">="),
            ("exclusiveMaximum", "<"),
            ("maximum", "<="),
        )
        if name in kind
    ]
    return " ".join([words, ", ".join(bounds)]).strip()


def _walk(section: Schema, path: str) -> Iterator[tuple[Schema, str]]:
    """Yields a section and all below it, each with its dotted key."""
    yield section, path
    for name, field in section.model_fields.items():
        for inner in section_types(field.annotation):
            yield from _walk(inner, f"{path}.{name}" if path else name)
