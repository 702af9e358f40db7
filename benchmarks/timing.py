"""What several benchmarks do: time the epochs of a script, and of other code, in processes."""

import csv
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent


def script_command(experiment: str, settings: Sequence[str], out: str) -> list[str]:
    """Returns the command that runs an experiment's script with `settings`, KEY=VALUE each."""
    command = [sys.executable, str(ROOT / "scripts" / f"{experiment}.py"), "--out", out]
    return command + [word for setting in settings for word in ("--set", setting)]


def time_script(experiment: str, settings: Sequence[str]) -> list[float]:
    """Returns the seconds of each epoch but the first, as the run's `history.csv` has them."""
    with tempfile.TemporaryDirectory() as out:
        subprocess.run(script_command(experiment, settings, out), check=True, capture_output=True)
        (history,) = Path(out).glob("*/*/history.csv")
        with history.open() as rows:
            return [float(row["seconds"]) for row in csv.DictReader(rows)][1:]


def time_other(file: str, *arguments: str) -> list[float]:
    """Returns what `file`, run in a process of its own, prints last: seconds as a JSON list."""
    command = [sys.executable, file, *arguments]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(printed.splitlines()[-1])


def epoch_clock(seconds: list[float]):
    """Returns a Keras callback that appends the seconds of each epoch to `seconds`."""
    import keras

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.started = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            seconds.append(time.perf_counter() - self.started)

    return Clock()
