"""YAML -> frozen, typed config: overrides, the origin of every value, all mistakes at once."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from epochlab import config_errors
from epochlab.errors import ConfigError
from epochlab.strict_yaml import parse_value, read_yaml
from epochlab.yaml_writer import dump_yaml, format_value


class Section(BaseModel):
    """One section of a config: frozen, strictly typed, without unknown keys.

    Fields have no defaults, so that every setting stands in the YAML. A whole number is accepted
    where a float is wanted, a YAML list where a tuple is; nothing else is converted.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True
    )


Config = TypeVar("Config", bound=Section)
KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class LoadedConfig(Generic[Config]):
    """A config with the place that each of its values comes from.

    Attributes:
        config: The typed config.
        origins: Dotted key of each value -> `FILE:LINE`, `--set` or `--seed`.
    """

    config: Config
    origins: Mapping[str, str]


class _Source:
    """The raw values of one config, and where each of them stands."""

    def __init__(self, path: Path) -> None:
        document = read_yaml(path)
        self.path = path
        self.values: dict[str, Any] = document.values
        self._lines = document.lines
        self._overridden: dict[KeyPath, str] = {}

    def override(self, key: str, value: Any, flag: str) -> None:
        """Puts `value` at the dotted `key`, making sections on the way where there is nothing."""
        *parents, last = key.split(".")
        section = self.values
        for count, name in enumerate(parents, 1):
            if section.get(name) is None:
                section[name] = {}
                self._mark((*parents[:count],), flag)
            section = section[name]
            if not isinstance(section, dict):
                raise ConfigError(
                    f"{flag} {key}: {'.'.join(parents[:count])} is the value "
                    f"{format_value(section)}, not a section with keys"
                )
        section[last] = value
        self._mark((*parents, last), flag)

    def _mark(self, path: KeyPath, flag: str) -> None:
        """Notes that `flag` gave the value at `path`, and with it all that is inside."""
        self._overridden[path] = flag
        self._lines = {key: line for key, line in self._lines.items() if key[: len(path)] != path}

    def origin(self, path: KeyPath) -> str:
        """Returns where the value at `path`, or the nearest section around it, comes from."""
        for length in range(len(path), 0, -1):
            if path[:length] in self._overridden:
                return self._overridden[path[:length]]
            if path[:length] in self._lines:
                return f"{self.path}:{self._lines[path[:length]]}"
        return str(self.path)

    def locate(self, path: KeyPath) -> str:
        """Returns `FILE:LINE: KEY` or `--set KEY`, the beginning of a message."""
        origin, key = self.origin(path), ".".join(map(str, path))
        return f"{origin} {key}" if origin.startswith("--") else f"{origin}: {key}"


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
    source = _Source(path)
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not all(key.split(".")):
            raise ConfigError(f"--set {text}: expected KEY=VALUE, as in training.epochs=1")
        source.override(key, parse_value(value, f"--set {key}"), "--set")
    if seed is not None:
        source.override("seed", seed, "--seed")
    try:
        # As JSON, where pydantic's strict mode takes lists for tuples and 1 for 1.0.
        config = schema.model_validate_json(json.dumps(source.values))
    except ValidationError as error:
        raise ConfigError(_list_problems(error, schema, source)) from None
    keys = {".".join(key): source.origin(key) for key, _ in _leaves(config.model_dump())}
    return LoadedConfig(config, keys)


def dump_config(config: Section) -> str:
    """Returns the YAML text that `load_config` reads back to an equal config."""
    return dump_yaml(config.model_dump(mode="json"))


def describe_config(loaded: LoadedConfig[Any]) -> str:
    """Returns one aligned line per value: dotted key, value, origin."""
    rows = [
        (".".join(key), format_value(value))
        for key, value in _leaves(loaded.config.model_dump(mode="json"))
    ]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "\n".join(
        f"{key:{widths[0]}}  {value:{widths[1]}}  {loaded.origins[key]}" for key, value in rows
    )


def _leaves(
    values: Mapping[str, Any], prefix: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*prefix, name))
        else:
            yield (*prefix, name), value


def _list_problems(error: ValidationError, schema: type[Section], source: _Source) -> str:
    """Returns every problem on a line of its own, under a heading if there are several."""
    problems: list[str] = []
    hints: list[str] = []
    for found in error.errors(include_url=False):
        path = config_errors.clean_path(found["loc"], source.values, found["type"])
        if found["type"] == "union_tag_invalid":
            path = (*path, "name")
        reason = config_errors.explain(found, path, schema, source.values)
        problems.append(f"{source.locate(path)}: {reason}" if path else f"{source.path}: {reason}")
        hint = _hint_at_variant(path[:-1], schema, source)
        if found["type"] in ("missing", "extra_forbidden") and hint not in (None, *hints):
            hints.append(hint)
    if len(problems) + len(hints) == 1:
        return problems[0]
    heading = f"{len(problems)} problems in {source.path}" if len(problems) > 1 else "one problem"
    return "\n  ".join([heading, *problems, *hints])


def _hint_at_variant(path: KeyPath, schema: type[Section], source: _Source) -> str | None:
    """Returns how to give a whole section whose `name` an override has changed."""
    if not source.origin((*path, "name")).startswith("--set"):
        return None
    section = config_errors.find_section(schema, source.values, path)
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
