"""What several benchmarks do: run scripts and other code in processes, time them, say it."""

import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def script_command(experiment: str, settings: Sequence[str], out: str) -> list[str]:
    """Returns the command that runs an experiment's script with `settings`, KEY=VALUE each."""
    command = [sys.executable, str(ROOT / "scripts" / f"{experiment}.py"), "--out", out]
    return command + [word for setting in settings for word in ("--set", setting)]


def load_experiment(experiment: str, settings: Sequence[str], config: Path | None = None):
    """Returns the names in an experiment's script, and its config with `settings`.

    As in a run, a precision that is left to the machine is settled.

    Args:
        experiment: The name of the script.
        settings: KEY=VALUE each.
        config: The YAML file; None: the shipped one.
    """
    import runpy

    from epochlab.config import load_config
    from epochlab.precision import settle_precision
    from epochlab.script_files import shipped_config
    from epochlab.session import ExperimentConfig

    path = ROOT / "scripts" / f"{experiment}.py"
    script = runpy.run_path(str(path))
    (schema,) = (
        value
        for value in script.values()
        if isinstance(value, type)
        and issubclass(value, ExperimentConfig)
        and value is not ExperimentConfig
    )
    loaded, _ = settle_precision(load_config(schema, config or shipped_config(path), settings))
    return script, loaded.config


@contextmanager
def trained_run(
    experiment: str, settings: Sequence[str], prefix: Sequence[str] = (), **variables: str
) -> Iterator[Path]:
    """Runs a script to its end and gives the folder of its run, which then goes away.

    Args:
        experiment: The name of the script.
        settings: KEY=VALUE each.
        prefix: A command to run it under.
        variables: Changes of the process's environment.
    """
    with tempfile.TemporaryDirectory() as out:
        subprocess.run(
            [*prefix, *script_command(experiment, settings, out)],
            check=True,
            capture_output=True,
            env=os.environ | variables,
        )
        (run,) = Path(out).glob("*/*")
        yield run


def epoch_seconds(run: Path) -> list[float]:
    """Returns the seconds of each epoch but the first, as the run's `history.csv` has them."""
    with (run / "history.csv").open() as rows:
        return [float(row["seconds"]) for row in csv.DictReader(rows)][1:]


def time_script(experiment: str, settings: Sequence[str]) -> list[float]:
    """Returns the seconds of each epoch but the first."""
    with trained_run(experiment, settings) as run:
        return epoch_seconds(run)


def measure_process(
    command: Sequence[str], expected_status: int = 0, **options
) -> tuple[float, float]:
    """Runs a command and returns its seconds and its peak memory in GB.

    Args:
        command: The command; if it ends otherwise than expected, so does this process.
        expected_status: How it is to end.
        options: For `subprocess.Popen`.
    """
    started = time.perf_counter()
    process = subprocess.Popen(command, **options)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    code = os.waitstatus_to_exitcode(status)
    if code != expected_status:
        raise SystemExit(f"{' '.join(command)} ended with {code}, expected {expected_status}")
    return seconds, usage.ru_maxrss * 1024 / 1e9


def median_and_range(values: Sequence[float], form: str = ".2f") -> str:
    """Returns `median (least to largest)`, each in the format `form`."""
    middle = statistics.median(values)
    return f"{middle:{form}} ({min(values):{form}} to {max(values):{form}})"


def describe_machine() -> dict[str, Any]:
    """Returns what a figure depends on beside the code: CPUs, versions, and who else is at work."""
    from epochlab.environment import describe_environment

    environment = describe_environment(Path(__file__))
    kept = {name: environment[name] for name in ("cpu", "cpus_available", "versions", "git")}
    return kept | {"load_average": os.getloadavg()[0]}


def write_json(file: Path | None, figures: dict[str, Any]) -> None:
    """Writes what was measured, and on which machine, if a file is asked for."""
    if file is not None:
        file.write_text(json.dumps(figures, indent=1) + "\n")


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
