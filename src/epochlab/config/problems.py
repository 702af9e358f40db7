"""What pydantic found wrong, in a user's words: where, what was given, what was expected."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, get_origin

from epochlab.config.schema import (
    Schema,
    find_choices,
    find_section,
    known_keys,
    literals,
    section_types,
    union_members,
)
from epochlab.config.yaml_events import KeyPath, resolve_plain
from epochlab.config.yaml_writer import format_value

KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "of at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "of at most"),
}
LENGTHS = {"too_short": ("at least", "min_length"), "too_long": ("at most", "max_length")}
EXPECTED = {
    "int_type": KINDS[int],
    "int_from_float": KINDS[int],
    "float_type": KINDS[float],
    "finite_number": "a finite number",
    "bool_type": KINDS[bool],
    "string_type": KINDS[str],
    "tuple_type": "a list, as in [20, 50]",
    "list_type": "a list, as in [20, 50]",
    "model_type": "a section with keys of its own",
    "dict_type": "a section with keys of its own",
    "model_attributes_type": "a section with keys of its own",
}


def clean_path(location: Sequence[str | int], values: Any, kind: str) -> KeyPath:
    """Returns pydantic's `loc` without the tags that it adds for the variants of a union."""
    path: list[str | int] = []
    current = values
    for index, step in enumerate(location):
        if isinstance(current, Mapping) and step not in current:
            last = index == len(location) - 1
            if not last or kind != "missing":
                continue
        path.append(step)
        if isinstance(current, Mapping):
            current = current.get(step)
        elif isinstance(current, list) and isinstance(step, int) and step < len(current):
            current = current[step]
    return tuple(path)


def explain(error: Mapping[str, Any], path: KeyPath, schema: Schema, values: Any) -> str:
    """Returns one problem's text: what was given and expected, and a remedy where there is one."""
    kind, given, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown key; {_suggest_key(path, schema, values)}"
    if kind == "missing" and isinstance(path[-1], int):
        return "missing; give one entry more"
    if kind == "missing":
        section = find_section(schema, values, path[:-1])
        field = section.model_fields.get(str(path[-1])) if section else None
        expected = f"expected {_describe_type(field.annotation)}" if field else "give a value"
        return f"missing; {expected}"
    if kind == "value_error":
        return str(context["error"])
    if kind in ("literal_error", "union_tag_invalid"):
        return _explain_choice(find_choices(schema, values, path), given, path)
    if kind == "union_tag_not_found":
        return "missing the key name, which says which one it is"
    if kind in (*BOUNDS, "int_type", "int_from_float", "float_type"):
        return f"expected {_describe_number(path, schema, values, error)}, got " + (
            _describe_value(given)
        )
    if kind in LENGTHS:
        words, bound = LENGTHS[kind]
        entries = "entry" if context[bound] == 1 else "entries"
        return f"expected {words} {context[bound]} {entries}, got {context['actual_length']}"
    expected = EXPECTED.get(kind)
    if expected is None:
        return f"{error['msg']}, got {format_value(given)}"
    return f"expected {expected}, got {_describe_value(given)}"


def _suggest_key(path: KeyPath, schema: Schema, values: Any) -> str:
    wrong, home = str(path[-1]), ".".join(map(str, path[:-1]))
    here = find_section(schema, values, path[:-1])
    names = list(here.model_fields) if here else []
    near = difflib.get_close_matches(wrong, names, n=1)
    if near:
        return f"did you mean {'.'.join(filter(None, [home, near[0]]))}?"
    elsewhere = {name: section for name, section in known_keys(schema) if section != home}
    for name in difflib.get_close_matches(wrong, elsewhere, n=1, cutoff=0.75):
        belongs = f"belongs to {elsewhere[name] or 'the top level'}"
        return f"it {belongs}" if name == wrong else f"did you mean {name}, which {belongs}?"
    return f"the keys here are {', '.join(names)}" if names else "leave it out"


def _explain_choice(choices: Sequence[Any], given: Any, path: KeyPath) -> str:
    if isinstance(given, Mapping):
        given = given.get("name")
    names = [format_value(choice) for choice in choices]
    near = difflib.get_close_matches(str(given), names, n=1)
    remedy = f"; did you mean {near[0]}?" if near else ""
    return f"expected {_join_choices(names)}, got {_describe_value(given)}{remedy}"


def _join_choices(names: Sequence[str]) -> str:
    """Returns `a, b or c`."""
    return " or ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _describe_value(value: Any) -> str:
    """Returns `value` as it would stand in YAML, with its kind where the eye may miss it."""
    shown = format_value(value)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    if isinstance(value, str):
        quoted = not isinstance(resolve_plain(value), str)
        return f"{shown} (text); remove the quotes" if quoted else f"{shown} (text)"
    if isinstance(value, Mapping):
        return f"the section {shown}"
    return f"{shown} (a list)" if isinstance(value, list) else shown


def _describe_number(path: KeyPath, schema: Schema, values: Any, error: Mapping[str, Any]) -> str:
    """Returns the number wanted at `path` with its bounds, as in `a whole number of at least 1`."""
    section = find_section(schema, values, path[:-1])
    field = section.model_fields.get(str(path[-1])) if section else None
    bounds = {
        key: getattr(rule, key)
        for rule in (field.metadata if field else [])
        for key in ("gt", "ge", "lt", "le")
        if hasattr(rule, key)
    } or {
        key: limit for key, limit in error.get("ctx", {}).items() if key in ("gt", "ge", "lt", "le")
    }
    whole = int in union_members(field.annotation) if field else isinstance(error["input"], int)
    whole = whole or error["type"].startswith("int")
    if whole and "gt" in bounds:
        bounds["ge"] = bounds.pop("gt") + 1
    limits = " and ".join(
        f"{words} {bounds[key]}" for key, words in BOUNDS.values() if key in bounds
    )
    return f"{KINDS[int if whole else float]} {limits}".rstrip()


def _describe_type(annotation: Any) -> str:
    choices = list(literals(annotation))
    if choices:
        return _join_choices([format_value(choice) for choice in choices])
    if list(section_types(annotation)):
        return "a section with keys of its own"
    for part in union_members(annotation):
        if get_origin(part) is tuple:
            return "a list, as in [20, 50]"
        if part in KINDS:
            return KINDS[part]
    return "a value"
