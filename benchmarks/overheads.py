"""What a run takes beside its training steps: its batches, its callback, and its end.

    python benchmarks/overheads.py --rounds 5
    python benchmarks/overheads.py cats_dogs_baseline --set data.path=data/cats_dogs --rounds 3

Each round runs an experiment's own script twice, in another order: as it is, and with one batch
given again and again instead of the images, which is what the steps alone take. The data path's
share of an epoch is what the second saves. The callback's share is the time within `EpochRecorder`,
checkpoints, `history.csv` and printed lines included, validation excluded. The end lasts from the
last epoch's end to the end of the script: scoring the test images, curves, pictures, tables,
`model.h5` and `metrics.json`. The first epoch, which traces and fills caches, is left out.
"""

import argparse
import json
import runpy
import statistics
import sys
import tempfile
import time
from pathlib import Path

from timing import epoch_seconds, median_and_range, script_command, time_other, write_json

NETWORKS = ("mlp_mnist_relu", "lenet_mnist", "convnet_mnist")
ONE_BATCH = "--one-batch"
HOOKS = ("on_epoch_begin", "on_train_batch_end", "on_epoch_end")


def repeat_one_batch() -> None:
    """Makes every training of this process see its first batch only."""
    import epochlab.training

    batches_of_images = epochlab.training.training_batches

    def one_batch(*arguments, **keywords):
        batches = batches_of_images(*arguments, **keywords)
        return batches.take(1).cache().repeat()

    epochlab.training.training_batches = one_batch


def watch_callback(spent: list[float], ended: list[float]) -> None:
    """Adds up the seconds in the recorder's hooks, epoch by epoch, and notes each epoch's end."""
    from epochlab.callbacks import EpochRecorder

    def timed(name: str):
        hook = getattr(EpochRecorder, name)

        def call(self, *arguments, **keywords):
            if name == "on_epoch_begin":
                spent.append(0.0)
            started = time.perf_counter()
            hook(self, *arguments, **keywords)
            spent[-1] += time.perf_counter() - started
            if name == "on_epoch_end":
                ended.append(time.perf_counter())

        return call

    for name in HOOKS:
        setattr(EpochRecorder, name, timed(name))


def run_watched(one_batch: bool, script: str, arguments: list[str]) -> None:
    """Runs a script; prints an epoch's seconds, the callback's share, the seconds at the end."""
    from epochlab.environment import count_cpus
    from epochlab.process import load_tensorflow

    load_tensorflow(count_cpus())  # as the script will
    spent: list[float] = []
    ended: list[float] = []
    watch_callback(spent, ended)
    if one_batch:
        repeat_one_batch()
    sys.argv = [script, *arguments]
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as exit_:
        if exit_.code:
            raise
    finished = time.perf_counter()
    out = Path(arguments[arguments.index("--out") + 1])
    (run,) = out.glob("*/*")
    seconds = epoch_seconds(run)
    print(
        json.dumps(
            [statistics.median(seconds), sum(spent[1:]) / sum(seconds), finished - ended[-1]]
        )
    )


def measure(network: str, settings: list[str], one_batch: bool) -> list[float]:
    """Returns what `run_watched` prints, of a process of its own."""
    with tempfile.TemporaryDirectory() as out:
        _, script, *arguments = script_command(network, settings, out)
        flags = [ONE_BATCH] if one_batch else []
        return time_other(__file__, "--inside", *flags, script, *arguments)


def main() -> None:
    """Prints one table row per network."""
    if sys.argv[1:2] == ["--inside"]:
        one_batch = sys.argv[2] == ONE_BATCH
        script, *arguments = sys.argv[3 if one_batch else 2 :]
        run_watched(one_batch, script, arguments)
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("networks", nargs="*", metavar="NETWORK", default=NETWORKS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=4, help="the first not counted")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--json", type=Path, metavar="FILE")
    chosen = parser.parse_args()
    figures = {}
    print("| network | data path, of an epoch | callback, of an epoch | the run's end, s |")
    print("| --- | --- | --- | --- |")
    for network in chosen.networks:
        settings = [f"training.epochs={chosen.epochs}", *chosen.set]
        rounds = []
        for number in range(chosen.rounds):
            order = (False, True) if number % 2 else (True, False)
            rounds.append({one_batch: measure(network, settings, one_batch) for one_batch in order})
        figures[network] = [[round_[False], round_[True]] for round_ in rounds]
        data = [1 - steps[0] / whole[0] for whole, steps in figures[network]]
        callback, end = zip(*(whole[1:] for whole, _ in figures[network]), strict=True)
        cells = [median_and_range(data, ".1%"), median_and_range(callback, ".2%")]
        print(f"| `{network}` | {' | '.join(cells)} | {median_and_range(end)} |", flush=True)
    write_json(chosen.json, figures)


if __name__ == "__main__":
    main()
