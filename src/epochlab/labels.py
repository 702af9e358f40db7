"""How settings are called where there is little room."""

from collections.abc import Mapping, Sequence
from typing import Any

from epochlab.config.yaml_writer import format_value


def shorten_keys(keys: Sequence[str]) -> dict[str, str]:
    """Returns for each dotted key as much of its end as tells it from the others."""
    return {key: _shorten(key, keys) for key in keys}


def describe_settings(settings: Mapping[str, Any]) -> str:
    """Returns `learning_rate=0.001, dropout=0.5`."""
    names = shorten_keys(list(settings))
    return ", ".join(f"{names[key]}={format_setting(value)}" for key, value in settings.items())


def format_setting(value: Any) -> str:
    """Returns a setting as YAML has it, text without quotes; a section by name and rate."""
    if isinstance(value, Mapping) and "name" in value:
        rate = value.get("learning_rate")
        return f"{value['name']}" if rate is None else f"{value['name']} {format_value(rate)}"
    return value if isinstance(value, str) else format_value(value)


def _shorten(key: str, keys: Sequence[str]) -> str:
    parts = _without_name(key).split(".")
    for count in range(1, len(parts)):
        ending = ".".join(parts[-count:])
        same = {other for other in keys if f".{_without_name(other)}".endswith(f".{ending}")}
        if len(same) == 1 and not parts[-count].isdigit():
            return ending
    return ".".join(parts)


def _without_name(key: str) -> str:
    """Of `training.optimizer.name`, what it is the name of says more."""
    return key.removesuffix(".name")
