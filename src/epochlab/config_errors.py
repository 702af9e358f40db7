"""What pydantic found wrong, in a user's words: where, what was given, what was expected."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from epochlab.yaml_writer import format_value

Path = tuple[str | int, ...]
Schema = type[BaseModel]

KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "of at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "of at most"),
}
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
    "model_attributes_type": "a section with keys of its own",
}


def clean_path(location: Sequence[str | int], values: Any, kind: str) -> Path:
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


def explain(error: Mapping[str, Any], path: Path, schema: Schema, values: Any) -> str:
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
    if kind in BOUNDS:
        bound, words = BOUNDS[kind]
        article = "a whole number" if isinstance(given, int) else "a number"
        return f"expected {article} {words} {context[bound]}, got {format_value(given)}"
    if kind in ("too_short", "too_long"):
        field_type = context.get("field_type", "list")
        bound = context.get("min_length", context.get("max_length"))
        words = "at least" if kind == "too_short" else "at most"
        length = context.get("actual_length")
        return f"expected {words} {bound} entries, got {length}" if field_type else error["msg"]
    expected = EXPECTED.get(kind)
    if expected is None:
        return f"{error['msg']}, got {format_value(given)}"
    return f"expected {expected}, got {_describe_value(given)}"


def find_section(schema: Schema, values: Any, path: Path) -> Schema | None:
    """Returns the section class at `path`; of a union's variants, the one that `values` names."""
    section: Schema | None = schema
    for step in path:
        values = values.get(step) if isinstance(values, Mapping) else None
        field = section.model_fields.get(str(step)) if section else None
        variants = list(_section_types(field.annotation)) if field else []
        named = values.get("name") if isinstance(values, Mapping) else None
        chosen = [
            variant
            for variant in variants
            if len(variants) == 1 or named in get_args(variant.model_fields["name"].annotation)
        ]
        section = chosen[0] if chosen else None
    return section


def find_choices(schema: Schema, values: Any, path: Path) -> list[Any]:
    """Returns the values that the `Literal` (or the union's `name`) at `path` allows."""
    parent = find_section(schema, values, path[:-1])
    field = parent.model_fields.get(str(path[-1])) if parent else None
    if field is None:
        return []
    variants = list(_section_types(field.annotation))
    if variants:
        return [
            choice
            for variant in variants
            for choice in get_args(variant.model_fields["name"].annotation)
        ]
    return list(_literals(field.annotation))


def known_keys(schema: Schema, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yields every key of the schema with the dotted section that it belongs to."""
    for name, field in schema.model_fields.items():
        yield name, prefix
        for section in _section_types(field.annotation):
            yield from known_keys(section, f"{prefix}.{name}" if prefix else name)


def _suggest_key(path: Path, schema: Schema, values: Any) -> str:
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


def _explain_choice(choices: Sequence[Any], given: Any, path: Path) -> str:
    if isinstance(given, Mapping):
        given = given.get("name")
    names = [format_value(choice) for choice in choices]
    near = difflib.get_close_matches(str(given), names, n=1)
    remedy = f"; did you mean {near[0]}?" if near else ""
    return f"expected {' or '.join(names)}, got {_describe_value(given)}{remedy}"


def _describe_value(value: Any) -> str:
    """Returns `value` as it would stand in YAML, with its kind where the eye may miss it."""
    shown = format_value(value)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    if isinstance(value, str):
        try:
            float(value)
        except ValueError:
            return f"{shown} (text)"
        return f'"{value}" (text); remove the quotes'
    if isinstance(value, Mapping):
        return f"the section {shown}"
    return f"{shown} (a list)" if isinstance(value, list) else shown


def _describe_type(annotation: Any) -> str:
    choices = list(_literals(annotation))
    if choices:
        return " or ".join(map(format_value, choices))
    if list(_section_types(annotation)):
        return "a section with keys of its own"
    for part in _parts(annotation):
        if get_origin(part) is tuple:
            return "a list, as in [20, 50]"
        if part in KINDS:
            return KINDS[part]
    return "a value"


def _parts(annotation: Any) -> Iterator[Any]:
    """Yields the members of a (possibly annotated, possibly optional) union."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _parts(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for member in get_args(annotation):
            yield from _parts(member)
    elif annotation is not NoneType:
        yield annotation


def _section_types(annotation: Any) -> Iterator[Schema]:
    for part in _parts(annotation):
        if isinstance(part, type) and issubclass(part, BaseModel):
            yield part


def _literals(annotation: Any) -> Iterator[Any]:
    for part in _parts(annotation):
        if get_origin(part) is Literal:
            yield from get_args(part)
