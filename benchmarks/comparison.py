"""How long `epochlab compare` takes, from the start of its process to the written pictures.

Trains 12 small runs of 50 epochs, four configs with three seeds each, then compares them again and
again.

    python benchmarks/comparison.py --rounds 5
"""

import argparse
import subprocess
import sys
import tempfile

from timing import measure_process, median_and_range, script_command

RATES = (1e-4, 3e-4, 1e-3, 3e-3)
SEEDS = (1, 2, 3)
SMALL = ("data.limit=500", "training.epochs=50", "training.threads=1")


def main() -> None:
    """Prints seconds and peak memory of the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as out:
        for rate in RATES:
            for seed in SEEDS:
                settings = (*SMALL, f"seed={seed}", f"training.optimizer.learning_rate={rate}")
                command = script_command("mlp_mnist_relu", settings, out)
                subprocess.run(command, check=True, capture_output=True)
        command = [sys.executable, "-m", "epochlab.cli", "compare", out, "--outputs", out]
        quiet = {"stdout": subprocess.DEVNULL}
        measured = [
            measure_process([*command, "--out", f"{out}/comparison"], **quiet)
            for _ in range(rounds)
        ]
    seconds, peaks = zip(*measured, strict=True)
    print(f"{len(RATES) * len(SEEDS)} runs of 50 epochs, {rounds} rounds")
    print(f"seconds: {median_and_range(seconds)}; peak memory: {max(peaks):.2f} GB")


if __name__ == "__main__":
    main()
