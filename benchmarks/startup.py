"""How long a script takes to its first answer and to its first step, and where imports spend it.

Each round starts a process for each row, Epochlab's and then plain Keras's, which is
`articles.py`: a tutorial's script, which imports Keras at its top. One round before is not counted,
so that all files are in memory and compiled. `--help`, the config error and `epochlab list`, of one
run, are timed from the start of the process to its end. The first step is timed from the start of
the process to the moment when the loss of the first batch of 128 images is known:
`first_step.py` takes the clock in a callback of `fit`, in the same way on both sides, and ends the
process. `data.limit` makes that batch a whole epoch, because an epoch of more steps gives Epochlab
its first result after several; plain Keras gets as many images, before it makes them float64.
LeNet is channels-last on both sides.

Then what importing takes by package (`import_shares.py`), for a script that ends with the config
error and for one that trains one step and finishes its run. `-X importtime` slows imports down a
little, so the shares tell more than the seconds.

    python benchmarks/startup.py --rounds 5 --json startup.json
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from import_shares import measure_imports, print_imports, summarise_imports
from timing import (
    ROOT,
    describe_machine,
    measure_process,
    median_and_range,
    script_command,
    trained_run,
    write_json,
)

EXPERIMENT = "lenet_mnist"
BATCH = 128
ONE_STEP = (f"data.limit={BATCH}", "training.epochs=1", f"training.batch_size={BATCH}")
CONFIG_ERROR = ("training.epochs=zero",)
USAGE = 2
BENCHMARKS = ROOT / "benchmarks"

Measure = Callable[[], float]


def answer(command: Sequence[str], expected_status: int = 0) -> Measure:
    """Returns what runs a command to its end and returns the seconds."""

    def measure() -> float:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return measure_process(command, expected_status, **quiet)[0]

    return measure


def first_step(command: Sequence[str]) -> Measure:
    """Returns what runs a script to the end of its first training step and returns the seconds."""
    interpreter, *script = command

    def measure() -> float:
        watched = [interpreter, str(BENCHMARKS / "first_step.py"), *script]
        started = time.monotonic()
        ended = subprocess.run(watched, capture_output=True, text=True)
        if ended.returncode:
            raise SystemExit(f"{script[0]} ended with {ended.returncode}: {ended.stderr[-2000:]}")
        return float(ended.stdout.splitlines()[-1]) - started

    return measure


def make_measures(run: Path, out: str) -> dict[str, dict[str, Measure]]:
    """Returns, for each row of the table, what to measure on each side.

    Args:
        run: A finished run, alone in its folder of runs.
        out: Takes what the scripts write.
    """
    article = [sys.executable, str(BENCHMARKS / "articles.py")]
    plain = [*article, EXPERIMENT, "--out", out, "--batch-size", str(BATCH), "--epochs"]
    # 128 of them are left for training.
    first_batch = ["1", "--validation", "0.2", "--limit", "160"]
    command = [sys.executable, "-m", "epochlab.cli"]
    script = script_command(EXPERIMENT, (), out)
    return {
        "`--help`": {
            "epochlab": answer([*script, "--help"]),
            "plain": answer([*article, "--help"]),
        },
        "a config error": {
            "epochlab": answer(script_command(EXPERIMENT, CONFIG_ERROR, out), USAGE),
            "plain": answer([*plain, "zero"], USAGE),
        },
        "`epochlab --help`": {"epochlab": answer([*command, "--help"])},
        "`epochlab list`": {"epochlab": answer([*command, "list", str(run.parents[1])])},
        "the first training step": {
            "epochlab": first_step(script_command(EXPERIMENT, ONE_STEP, out)),
            "plain": first_step([*plain, *first_batch]),
        },
        "an empty script's end": {"plain": answer([sys.executable, "-c", ""])},
    }


def measure_startup(rounds: int) -> dict[str, dict[str, list[float]]]:
    """Returns the seconds of each row, side and round."""
    with trained_run(EXPERIMENT, ONE_STEP) as run, tempfile.TemporaryDirectory() as out:
        measures = make_measures(run, out)
        seconds = {row: {side: [] for side in sides} for row, sides in measures.items()}
        for _ in range(1 + rounds):
            for row, sides in measures.items():
                for side, measure in sides.items():
                    seconds[row][side].append(measure())
    return {row: {side: all_[1:] for side, all_ in sides.items()} for row, sides in seconds.items()}


def print_startup(seconds: dict[str, dict[str, list[float]]]) -> None:
    """Prints one table row for each answer that a person waits for."""
    print("| seconds to | Epochlab | plain Keras | times as long in plain Keras |")
    print("| --- | --- | --- | --- |")
    for row, sides in seconds.items():
        cells = [
            median_and_range(sides[side]) if side in sides else "" for side in ("epochlab", "plain")
        ]
        both = zip(sides["plain"], sides["epochlab"], strict=True) if len(sides) == 2 else ()
        ratios = [plain / ours for plain, ours in both]
        cells.append(median_and_range(ratios) if ratios else "")
        print(f"| {row} | {' | '.join(cells)} |")


def measure_shares(rounds: int) -> dict[str, dict[str, Any]]:
    """Returns the seconds of importing, by package, of a script that ends early and of one run."""
    early, whole = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as out:
            early.append(measure_imports(script_command(EXPERIMENT, CONFIG_ERROR, out), USAGE))
            run = script_command(EXPERIMENT, ONE_STEP, out)
            whole.append(measure_imports(run, loads_tensorflow=True))
    return {"a config error": summarise_imports(early), "a whole run": summarise_imports(whole)}


def main() -> None:
    """Prints a table of the seconds to each answer, and two of what importing takes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE", help="takes all figures")
    arguments = parser.parse_args()
    machine = describe_machine()
    print(f"{machine['cpu']}, {machine['cpus_available']} CPUs, {arguments.rounds} rounds\n")
    seconds = measure_startup(arguments.rounds)
    print_startup(seconds)
    imports = measure_shares(arguments.rounds)
    for path, summary in imports.items():
        print_imports(f"{EXPERIMENT}, {path}", summary)
    write_json(arguments.json, {"machine": machine, "seconds": seconds, "imports": imports})


if __name__ == "__main__":
    main()
