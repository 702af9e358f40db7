"""How exactly runs repeat, what changes their bits, and what exactness costs.

    python benchmarks/exactness.py repeats --runs 20
    python benchmarks/exactness.py bits
    python benchmarks/exactness.py cost data/cats_dogs

`repeats` trains the same again and again, on one thread and on two, and counts the results.
`bits` changes one thing at a time and says whether the weights are still the same. `cost` compares
epochs with and without `training.deterministic`, and measures what saving the state at each
epoch's end takes. Quote the ratios: the machine's speed drifts, and the two sides of a round are
close in time.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from timing import epoch_seconds, median_and_range, script_command, time_other, trained_run

SHORT = ("data.limit=2000", "training.epochs=2")
# Each is trained for about ten seconds an epoch here.
COSTS = {
    "lenet_mnist": ("training.epochs=3", "data.limit=20000"),
    "mlp_mnist_relu": ("training.epochs=6",),
    "cats_dogs_augmented": ("training.epochs=3",),
}


def train(experiment: str, settings: Sequence[str], prefix: Sequence[str] = (), **variables: str):
    """Trains in a process of its own and returns what identifies the result: weights, history."""
    with trained_run(experiment, settings, prefix, **variables) as run:
        rows = (run / "history.csv").read_text().splitlines()
        sha256 = json.loads((run / "metrics.json").read_text())["weights_sha256"]
        return sha256, tuple(row.rpartition(",")[0] for row in rows)


def repeats(arguments: argparse.Namespace) -> None:
    """Counts the different results of equal runs."""
    print("| experiment | threads | runs | different results |")
    print("| --- | --- | --- | --- |")
    for experiment in arguments.experiments or ("lenet_mnist",):
        for threads in (1, 2):
            settings = [*SHORT, f"training.threads={threads}"]
            results = Counter(train(experiment, settings) for _ in range(arguments.runs))
            print(f"| {experiment} | {threads} | {arguments.runs} | {len(results)} |", flush=True)


def bits(arguments: argparse.Namespace) -> None:
    """Says of one change at a time whether the weights stay the same."""
    experiments = arguments.experiments or ("lenet_mnist", "mlp_mnist_relu")
    one_cpu = ("taskset", "-c", str(min(os.sched_getaffinity(0))))
    loose = ["training.deterministic=false"]
    cases = {
        "nothing": train_all(experiments, []),
        "the same two threads on one CPU": train_all(experiments, [], one_cpu),
        "another locale, hash seed and time zone": train_all(
            experiments, [], PYTHONHASHSEED="7", LC_ALL="C", TZ="Asia/Tokyo"
        ),
        "one thread": train_all(experiments, ["training.threads=1"]),
        "four threads": train_all(experiments, ["training.threads=4"]),
        "oneDNN off": train_all(experiments, [], TF_ENABLE_ONEDNN_OPTS="0"),
        "a CPU without AVX-512 (to oneDNN)": train_all(experiments, [], ONEDNN_MAX_CPU_ISA="AVX2"),
        "`deterministic: false`": train_all(experiments, loose),
        "`deterministic: false`, again": train_all(experiments, loose),
    }
    print(f"| changed | {' | '.join(experiments)} |")
    print(f"| --- |{' --- |' * len(experiments)}")
    for case, results in cases.items():
        answers = [
            "same bits" if result == cases["nothing"][experiment] else "other bits"
            for experiment, result in results.items()
        ]
        print(f"| {case} | {' | '.join(answers)} |")


def train_all(
    experiments: Sequence[str], settings: Sequence[str], prefix: Sequence[str] = (), **variables
) -> dict[str, tuple]:
    """Trains each experiment on two threads unless `settings` say otherwise."""
    changed = [*SHORT, "training.threads=2", *settings]
    return {name: train(name, changed, prefix, **variables) for name in experiments}


def cost(arguments: argparse.Namespace) -> None:
    """Prints what determinism and checkpoints take, in percent of an epoch."""
    print("| experiment | epoch, s | determinism | checkpoints | together |")
    print("| --- | --- | --- | --- | --- |")
    for experiment in arguments.experiments or COSTS:
        settings = [*COSTS[experiment]]
        if experiment.startswith("cats_dogs"):
            settings.append(f"data.path={arguments.data}")
        epochs, shares, savings = [], [], []
        for _ in range(arguments.rounds):
            exact, loose = (
                time_other(__file__, "one-run", experiment, *settings, f"training.{switch}")
                for switch in ("deterministic=true", "deterministic=false")
            )
            epochs.append(exact["epoch"])
            shares.append(exact["epoch"] / loose["epoch"] - 1)
            savings.append(exact["saving"] / exact["epoch"])
        together = [one + other for one, other in zip(shares, savings, strict=True)]
        columns = [median_and_range(values, ".1%") for values in (shares, savings, together)]
        print(
            f"| {experiment} | {statistics.median(epochs):.1f} | {' | '.join(columns)} |",
            flush=True,
        )


def one_run(experiment: str, settings: Sequence[str]) -> None:
    """Trains in this process and prints the median seconds of an epoch and of saving its state."""
    import runpy
    import time

    from epochlab import callbacks

    seconds: list[float] = []
    save = callbacks.save_checkpoint

    def timed(*arguments):
        started = time.perf_counter()
        path = save(*arguments)
        seconds.append(time.perf_counter() - started)
        return path

    callbacks.save_checkpoint = timed
    with tempfile.TemporaryDirectory() as out:
        _, *sys.argv = script_command(experiment, settings, out)
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as finished:
            if finished.code:
                raise
        (run,) = Path(out).glob("*/*")
        epochs = epoch_seconds(run)
    middle = statistics.median
    print(json.dumps({"epoch": middle(epochs), "saving": middle(seconds[1:])}))


def main() -> None:
    """Runs the part that is asked for."""
    if len(sys.argv) > 1 and sys.argv[1] == "one-run":
        one_run(sys.argv[2], sys.argv[3:])
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = parser.add_subparsers(required=True, metavar="PART")
    for part in (repeats, bits, cost):
        arguments = parts.add_parser(part.__name__, help=part.__doc__.splitlines()[0])
        if part is cost:
            arguments.add_argument("data", type=os.path.abspath, metavar="DATA")
            arguments.add_argument("--rounds", type=int, default=5)
        if part is repeats:
            arguments.add_argument("--runs", type=int, default=20)
        arguments.add_argument("--experiments", nargs="+", metavar="EXPERIMENT")
        arguments.set_defaults(part=part)
    chosen = parser.parse_args()
    chosen.part(chosen)


if __name__ == "__main__":
    main()
