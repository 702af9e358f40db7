"""YAML -> frozen, typed config, with the origin of every value and all mistakes at once."""

from epochlab.config.loading import (
    LoadedConfig,
    Section,
    are_sections,
    describe_config,
    dump_config,
    list_settings,
    load_config,
)

__all__ = [
    "LoadedConfig",
    "Section",
    "are_sections",
    "describe_config",
    "dump_config",
    "list_settings",
    "load_config",
]
