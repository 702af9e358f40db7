"""Modules that are imported at first use: `--help` is not to wait for TensorFlow."""

import importlib
from typing import Any


class LazyModule:
    """Stands for a module and imports it when an attribute of it is first asked for.

    It stays out of `sys.modules`. A half-loaded stand-in there, as `importlib.util.LazyLoader` and
    the libraries on top of it leave, breaks whoever imports TensorFlow before Keras: TensorFlow
    looks for Keras while it loads, which loads Keras, which needs the whole of TensorFlow. It also
    is not safe in threads, as an import is.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        """Returns the module's attribute."""
        return getattr(importlib.import_module(self._name), attribute)


def lazy_import(name: str) -> Any:
    """Returns a stand-in for the module `name`."""
    return LazyModule(name)
