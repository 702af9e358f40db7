"""Does an image cost the same in a large dataset? Training throughput and memory by dataset size.

    python benchmarks/scale.py arrays --sizes 10000 100000 1000000
    python benchmarks/scale.py files --sizes 10000 100000

`arrays` makes `.npz` files of generated digits, which are trained on from memory, with
`mlp_mnist_relu`: the network that leaves the data path the least time. `files` makes folders of
small JPEG files, trained on from the cache of decoded pixels, which is mapped, not loaded
(`cats_dogs_baseline` with one convolution on 28 x 28 pixels, 64 images a batch). Each size runs the
same number of steps per epoch in a process of its own; the first epoch, which traces and fills
caches, is left out. The rounds go through the sizes in turn: quote the ratios.
"""

import argparse
import os
import statistics
import subprocess
import tempfile
from pathlib import Path

from many_files import make_files
from timing import epoch_seconds, measure_process, median_and_range, script_command, write_json

STEPS, EPOCHS = 400, 5
BATCH_SIZE = {"arrays": 128, "files": 64}


def make_arrays(path: Path, count: int) -> None:
    """Writes `count` generated training images of 28 x 28 in ten classes, and 1,000 for testing."""
    import numpy as np

    generator = np.random.default_rng(0)
    arrays = {}
    for split, size in (("train", count), ("test", 1000)):
        arrays[f"x_{split}"] = generator.integers(0, 256, (size, 28, 28), np.uint8)
        arrays[f"y_{split}"] = (np.arange(size) % 10).astype(np.uint8)
    np.savez(path, **arrays)


def make_data(kind: str, folder: Path, size: int) -> Path:
    """Makes a dataset and returns its place."""
    if kind == "arrays":
        make_arrays(folder / f"{size}.npz", size)
        return folder / f"{size}.npz"
    make_files(folder / str(size), size)
    return folder / str(size)


def list_settings(kind: str, data: Path) -> list[str]:
    """Returns the settings of a run, KEY=VALUE each."""
    common = [
        f"data.path={data}",
        f"training.epochs={EPOCHS}",
        f"training.steps_per_epoch={STEPS}",
        f"training.batch_size={BATCH_SIZE[kind]}",
    ]
    if kind == "arrays":
        return [*common, "data.validation_fraction=0"]
    return [
        *common, "data.image_size=[28, 28]", "data.cache_limit=100", "model.filters=[8]",
        "model.pooling=[true]", "model.dense_units=[16]",
    ]  # fmt: skip


def run_script(kind: str, data: Path, out: str) -> tuple[float, float, float]:
    """Returns images per second, seconds of the whole run, and peak memory in GB."""
    script = "mlp_mnist_relu" if kind == "arrays" else "cats_dogs_baseline"
    with tempfile.TemporaryDirectory(dir=out) as place:
        command = script_command(script, list_settings(kind, data), place)
        seconds, peak = measure_process(command, stdout=subprocess.DEVNULL)
        (run,) = Path(place).glob("*/*")
        rate = STEPS * BATCH_SIZE[kind] / statistics.median(epoch_seconds(run))
    return rate, seconds, peak


def main() -> None:
    """Prints one table row per size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=("arrays", "files"))
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    results: dict[int, list[tuple[float, float, float]]] = {size: [] for size in arguments.sizes}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["EPOCHLAB_CACHE"] = str(Path(folder) / "cache")
        data = {size: make_data(arguments.kind, Path(folder), size) for size in arguments.sizes}
        for _ in range(arguments.rounds):
            for size in arguments.sizes:
                results[size].append(run_script(arguments.kind, data[size], folder))
    print("| images | images/s | beside the smallest | first run, s | later runs, s | GB |")
    print("| --- | --- | --- | --- | --- | --- |")
    smallest = [rate for rate, *_ in results[arguments.sizes[0]]]
    for size, rounds in results.items():
        rates, seconds, peaks = zip(*rounds, strict=True)
        ratios = [rate / small for rate, small in zip(rates, smallest, strict=True)]
        later = f"{statistics.median(seconds[1:]):.0f}" if len(seconds) > 1 else ""
        print(
            f"| {size:,} | {median_and_range(rates, ',.0f')} | {median_and_range(ratios)} | "
            f"{seconds[0]:.0f} | {later} | {max(peaks):.2f} |"
        )
    write_json(arguments.json, {"kind": arguments.kind, "results": results})


if __name__ == "__main__":
    main()
