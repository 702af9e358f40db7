"""A small run that nothing disturbed, and what other runs of the same config share with it."""

import csv
import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from timing import script_command
from zygote import Outcome

# They tell of the processes that a run took, so they differ between runs that came out the same.
PROCESS_FILES = {"run.lock", "sessions.json"}
TIMES = {"train_seconds", "images_per_second", "peak_memory_bytes"}
# The heading of the curves holds the run's name, and with it the time; no curve is that high up.
HEADING_PIXELS = 30
HEADED = {"accuracy.png", "loss.png"}

COMMON_SETTINGS = ("training.batch_size=32",)
SETTINGS = {
    # At this rate the second of three epochs is the best: its weights have to be kept over a cut.
    "mlp_mnist_relu": (
        "model.dense_units=[16, null, null]",
        "training.keep=best",
        "training.optimizer.learning_rate=0.2",
    ),
    "custom_dense_mnist": ("model.dense_units=[16]", "training.keep=best"),
    "lenet_mnist": ("model.filters=[4, 8]", "model.dense_units=16"),
}


def make_images(path: Path) -> None:
    """Writes an `.npz` in MNIST's layout: 200 + 50 noisy images, class k brighter by k."""
    generator = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 200), ("test", 50)):
        labels = (np.arange(count) % 4).astype(np.uint8)
        images = generator.integers(0, 100, (count, 20, 20), np.uint8)
        arrays |= {f"x_{split}": images + 50 * labels[:, None, None], f"y_{split}": labels}
    np.savez(path, **arrays)


@dataclass(frozen=True)
class Task:
    """What is run: an experiment made small.

    Attributes:
        experiment: The name of its script.
        data: The images.
        epochs: How many.
    """

    experiment: str
    data: Path
    epochs: int

    def start_command(self, out: Path) -> list[str]:
        """Returns the command that starts a new run below `out`."""
        settings = (f"data.path={self.data}", f"training.epochs={self.epochs}")
        own = SETTINGS[self.experiment]
        return script_command(self.experiment, (*settings, *COMMON_SETTINGS, *own), str(out))

    def resume_command(self, run: Path) -> list[str]:
        """Returns the command that goes on with `run`."""
        return [*script_command(self.experiment, (), "")[:2], "--resume", str(run)]


class Reference:
    """A finished run that nothing disturbed.

    Args:
        run: Its folder.
    """

    def __init__(self, run: Path) -> None:
        self.contents = {
            name: _content(run / name) for name in _file_names(run) if name not in PROCESS_FILES
        }

    def compare(self, run: Path) -> tuple[list[str], list[str]]:
        """Returns the files of `run` that are missing or differ, and those that are too many."""
        names = _file_names(run)
        extra = sorted(names - self.contents.keys() - PROCESS_FILES)
        missing = [f"{name} is missing" for name in sorted(self.contents.keys() - names)]
        differing = [
            f"{name} differs"
            for name in sorted(self.contents.keys() & names)
            if _content(run / name) != self.contents[name]
        ]
        return missing + differing, extra


def _file_names(run: Path) -> set[str]:
    return {str(path.relative_to(run)) for path in run.rglob("*") if not path.is_dir()}


def _content(path: Path) -> object:
    """Returns what of a file must be the same in every run of one config."""
    if path.suffix == ".png":
        with Image.open(path) as picture:
            pixels = np.asarray(picture)[HEADING_PIXELS if path.name in HEADED else 0 :]
        return pixels.shape, pixels.tobytes()
    if path.name == "history.csv":
        with path.open(newline="") as opened:
            return [row[:-1] for row in csv.reader(opened)]
    if path.name == "metrics.json":
        metrics = json.loads(path.read_text())
        return {name: value for name, value in metrics.items() if name not in TIMES}
    if path.name == "environment.json":
        return sorted(json.loads(path.read_text()))
    if path.parent.name == "checkpoints":
        with np.load(path) as archive:  # the rest holds the seconds of each epoch
            return {key: archive[key].tobytes() for key in archive.files if key.startswith("state")}
    return path.read_bytes()


def run_process(command: Sequence[str], kill_after: float | None = None) -> Outcome:
    """Runs a command and kills it after so many seconds, if it still runs."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        stdout, stderr = process.communicate(timeout=kill_after)
    except subprocess.TimeoutExpired:
        process.kill()
        stdout, stderr = process.communicate()
    return Outcome(process.returncode, stdout, stderr)


def run_reference(task: Task, out: Path) -> tuple[Reference, float]:
    """Returns an undisturbed run, in a process of its own, and how many seconds it took."""
    started = time.perf_counter()
    outcome = run_process(task.start_command(out))
    seconds = time.perf_counter() - started
    if outcome.status:
        raise SystemExit(f"{task.experiment} fails without a fault: {outcome.stderr}")
    (run,) = (out / task.experiment).iterdir()
    return Reference(run), seconds
