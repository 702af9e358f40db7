"""Batches of image files from Epochlab beside Keras's old `ImageDataGenerator`, in one process.

Four epochs are timed, each as batches that a Python loop takes: the first (list, hash, decode,
store, deliver), a later one from the stored pixels, a later one augmented with the settings of
`configs/cats_dogs_augmented.yaml`, and the same from an array in memory. The old class makes the
same of the same files by `flow_from_directory`, which decodes them in every epoch, and by `flow`.
It delivers float32, 0..1; Epochlab uint8, or float32 where augmented, 0..255, because its models
rescale in their first layer.

Quote the ratio: the machine's speed drifts, and the two sides of a round are close in time.

    python benchmarks/data_pipeline.py --rounds 5 data/cats_dogs
"""

import argparse
import contextlib
import io
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from timing import load_experiment, median_and_range

from epochlab.data.batches import count_steps, training_batches
from epochlab.data.directory import load_directory
from epochlab.data.images import Split
from epochlab.environment import describe_environment
from epochlab.process import prepare_tensorflow

EPOCHS = ("first", "from the cache", "augmented", "aug., in memory")
# More than Epochlab's pipeline holds.
MADE_READY = 8

Start = Callable[[], Iterator[Any]]


def make_folder(folder: Path, count: int, source: Path | None) -> None:
    """Fills `folder` with `count` training images, and one per class for the other splits.

    They come from `source`, or are made: shapes of some pixels and a little noise.
    """
    generator = np.random.default_rng(0)
    for split, each in (("train", count // 2), ("validation", 1), ("test", 1)):
        for label in ("cat", "dog"):
            (folder / split / label).mkdir(parents=True)
            if source is not None:
                for file in sorted((source / split / label).iterdir())[:each]:
                    shutil.copy(file, folder / split / label)
                continue
            for number in range(each):
                coarse = Image.fromarray(generator.integers(0, 256, (24, 32, 3), np.uint8))
                smooth = np.asarray(coarse.resize((288, 216)))
                pixels = smooth + generator.normal(0, 4, smooth.shape)
                image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
                image.save(folder / split / label / f"{label}.{number}.jpg", quality=90)


def load_split(config: Any) -> Split:
    """Returns the training images; what loading prints would stand between the table's rows."""
    with contextlib.redirect_stdout(io.StringIO()):
        return load_directory(config.data).train


def prepare_epochlab(folder: Path, config: Any, batch_size: int) -> list[Start]:
    """Returns functions that start Epochlab's epochs, in the order of `EPOCHS`."""
    cache = folder.parent / "cache"
    os.environ["EPOCHLAB_CACHE"] = str(cache)

    def start(augment: Any, in_memory: bool = False) -> Iterator[Any]:
        split = load_split(config)
        if in_memory:
            split = replace(split, images=split.images[:])
        order = {"batch_size": batch_size, "seed": config.seed}
        return iter(training_batches(split, **order, augment=augment))

    def start_first() -> Iterator[Any]:
        shutil.rmtree(cache, ignore_errors=True)
        return start(None)

    augment = config.data.augment
    return [start_first, lambda: start(None), lambda: start(augment), lambda: start(augment, True)]


def prepare_old(folder: Path, config: Any, batch_size: int) -> list[Start]:
    """Returns functions that start the old class's epochs, in the order of `EPOCHS`."""
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    # It still takes a function from where SciPy once had it.
    warnings.filterwarnings("ignore", "Please import `affine_transform`")

    def start(**settings: Any) -> Iterator[Any]:
        generator = ImageDataGenerator(rescale=1 / 255, **settings)
        with contextlib.redirect_stdout(io.StringIO()):
            return generator.flow_from_directory(
                folder / "train", config.data.image_size, batch_size=batch_size, class_mode="binary"
            )

    augment = config.data.augment.model_dump()

    def start_in_memory() -> Iterator[Any]:
        split = load_split(config)
        generator = ImageDataGenerator(rescale=1 / 255, **augment)
        return generator.flow(split.images[:], split.labels, batch_size)

    return [start, start, lambda: start(**augment), start_in_memory]


PREPARE = {"Epochlab": prepare_epochlab, "old": prepare_old}


def time_epoch(batches: Iterator[Any] | Start, steps: int) -> float:
    """Returns the seconds of an epoch, with its start or without the batches made ready before."""
    if not callable(batches):
        take(batches, MADE_READY)
    started = time.perf_counter()
    take(batches() if callable(batches) else batches, steps)
    return time.perf_counter() - started


def take(batches: Iterator[Any], steps: int) -> None:
    """Takes as many batches and does nothing with them."""
    for _ in range(steps):
        next(batches)


def measure_memory(side: str, folder: Path, images: int, batch_size: int) -> float:
    """Returns the most MB that a process holds through one side's epochs from files."""
    command = [sys.executable, __file__, str(folder), "--memory", side]
    command += ["--images", str(images), "--batch-size", str(batch_size)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(printed.stdout.splitlines()[-1]) * 1024 / 1e6


def print_table(folder: Path, config: Any, batch_size: int, rounds: int) -> None:
    """Times both sides' epochs alternately, and prints one row per kind of epoch."""
    images = len(list((folder / "train").glob("*/*")))
    steps = count_steps(images, batch_size)
    machine = describe_environment(Path(__file__))
    print(f"{images:,} images, batches of {batch_size}, {rounds} rounds")
    print(f"{machine['cpu']}, {machine['cpus_available']} threads; images/s, medians (range)\n")
    print("| epoch           | Epochlab |   old | ratio                |")
    print("| --------------- | -------: | ----: | -------------------- |")
    sides = [prepare(folder, config, batch_size) for prepare in PREPARE.values()]
    for name, *starts in zip(EPOCHS, *sides, strict=True):
        subjects = starts if name == "first" else [start() for start in starts]
        for subject in subjects:
            time_epoch(subject, steps)  # traces, compiles, brings the files into memory
        seconds = [[time_epoch(subject, steps) for subject in subjects] for _ in range(rounds)]
        rates = [images / statistics.median(side) for side in zip(*seconds, strict=True)]
        ratios = [old / ours for ours, old in seconds]
        spread = median_and_range(ratios, ".1f")
        print(f"| {name:15} | {rates[0]:8,.0f} | {rates[1]:5,.0f} | {spread:20} |", flush=True)
    megabytes = [measure_memory(side, folder, images, batch_size) for side in PREPARE]
    print(f"\nPeak memory, MB: Epochlab {megabytes[0]:,.0f}, old {megabytes[1]:,.0f}")


def main() -> None:
    """Prints images per second of both sides and their ratio, and the peak memory of each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, help="prepared; default: generated images")
    parser.add_argument("--images", type=int, default=600, help="training images, at most")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", choices=PREPARE, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.folder if arguments.memory else Path(name) / "images"
        _, config = load_experiment("cats_dogs_augmented", [f"data.path={folder}"])
        prepare_tensorflow(config.training, config.seed)
        if arguments.memory:
            steps = count_steps(arguments.images, arguments.batch_size)
            for start in PREPARE[arguments.memory](folder, config, arguments.batch_size)[:3]:
                time_epoch(start, steps)
            # Not `getrusage`, which counts the parent's memory before the start as well.
            print(re.findall(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[0])
            return
        make_folder(folder, arguments.images, arguments.folder)
        print_table(folder, config, arguments.batch_size, arguments.rounds)


if __name__ == "__main__":
    main()
