"""A few threads over many files."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

THREADS = 4
# Items handed to the threads at a time: Ctrl-C waits for no more than these, and each one waiting
# takes memory.
SUBMITTED = 256

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_threads(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """Yields `function` of each item, in their order, a few at a time in parallel."""
    with ThreadPoolExecutor(THREADS) as pool:
        for first in range(0, len(items), SUBMITTED):
            yield from pool.map(function, items[first : first + SUBMITTED])
