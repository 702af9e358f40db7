"""The points of a sweep: settings to be tried together, from its lists and ranges."""

import itertools
import math
import random
from dataclasses import dataclass
from typing import Any

from epochlab.config.yaml_writer import format_value
from epochlab.fleet.sweep_config import Sweep, is_range

# Numbers are drawn to so many digits: enough to search, and to be read in a legend.
DIGITS = 4


@dataclass(frozen=True)
class Setting:
    """A value to put into an experiment's config, and where it comes from.

    Attributes:
        key: The dotted key.
        value: The plain value.
        origin: `FILE:LINE`, or a flag.
    """

    key: str
    value: Any
    origin: str


def list_fixed(sweep: Sweep) -> list[Setting]:
    """Returns the settings under `set`."""
    return [Setting(key, value, sweep.place("set", key)) for key, value in sweep.config.set.items()]


def list_points(sweep: Sweep) -> list[list[Setting]]:
    """Returns the points of a grid, a list or a random search."""
    match sweep.config.search:
        case "grid":
            return _make_grid(sweep)
        case "list":
            return [
                [
                    Setting(key, value, sweep.place("space", number, key))
                    for key, value in row.items()
                ]
                for number, row in enumerate(sweep.config.space)
            ]
        case "random":
            return _draw_points(sweep)
    raise AssertionError("the points of optuna come one after the other")


def list_corners(sweep: Sweep) -> list[list[Setting]]:
    """Returns points that between them have every value of a list and both ends of every range."""
    choices = {
        key: [values["low"], values["high"]] if is_range(values) else values
        for key, values in sweep.config.space.items()
    }
    longest = max(map(len, choices.values()))
    return [
        [
            Setting(key, values[position % len(values)], sweep.place("space", key))
            for key, values in choices.items()
        ]
        for position in range(longest)
    ]


def _make_grid(sweep: Sweep) -> list[list[Setting]]:
    axes = [
        [
            Setting(key, value, sweep.place("space", key, position))
            for position, value in enumerate(values)
        ]
        for key, values in sweep.config.space.items()
    ]
    return [list(point) for point in itertools.product(*axes)]


def _draw_points(sweep: Sweep) -> list[list[Setting]]:
    """Draws `trials` different points, or all there are where the space has fewer."""
    generator = random.Random(sweep.config.search_seed)
    wanted, found = sweep.config.trials or 0, {}
    # In a space of few points most draws give one again.
    for _ in range(100 * wanted):
        if len(found) == wanted:
            break
        point = [
            Setting(key, _draw(values, generator), sweep.place("space", key))
            for key, values in sweep.config.space.items()
        ]
        found.setdefault(format_value([setting.value for setting in point]), point)
    return list(found.values())


def _draw(values: Any, generator: random.Random) -> Any:
    if not is_range(values):
        return generator.choice(values)
    low, high, is_log = values["low"], values["high"], values.get("log", False)
    ends = (math.log(low), math.log(high)) if is_log else (low, high)
    if isinstance(low, int) and isinstance(high, int):
        if not is_log:
            return generator.randint(low, high)
        return min(high, max(low, round(math.exp(generator.uniform(*ends)))))
    drawn = generator.uniform(*ends)
    return round_within(math.exp(drawn) if is_log else drawn, low, high)


def round_within(value: float, low: float, high: float) -> float:
    """Returns `value` to four digits, and not beyond the ends of its range."""
    return min(float(high), max(float(low), float(f"{value:.{DIGITS}g}")))
