"""The columns of the tables of results: what each says of an entry and its runs, or of one run."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from result_entries import Entry, list_accuracies, read_record

from epochlab.compare import read_figures
from epochlab.recorded_runs import RecordedRun

NOT_RUN = "not run yet"

Cell = Callable[[Entry, Sequence[RecordedRun]], str]


def draw_table(columns: Mapping[str, Callable[..., str]], rows: Sequence[Sequence[Any]]) -> str:
    """Returns a Markdown table.

    Args:
        columns: What each column says of a row, by its heading.
        rows: The arguments of these functions, row by row.
    """
    lines = [list(columns), ["---"] * len(columns)]
    lines += [[cell(*row) for cell in columns.values()] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def describe_accuracy(runs: Sequence[RecordedRun]) -> str:
    """Returns mean ± standard deviation of the test accuracy in percent, and how many runs."""
    values = [100 * accuracy for accuracy in list_accuracies(runs)]
    if not values:
        return NOT_RUN
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.2f}{spread} % (n = {len(values)})"


def name_base(entry: Entry, runs: Sequence[RecordedRun]) -> str:
    """Returns whose weights a pretrained network began with, "" for ImageNet's and for none."""
    models = [run.config["model"] for run in runs] or [{}]
    weights = {model.get("weights", entry.settings.get("model.weights")) for model in models}
    return ", ".join(sorted(str(name) for name in weights - {None, "imagenet", "none"}))


def _network(entry: Entry, runs: Sequence[RecordedRun]) -> str:
    return entry.network + (" (weights not ImageNet's)" if name_base(entry, runs) else "")


def _parameters(runs: Sequence[RecordedRun]) -> str:
    counted = [run.metrics["parameters"]["total"] for run in runs if run.metrics]
    return f"{counted[0]:,}" if counted else ""


def _span(values: Sequence[float], form: str) -> str:
    """Returns `least to largest` in the format `form`, one figure if they look the same."""
    texts = list(dict.fromkeys(form.format(value) for value in (sorted(values))))
    return f"{texts[0]} to {texts[-1]}" if len(texts) > 1 else "".join(texts)


def train_minutes(run: RecordedRun) -> float:
    """Returns the minutes of a run's epochs."""
    return run.metrics["train_seconds"] / 60 if run.metrics else 0.0


def _whole_minutes(runs: Sequence[RecordedRun]) -> list[float]:
    known = [read_record(run.run.path / "collected.json").get("whole_seconds") for run in runs]
    return [seconds / 60 for seconds in known if seconds is not None]


def _gigabytes(runs: Sequence[RecordedRun]) -> list[float]:
    known = [run.metrics.get("peak_memory_bytes") for run in runs if run.metrics]
    return [count / 1e9 for count in known if count is not None]


def _longest_minutes(_entry: Entry, runs: Sequence[RecordedRun]) -> str:
    """Returns the minutes of the whole runs, where each has them, else of their epochs."""
    whole = _whole_minutes(runs)
    return _span(whole if len(whole) == len(runs) else [*map(train_minutes, runs)], "{:.1f}")


def _threads(runs: Sequence[RecordedRun]) -> str:
    """Returns the threads within an operation; 0 in a record leaves them to TensorFlow."""
    found = [
        record["threads"]["intra_op"] or record["cpus_available"]
        for record in (read_record(run.run.path / "environment.json") for run in runs)
    ]
    return _span(found, "{}")


def _commits(runs: Sequence[RecordedRun]) -> str:
    found = [read_record(run.run.path / "environment.json")["git"]["commit"][:7] for run in runs]
    return ", ".join(f"`{commit}`" for commit in dict.fromkeys(found))


def _name(entry: Entry, _runs: Sequence[RecordedRun]) -> str:
    return f"[`{entry.name}`](#{entry.name})"


PAGE_COLUMNS: dict[str, Cell] = {
    "experiment": _name,
    "published": lambda entry, _: entry.published,
    "ours, test accuracy": lambda _, runs: describe_accuracy(runs),
    "epochs": lambda _, runs: _span([len(run.history) for run in runs], "{}"),
    "minutes": lambda _, runs: _span([*map(train_minutes, runs)], "{:.1f}"),
    "whole": lambda _, runs: _span(_whole_minutes(runs), "{:.1f}"),
    "threads": lambda _, runs: _threads(runs),
    "GB": lambda _, runs: _span(_gigabytes(runs), "{:.2f}"),
    "commit": lambda _, runs: _commits(runs),
}
README_COLUMNS: dict[str, Cell] = {
    "experiment": lambda entry, _: f"[`{entry.name}`](docs/results.md#{entry.name})",
    "network": _network,
    "parameters": lambda _, runs: _parameters(runs),
    "published": lambda entry, _: entry.published,
    "ours": lambda _, runs: describe_accuracy(runs),
    "minutes": _longest_minutes,
    "GB": lambda _, runs: _span(_gigabytes(runs), "{:.2f}"),
}
README_RECIPE_COLUMNS = {name: cell for name, cell in README_COLUMNS.items() if name != "published"}
RUN_COLUMNS: dict[str, Callable[[RecordedRun], str]] = {
    "seed": lambda run: f"[{run.seed}](results/{run.run.path.parent.name}/{run.run.path.name})",
    "test accuracy": lambda run: f"{run.metrics['test']['accuracy']:.4f}" if run.metrics else "",
    "test loss": lambda run: f"{run.metrics['test']['loss']:.4f}" if run.metrics else "",
    "validation accuracy": lambda run: _or_none(read_figures(run)["val_accuracy"]),
    "epochs": lambda run: str(len(run.history)),
    "best epoch": lambda run: str(run.best_epoch or "none"),
    "minutes": lambda run: f"{train_minutes(run):.1f}",
    "whole": lambda run: _span(_whole_minutes([run]), "{:.1f}") or "unknown",
    "threads": lambda run: _threads([run]),
    "GB": lambda run: _span(_gigabytes([run]), "{:.2f}") or "not recorded",
    "commit": lambda run: _commits([run]),
}


def _or_none(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"
