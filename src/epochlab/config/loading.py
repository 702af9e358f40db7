"""YAML -> frozen, typed config: overrides, the origin of every value, all mistakes at once."""

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from epochlab.config.problems import clean_path, explain
from epochlab.config.schema import find_section
from epochlab.config.source import Source
from epochlab.config.yaml_events import KeyPath, format_path
from epochlab.config.yaml_reader import parse_value
from epochlab.config.yaml_writer import dump_yaml, format_value
from epochlab.errors import ConfigError


class Section(BaseModel):
    """One section of a config: frozen, strictly typed, without unknown keys.

    Fields have no defaults, so that every setting stands in the YAML. A whole number is accepted
    where a float is wanted, a YAML list where a tuple is; nothing else is converted.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True
    )


Config = TypeVar("Config", bound=Section)


@dataclass(frozen=True)
class LoadedConfig(Generic[Config]):
    """A config with the place that each of its values comes from.

    Attributes:
        config: The typed config.
        origins: Dotted key of each value -> `FILE:LINE`, `--set` or `--seed`.
    """

    config: Config
    origins: Mapping[str, str]


def load_config(
    schema: type[Config], path: Path, overrides: Sequence[str] = (), seed: int | None = None
) -> LoadedConfig[Config]:
    """Reads a config file, applies overrides and checks the result against `schema`.

    Args:
        schema: The experiment's config class.
        path: The YAML file.
        overrides: Texts `KEY=VALUE` with a dotted key and a YAML value; later ones win.
        seed: Replaces the top-level `seed`, if given.

    Raises:
        ConfigError: If anything is wrong with the file, an override or a value. All wrong values
            are named at once.
    """
    source = Source(path)
    problems = _apply(overrides, source)
    if seed is not None:
        source.override("seed", seed, "--seed")
    return check_source(schema, source, problems)


def check_source(
    schema: type[Config], source: Source, problems: Sequence[str] = ()
) -> LoadedConfig[Config]:
    """Checks raw values against `schema`.

    Args:
        schema: The config class.
        source: The values, overridden as they may be.
        problems: What is wrong already, to be named together with what is found here.

    Raises:
        ConfigError: If anything is wrong. All wrong values are named at once.
    """
    try:
        # As JSON, where pydantic's strict mode takes lists for tuples and 1 for 1.0.
        config = schema.model_validate_json(json.dumps(source.values))
    except ValidationError as error:
        found, hints = _list_problems(error, schema, source)
        raise ConfigError(_join([*problems, *found], hints, source.path)) from None
    if problems:
        raise ConfigError(_join(list(problems), [], source.path))
    keys = {".".join(map(str, key)): source.origin(key) for key, _ in _leaves(config.model_dump())}
    return LoadedConfig(config, keys)


def dump_config(config: Section) -> str:
    """Returns the YAML text that `load_config` reads back to an equal config."""
    return dump_yaml(config.model_dump(mode="json"))


def describe_config(loaded: LoadedConfig[Any]) -> str:
    """Returns one aligned line per value: dotted key, value, origin."""
    rows = [
        (".".join(map(str, key)), format_value(value))
        for key, value in _leaves(loaded.config.model_dump(mode="json"))
    ]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "\n".join(
        f"{key:{widths[0]}}  {value:{widths[1]}}  {loaded.origins[key]}" for key, value in rows
    )


def list_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values of a config, as plain values, by their dotted keys."""
    return {".".join(map(str, key)): value for key, value in _leaves(values)}


def are_sections(value: Any) -> bool:
    """Returns whether a value of a config is a list of sections, as `phases` is."""
    is_list = isinstance(value, list | tuple) and len(value) > 0
    return is_list and all(isinstance(item, Mapping) for item in value)


def _leaves(values: Mapping[str, Any], prefix: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*prefix, name))
        elif are_sections(value):
            for position, item in enumerate(value):
                yield from _leaves(item, (*prefix, name, position))
        else:
            yield (*prefix, name), value


def _apply(overrides: Sequence[str], source: Source) -> list[str]:
    """Puts the overrides into the raw values and returns what is wrong with them."""
    problems: list[str] = []
    for text in overrides:
        key, equals, value = text.partition("=")
        # Bytes that this locale has no letters for make no key, but can be shown.
        key = key.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        try:
            if not equals or not all(key.split(".")):
                raise ConfigError(
                    f"--set {format_path((text,))}: expected KEY=VALUE, as in training.epochs=1"
                )
            source.override(key, parse_value(value, f"--set {format_path((key,))}"), "--set")
        except ConfigError as error:
            problems.append(str(error))
    return problems


def _join(problems: list[str], hints: list[str], path: Path) -> str:
    """Returns every problem on a line of its own, under a heading if there are several."""
    heading = [f"{len(problems)} problems in {path}"] if len(problems) > 1 else []
    return "\n  ".join([*heading, *problems, *hints])


def _list_problems(
    error: ValidationError, schema: type[Section], source: Source
) -> tuple[list[str], list[str]]:
    """Returns every problem, in the file's order, and hints at how to mend several at once."""
    problems: list[tuple[float, str]] = []
    hints: list[str] = []
    errors = error.errors(include_url=False)
    unknown = [found["loc"] for found in errors if found["type"] == "extra_forbidden"]
    for found in errors:
        if found["type"] == "missing" and _is_misspelt(found["loc"], unknown):
            continue
        # Of a list, pydantic counts only the entries that are right; each wrong one is told of.
        if (
            found["type"] == "too_short"
            and len(found["input"]) >= found.get("ctx", {})["min_length"]
        ):
            continue
        path = clean_path(found["loc"], source.values, found["type"])
        reason = explain(found, path, schema, source.values)
        if found["type"] == "union_tag_invalid":
            path = (*path, "name")
        place = source.locate(path) if path else str(source.path)
        problems.append((source.line(path), f"{place}: {reason}"))
        hint = _hint_at_variant(path[:-1], schema, source)
        if found["type"] in ("missing", "extra_forbidden") and hint not in (None, *hints):
            hints.append(hint)
    return [text for _, text in sorted(problems, key=lambda problem: problem[0])], hints


def _is_misspelt(missing: KeyPath, unknown: Sequence[KeyPath]) -> bool:
    """Returns whether an unknown key of the same section is this one, misspelt."""
    nearby = [str(path[-1]) for path in unknown if path[:-1] == missing[:-1]]
    return bool(difflib.get_close_matches(str(missing[-1]), nearby, n=1))


def _hint_at_variant(path: KeyPath, schema: type[Section], source: Source) -> str | None:
    """Returns how to give a whole section whose `name` an override has changed."""
    if not source.origin((*path, "name")).startswith("--set"):
        return None
    section = find_section(schema, source.values, path)
    if section is None or "name" not in section.model_fields:
        return None
    values: Any = source.values
    for step in path:
        values = values[step]
    settings = ", ".join(f"{key}: ..." for key in section.model_fields if key != "name")
    dotted = ".".join(map(str, path))
    return (
        f"{values['name']} has keys of its own; give the whole section: "
        f"--set '{dotted}={{name: {values['name']}, {settings}}}'"
    )
