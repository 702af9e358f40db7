# The package has few annotations, so that a type checker infers wrong types from default values.
# Everything in it counts as Any instead.
from typing import Any

def __getattr__(name: str) -> Any: ...
