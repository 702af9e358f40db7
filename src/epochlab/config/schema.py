"""Walks a config class by the values that are to fit it."""

from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from epochlab.config.yaml_events import KeyPath

Schema = type[BaseModel]


def find_section(schema: Schema, values: Any, path: KeyPath) -> Schema | None:
    """Returns the section class at `path`; of a union's variants, the one that `values` names."""
    section: Schema | None = schema
    for step in path:
        if isinstance(step, int):
            # An item's class was found with the list itself.
            values = values[step] if isinstance(values, list) else None
            continue
        values = values.get(step) if isinstance(values, Mapping) else None
        field = section.model_fields.get(str(step)) if section else None
        variants = list(section_types(field.annotation)) if field else []
        named = values.get("name") if isinstance(values, Mapping) else None
        chosen = [
            variant
            for variant in variants
            if len(variants) == 1 or named in get_args(variant.model_fields["name"].annotation)
        ]
        section = chosen[0] if chosen else None
    return section


def find_choices(schema: Schema, values: Any, path: KeyPath) -> list[Any]:
    """Returns the values that the `Literal` (or the union's `name`) at `path` allows."""
    parent = find_section(schema, values, path[:-1])
    field = parent.model_fields.get(str(path[-1])) if parent else None
    if field is None:
        return []
    variants = list(section_types(field.annotation))
    if variants:
        return [
            choice
            for variant in variants
            for choice in get_args(variant.model_fields["name"].annotation)
        ]
    return list(literals(field.annotation))


def known_keys(schema: Schema, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yields every key of the schema with the dotted section that it belongs to.

    Of a list of sections that is the first, `phases.0`.
    """
    for name, field in schema.model_fields.items():
        yield name, prefix
        step = f"{name}.0" if _is_list(field.annotation) else name
        for section in section_types(field.annotation):
            yield from known_keys(section, f"{prefix}.{step}" if prefix else step)


def union_members(annotation: Any) -> Iterator[Any]:
    """Yields the members of a (possibly annotated, possibly optional) union."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from union_members(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for member in get_args(annotation):
            yield from union_members(member)
    elif origin in (tuple, list) and any(map(_is_section, get_args(annotation))):
        yield from filter(_is_section, get_args(annotation))
    elif annotation is not NoneType:
        yield annotation


def section_types(annotation: Any) -> Iterator[Schema]:
    """Yields the section classes that a value of this annotation can be."""
    for part in union_members(annotation):
        if _is_section(part):
            yield part


def _is_list(annotation: Any) -> bool:
    origin = get_origin(annotation)
    return _is_list(get_args(annotation)[0]) if origin is Annotated else origin in (tuple, list)


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def literals(annotation: Any) -> Iterator[Any]:
    """Yields the fixed choices of this annotation."""
    for part in union_members(annotation):
        if get_origin(part) is Literal:
            yield from get_args(part)
