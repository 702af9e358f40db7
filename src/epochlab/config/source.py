"""The raw values of one config, and where each of them stands."""

from pathlib import Path
from typing import Any

from epochlab.config.yaml_events import MAX_DEPTH, KeyPath, format_path
from epochlab.config.yaml_reader import read_yaml
from epochlab.config.yaml_writer import format_value
from epochlab.errors import ConfigError


class Source:
    """A config file's values, with those that flags have put over them.

    Args:
        path: The YAML file.

    Attributes:
        path: The YAML file, as the user gave it.
        values: The raw values, still unchecked.

    Raises:
        ConfigError: If the file is not YAML of the strict kind.
    """

    def __init__(self, path: Path) -> None:
        document = read_yaml(path)
        self.path = path
        self.values: dict[str, Any] = document.values
        self._lines = document.lines
        self._overridden: dict[KeyPath, str] = {}

    def override(self, key: str, value: Any, flag: str) -> None:
        """Puts `value` at the dotted `key`, making sections on the way where there is nothing."""
        names = key.split(".")
        if len(names) > MAX_DEPTH:
            raise ConfigError(
                f"{flag} {format_path((key[:60],))}...: more than {MAX_DEPTH} keys deep"
            )
        section: Any = self.values
        path: KeyPath = ()
        for name in names:
            step: Any = name
            if isinstance(section, list) and name in map(str, range(len(section))):
                step = int(name)
            elif not isinstance(section, dict):
                raise ConfigError(
                    f"{flag} {format_path((key,))}: {format_path(path)} is the value "
                    f"{format_value(section)}, which has no key {format_path((name,))}"
                )
            path = (*path, step)
            if len(path) == len(names):
                section[step] = value
            elif isinstance(section, dict) and section.get(step) is None:
                section[step] = {}
                self._mark(path, flag)
            section = section[step]
        self._mark(path, flag)

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

    def line(self, path: KeyPath) -> float:
        """Returns the file's line of `path`, or infinity where an override or nothing stands."""
        return self._lines.get(path, float("inf"))

    def locate(self, path: KeyPath) -> str:
        """Returns `FILE:LINE: KEY` or `--set KEY`, the beginning of a message."""
        origin, key = self.origin(path), format_path(path)
        return f"{origin} {key}" if origin.startswith("--") else f"{origin}: {key}"
