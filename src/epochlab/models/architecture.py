"""Two descriptions of a network, compared: what Keras noted in a file, and what is built here."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from epochlab.models.array_checks import Mismatch
from epochlab.models.hdf5_access import shown

# What changes neither the function that a network computes nor the names of its weights: what only
# a training uses, and what Keras notes for its own loader.
UNIMPORTANT = {"trainable", "seed", "build_config", "module", "registered_name", "initializer"}


def compare_architecture(expected: Any, described: str | None) -> list[Mismatch]:
    """Compares a file's own description of its model with a network; nothing is made of it.

    The weights alone would also fit a network with other activations or paddings: one that was
    built before its family changed, or by a family of a user's own that has the same settings.

    Args:
        expected: `get_config` of the network, as JSON gives it back.
        described: The file's `model_config`, not trusted.

    Returns:
        Where they differ, as far as both say something.
    """
    if described is None:
        return [Mismatch("model_config", "a description of the model", "missing")]
    try:
        saved = json.loads(described)
        return list(_differences("", expected, saved["config"]))
    except (ValueError, TypeError, KeyError, RecursionError):
        return [Mismatch("model_config", "a description of the model", "something else")]


def _differences(place: str, expected: Any, found: Any) -> Iterator[Mismatch]:
    """Yields where two descriptions differ, as far as both say something."""
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        for key in expected:
            if key == "class_name":
                # A registered class stands in the file with its package: epochlab>Dense.
                found_name = str(found.get(key)).rpartition(">")[2]
                yield from _differences(f"{place}.class", expected[key], found_name)
            elif key in found and not any(key.endswith(word) for word in UNIMPORTANT):
                yield from _differences(_inside(place, key), expected[key], found[key])
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for position, pair in enumerate(zip(expected, found, strict=True)):
            name = pair[0].get("name", position) if isinstance(pair[0], Mapping) else position
            yield from _differences(_inside(place, str(name)), *pair)
    elif expected != found:
        yield Mismatch(place or "layers", _brief(expected), _brief(found))


def _inside(place: str, key: str) -> str:
    """Returns the place of something in `place`: `conv1.activation`."""
    return place if key in ("layers", "config") else f"{place}.{key}".lstrip(".")


def _brief(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
        names = ", ".join(str(item.get("name", "?")) for item in value)
        return shown(f"{len(value)}: {names}")
    return shown(value if isinstance(value, str) else json.dumps(value))
