"""What a sweep's YAML says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, field_validator

from epochlab.config import Section
from epochlab.config.loading import check_source
from epochlab.config.source import Source
from epochlab.config.yaml_writer import format_value
from epochlab.errors import ConfigError

# What is decided elsewhere in a sweep's YAML.
RESERVED = {
    "experiment": "is the sweep's own; write one sweep per experiment",
    "seed": "is set by seeds",
    "training.threads": "is set by cpus_per_trial",
}
RANGE_KEYS = {"low", "high", "log"}
SAMPLED = ("random", "optuna")


class BudgetConfig(Section):
    """When no further trial is started.

    Attributes:
        trials: After this many trials, all calls together, or None for all.
        trial_hours: After this many hours, those of all trials added up, or None for no limit.
    """

    trials: PositiveInt | None = None
    trial_hours: PositiveFloat | None = None


class SweepConfig(Section):
    """One sweep: an experiment, what is varied in it, and what it may cost.

    Attributes:
        experiment: Name of the experiment, the stem of its script.
        config: The config that the trials begin from; None: the one that ships with the experiment.
        set: Settings that all trials share, by dotted key.
        search: `grid` tries every combination, `list` the entries of `space`, `random` draws
            `trials` points, `optuna` chooses each point by the results of those before.
        search_seed: Seed of `random` and `optuna`.
        trials: How many points `random` and `optuna` try; each is run with every seed.
        space: What is varied. By dotted key a list of values or, where points are drawn, a range
            `{low: 1, high: 8}`, of whole numbers if both ends are, with `log: true` even on a
            logarithmic scale. For `list`: a list of mappings of dotted keys to values.
        seeds: The seeds that every point is run with.
        cpus_per_trial: CPUs and TensorFlow's threads of one trial. They decide how sums are
            rounded, so that the bits depend neither on the machine nor on what runs beside.
        parallel: Trials at a time; None: as many as there are CPUs for.
        budget: When to start no further trial, or None.
        objective: What is judged, and what `optuna` makes better: always a figure of the validation
            images, since the test images are not for choosing.
    """

    experiment: str
    config: str | None = None
    set: dict[str, Any] = Field(default_factory=dict)
    search: Literal["grid", "list", "random", "optuna"]
    search_seed: NonNegativeInt = 1
    trials: PositiveInt | None = None
    space: Any
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**31)], ...], Field(min_length=1)]
    cpus_per_trial: PositiveInt
    parallel: PositiveInt | None = None
    budget: BudgetConfig | None = None
    objective: Literal["val_accuracy", "val_loss"] = "val_accuracy"

    @field_validator("seeds")
    @classmethod
    def _check_seeds(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        check_seeds(seeds)
        return seeds


@dataclass(frozen=True)
class Sweep:
    """A sweep's config, and where each of its values stands.

    Attributes:
        config: The config.
        source: The raw values with their lines.
    """

    config: SweepConfig
    source: Source

    def place(self, *path: str | int) -> str:
        """Returns `FILE:LINE` of a value."""
        return self.source.origin(path)


def check_seeds(seeds: Sequence[int]) -> None:
    """Refuses a seed that stands there twice: it would be the same run.

    Raises:
        ValueError: Then, naming it.
    """
    twice = sorted({seed for seed in seeds if seeds.count(seed) > 1})
    if twice:
        words = ", ".join(map(str, twice))
        raise ValueError(f"has {words} more than once, which is the same run; give each seed once")


def read_sweep(path: Path) -> Sweep:
    """Reads the YAML of a sweep.

    Raises:
        ConfigError: If anything is wrong with it. All that is wrong is named at once.
    """
    source = Source(path)
    config = check_source(SweepConfig, source).config
    problems = [f"{source.locate(place)}: {problem}" for place, problem in _list_problems(config)]
    if problems:
        heading = [f"{len(problems)} problems in {path}"] if len(problems) > 1 else []
        raise ConfigError("\n  ".join([*heading, *problems]))
    return Sweep(config, source)


def is_range(value: Any) -> bool:
    """Tells whether a value of `space` is a range."""
    return isinstance(value, Mapping) and bool(RANGE_KEYS & set(value))


def _list_problems(config: SweepConfig) -> list[tuple[tuple[str | int, ...], str]]:
    """Returns what is wrong with the values together: path and message."""
    found: list[tuple[tuple[str | int, ...], str]] = [
        (("set", key), f"{key} {RESERVED[key]}") for key in config.set if key in RESERVED
    ]
    if config.search in SAMPLED and config.trials is None:
        found.append((("search",), f"{config.search} asks for trials: how many points to try"))
    if config.search not in SAMPLED and config.trials is not None:
        found.append(
            (("trials",), f"a {config.search} tries all of space; leave trials out, or set budget")
        )
    if config.search == "list":
        return found + _list_entry_problems(config)
    if not isinstance(config.space, Mapping) or not config.space:
        expected = "expected dotted keys with what each is to be: model.scaling: [raw, unit]"
        return [*found, (("space",), expected)]
    for key, values in config.space.items():
        place = ("space", key)
        if key in RESERVED:
            found.append((place, f"{key} {RESERVED[key]}"))
        elif key in config.set:
            found.append((place, f"{key} stands under set, too; keep one of them"))
        elif is_range(values):
            found += [(place, problem) for problem in _range_problems(values, config.search)]
        elif not isinstance(values, list) or not values:
            found.append((place, f"expected a list of values, got {format_value(values)}"))
        elif len({format_value(value) for value in values}) < len(values):
            found.append((place, "has a value twice; give each once"))
    return found


def _list_entry_problems(config: SweepConfig) -> list[tuple[tuple[str | int, ...], str]]:
    entries = config.space
    if not isinstance(entries, list) or not entries:
        return [(("space",), "expected a list of entries: - {model.scaling: raw}")]
    found: list[tuple[tuple[str | int, ...], str]] = []
    for position, entry in enumerate(entries):
        if not isinstance(entry, Mapping):
            problem = f"expected dotted keys and values, got {format_value(entry)}"
            found.append((("space", position), problem))
            continue
        for key in entry:
            if key in RESERVED:
                found.append((("space", position, key), f"{key} {RESERVED[key]}"))
    return found


def _range_problems(values: Mapping[str, Any], search: str) -> list[str]:
    if search not in SAMPLED:
        return [f"a range is for random and optuna; for a {search} give a list of values"]
    low, high, log = values.get("low"), values.get("high"), values.get("log", False)
    if set(values) - RANGE_KEYS or not all(_is_number(value) for value in (low, high)):
        return [f"expected {{low: NUMBER, high: NUMBER}}, got {format_value(values)}"]
    if not isinstance(log, bool):
        return [f"log: expected true or false, got {format_value(log)}"]
    assert low is not None and high is not None
    if low >= high:
        return [f"low must be below high, got {format_value(values)}"]
    if log and low <= 0:
        return [f"a logarithmic range begins above 0, got {format_value(values)}"]
    return []


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
