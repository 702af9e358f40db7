"""Whole experiments, from the start of a process to its end, beside the articles' own.

Epochlab's side is the experiment's script with all that it records and draws, from an empty cache
of decoded images. The article's side is `articles.py`, which says what it does; LeNet's is
channels-first, as its article is, unless `--channels-last` is given. Both take epochs, batch size,
steps of an epoch, validation images and augmentation from the YAML and `--set`, and with
`--images N` the same images. Each runs in a process of its own, and which of them comes first
changes from round to round. That both trained a network of the same size for the same number of
steps is checked. Quote the ratios: the machine's speed drifts, and the two sides of a round are
close in time. The article's side has no seed, so its accuracy differs from round to round.

`cats_dogs_vgg16_features`, which needs `--weights`, is set beside what its article calls the slow
way: the frozen layers inside the model, run in every epoch. `vgg16_mnist` is left to
`transfer.py mnist`, which times a part of its article's flow and computes the whole from it.

    python benchmarks/end_to_end.py --rounds 3 --json end_to_end.json
    python benchmarks/end_to_end.py lenet_mnist --images 2000 --epochs 2 --rounds 1
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from article_data import Figures, article_options, count_steps, measure_article
from timing import (
    describe_machine,
    load_experiment,
    measure_process,
    median_and_range,
    script_command,
    write_json,
)

EXPERIMENTS = (
    "lenet_mnist",
    "mlp_mnist_relu",
    "convnet_mnist",
    "cats_dogs_baseline",
    "cats_dogs_augmented",
)
WITH_WEIGHTS = "cats_dogs_vgg16_features"
COLUMNS = (
    "experiment",
    "Epochlab, s",
    "article, s",
    "times as fast",
    "Epochlab, GB",
    "article, GB",
    "Epochlab, test accuracy",
    "article, test accuracy",
)


def measure_epochlab(experiment: str, settings: Sequence[str]) -> Figures:
    """Runs the script from an empty cache and returns what it took and what came out."""
    with tempfile.TemporaryDirectory() as folder:
        seconds, gigabytes = measure_process(
            script_command(experiment, settings, f"{folder}/outputs"),
            stdout=subprocess.DEVNULL,
            env=os.environ | {"EPOCHLAB_CACHE": f"{folder}/cache"},
        )
        (run,) = Path(folder).glob("outputs/*/*")
        metrics = json.loads((run / "metrics.json").read_text())
        images = json.loads((run / "data.json").read_text())["images"]
    _, config = load_experiment(experiment, settings)
    return {
        "seconds": seconds,
        "gigabytes": gigabytes,
        "accuracy": metrics["test"]["accuracy"],
        "parameters": metrics["parameters"]["total"],
        "steps": metrics["epochs"] * count_steps(config, images["train"]),
    }


def measure_experiment(
    experiment: str, settings: Sequence[str], data_format: str, rounds: int
) -> list[dict[str, Figures]]:
    """Returns the figures of both sides for each round."""
    _, config = load_experiment(experiment, settings)
    measured = []
    with tempfile.TemporaryDirectory() as folder:
        options = article_options(config, Path(folder))
        if experiment == "lenet_mnist":
            options += ["--data-format", data_format]
        sides = {
            "epochlab": lambda: measure_epochlab(experiment, settings),
            "article": lambda: measure_article(experiment, options),
        }
        for number in range(rounds):
            round_ = {}
            for side in list(sides)[:: -1 if number % 2 else 1]:
                round_[side] = sides[side]()
                print(f"  {side}: {round_[side]['seconds']:.1f} s", file=sys.stderr, flush=True)
            check_same_work(experiment, round_)
            measured.append(round_)
    return measured


def check_same_work(experiment: str, round_: dict[str, Figures]) -> None:
    """Refuses figures of two sides that did not train alike."""
    for what in ("parameters", "steps"):
        ours, theirs = (round_[side][what] for side in ("epochlab", "article"))
        if ours != theirs:
            raise SystemExit(f"{experiment}: {ours} {what} on our side, {theirs} on the article's")


def print_row(experiment: str, measured: Sequence[dict[str, Figures]]) -> None:
    """Prints a row of the table."""

    def values(side: str, what: str) -> list[float]:
        return [round_[side][what] for round_ in measured]

    cells = [
        median_and_range(values(side, what), form)
        for what, form in (("seconds", ".1f"), ("gigabytes", ".2f"), ("accuracy", ".2%"))
        for side in ("epochlab", "article")
    ]
    pairs = zip(values("article", "seconds"), values("epochlab", "seconds"), strict=True)
    cells.insert(2, median_and_range([article / ours for article, ours in pairs]))
    print(f"| `{experiment}` | {' | '.join(cells)} |", flush=True)


def make_settings(experiment: str, arguments: argparse.Namespace) -> list[str]:
    """Returns the settings, KEY=VALUE each, that the options ask for."""
    settings = []
    if arguments.images is not None:
        settings.append(f"data.limit={arguments.images}")
    if arguments.epochs is not None:
        key = "phases.0.epochs" if experiment == WITH_WEIGHTS else "training.epochs"
        settings.append(f"{key}={arguments.epochs}")
    if "mnist" not in experiment:
        settings.append(f"data.path={arguments.data}")
    if experiment == WITH_WEIGHTS:
        settings.append(f"model.weights={arguments.weights}")
    return settings + arguments.set


def main() -> None:
    """Prints one table row per experiment: seconds, their ratio, peak memory, test accuracy."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help="default: all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="default: the YAML's")
    parser.add_argument("--images", type=int, metavar="N", help="at most N of each split")
    parser.add_argument("--data", type=os.path.abspath, default="data/cats_dogs", metavar="DIR")
    parser.add_argument("--weights", type=os.path.abspath, metavar="FILE.h5", help="of VGG16")
    parser.add_argument("--channels-last", action="store_true", help="in LeNet's article, too")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--json", type=Path, metavar="FILE", help="takes all figures")
    arguments = parser.parse_args()
    known = [*EXPERIMENTS, *([WITH_WEIGHTS] if arguments.weights else [])]
    if unknown := [name for name in arguments.experiments if name not in known]:
        expected = f"{', '.join(EXPERIMENTS)}; with --weights {WITH_WEIGHTS}"
        parser.error(f"{', '.join(unknown)}: expected {expected}")
    machine = describe_machine()
    figures: dict[str, Any] = {"machine": machine, "experiments": {}}
    data_format = "channels_last" if arguments.channels_last else "channels_first"
    print(f"{machine['cpu']}, {machine['cpus_available']} CPUs, {arguments.rounds} rounds\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    for experiment in arguments.experiments or known:
        settings = make_settings(experiment, arguments)
        measured = measure_experiment(experiment, settings, data_format, arguments.rounds)
        figures["experiments"][experiment] = {"settings": settings, "rounds": measured}
        print_row(experiment, measured)
        write_json(arguments.json, figures)


if __name__ == "__main__":
    main()
